"""Names of files as BIDS and fMRIPrep have them: read from volumes, and made for what a registration writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ...core.errors import InputError

_NAME = re.compile(r"(?P<entities>(?:sub|tpl)-[A-Za-z0-9+]+(?:_[A-Za-z0-9]+-[A-Za-z0-9+]+)*)_(?P<suffix>[A-Za-z0-9]+)")
_SUFFIXES = (".nii.gz", ".nii")
_OF_DERIVATIVES = ("space", "desc", "res")
"""Entities that say how a file was made; what is made from it has its own."""


class Layout(StrEnum):
    """Names of results. FOLDERS: a folder for each pair. BIDS: the names of fMRIPrep."""

    FOLDERS = "folders"
    BIDS = "bids"


@dataclass(frozen=True)
class BidsName:
    """The parts of a name such as sub-01_ses-2_T1w.nii.gz: entities (sub, ses) with their labels, and suffix (T1w)."""

    entities: Mapping[str, str]
    suffix: str


@dataclass(frozen=True)
class DerivativeNames:
    """Names, relative to the data set, of what is written for one pair; images without their file extension."""

    transform: str
    inverse: str
    sidecar: str
    warped: str
    segmentation: str


def parse_bids_name(path: Path) -> BidsName | None:
    """Return the parts of a name; None if it is not made as BIDS names are."""
    extension = next((e for e in _SUFFIXES if path.name.endswith(e)), "")
    match = _NAME.fullmatch(path.name[: len(path.name) - len(extension)])
    if match is None or not extension:
        return None
    return BidsName(dict(part.split("-", 1) for part in match["entities"].split("_")), match["suffix"])


def make_derivative_names(fixed: Path, moving: Path) -> DerivativeNames:
    """Make the names of what a registration of the moving to the fixed volume writes, as fMRIPrep names them.

    `from-A_to-B_mode-image_xfm.h5` brings images of A to B. A is the suffix of the moving volume. B is the name of the
    template, else the suffix of the fixed volume after the entities in which it differs (ses2T1w); of a fixed volume
    whose name is not made so, its letters and digits. Raises InputError if the moving volume's name is not made so.
    """
    own = parse_bids_name(moving)
    if own is None or "sub" not in own.entities:
        raise InputError(
            f"{moving}: the layout bids needs moving volumes with names such as sub-01_T1w.nii.gz; rename it, or leave "
            "out --layout."
        )
    space = _name_space(fixed, own)
    kept = [f"{key}-{label}" for key, label in own.entities.items() if key not in _OF_DERIVATIVES]
    folders = [f"{key}-{own.entities[key]}" for key in ("sub", "ses") if key in own.entities]
    start = "/".join([*folders, "anat", "_".join(kept)])
    transform = f"{start}_from-{own.suffix}_to-{space}_mode-image_xfm"
    return DerivativeNames(
        f"{transform}.h5",
        f"{start}_from-{space}_to-{own.suffix}_mode-image_xfm.h5",
        f"{transform}.json",
        f"{start}_space-{space}_{own.suffix}",
        f"{start}_space-{space}_dseg",
    )


def _name_space(fixed: Path, moving: BidsName) -> str:
    target = parse_bids_name(fixed)
    if target is None:
        name = re.sub(r"[^A-Za-z0-9]", "", fixed.name.split(".")[0])
        if not name:
            raise InputError(f"{fixed}: the layout bids needs a fixed volume whose name has letters or digits.")
        return name
    if "tpl" in target.entities:
        return target.entities["tpl"]
    differing = [f"{key}{label}" for key, label in target.entities.items() if moving.entities.get(key) != label]
    return re.sub(r"[^A-Za-z0-9]", "", "".join([*differing, target.suffix]))
