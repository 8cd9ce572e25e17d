"""A registered pair as a part of a BIDS derivative data set, under the names that pipelines know."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import __version__
from ...core.errors import InputError
from ...core.files.whole_file import write_whole
from ...core.report.definition import OutputsReport, Report
from ..files.bids_names import DerivativeNames
from ..files.output_folder import (
    INVERSE_FILE,
    REPORT_FILE,
    TRANSFORM_FILE,
    WARPED_FILE,
    WARPED_SEGMENTATION_FILE,
    check_output,
)

DESCRIPTION_FILE = "dataset_description.json"
UNFINISHED_PREFIX = ".unfinished-"
"""Of the folders inside a data set in which results are written before they are added."""
_BIDS_VERSION = "1.10.0"


def write_description(folder: Path) -> None:
    """Write dataset_description.json of a derivative data set. Raises OSError."""
    description = {
        "Name": "LightRegistration: registered scans",
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "LightRegistration", "Version": __version__}],
    }
    write_whole(folder / DESCRIPTION_FILE, json.dumps(description, indent=2) + "\n")


def write_pair(source: Path, target: Path, names: DerivativeNames) -> None:
    """Bring the result in the folder `source` into a data set; the transform comes last. Raises OSError.

    Files are hard links, so that they take no space twice, or copies where the disk has no links.
    """
    report: dict[str, Any] = json.loads((source / REPORT_FILE).read_text(encoding="utf-8"))
    if report["labels"]:
        rows = ["index\tname", *(f"{label['value']}\t{label['name']}" for label in report["labels"])]
        write_whole(target / f"{names.segmentation}.tsv", "\n".join(rows) + "\n")
    for file, name in (
        (WARPED_FILE, f"{names.warped}.nii.gz"),
        (WARPED_SEGMENTATION_FILE, f"{names.segmentation}.nii.gz"),
    ):
        for extension in ("", ".gz"):
            _link(source / f"{file.removesuffix('.gz')}{extension}", target / f"{name.removesuffix('.gz')}{extension}")
    for file, name in ((INVERSE_FILE, names.inverse), (REPORT_FILE, names.sidecar), (TRANSFORM_FILE, names.transform)):
        _link(source / file, target / name)


def rename_outputs(report: Report, names: DerivativeNames) -> Report:
    """Return a report whose files have the names that they get in a data set."""
    outputs: OutputsReport = {**report["outputs"], "transform": names.transform}
    outputs["warped"] = names.warped + _get_extension(outputs["warped"])
    if "inverse" in outputs:
        outputs["inverse"] = names.inverse
    if "warped_segmentation" in outputs:
        outputs["warped_segmentation"] = names.segmentation + _get_extension(outputs["warped_segmentation"])
    return {**report, "outputs": outputs}


def _get_extension(name: str) -> str:
    return name[name.index(".") :]


def check_data_set(output: Path, names: DerivativeNames, inputs: Sequence[Path], force: bool) -> None:
    """Raise InputError if a result cannot be added to a folder: it is no derivative data set, or has the result."""
    check_output(output, [], True, ())
    description = output / DESCRIPTION_FILE
    if output.is_dir() and any(not path.name.startswith(UNFINISHED_PREFIX) for path in output.iterdir()):
        try:
            kind = json.loads(description.read_text(encoding="utf-8")).get("DatasetType")
        except (OSError, ValueError, AttributeError):
            kind = None
        if kind != "derivative":
            raise InputError(
                f"{output}: the folder is not a BIDS derivative data set (DatasetType in {DESCRIPTION_FILE}); choose "
                "an empty or a new one."
            )
    targets = [output / name for name in (names.transform, names.inverse, names.sidecar)]
    targets += [output / f"{name}{end}" for name in (names.warped, names.segmentation) for end in (".nii", ".nii.gz")]
    for path in inputs:
        if path.resolve() in [target.resolve() for target in targets]:
            raise InputError(f"{path}: the new result would replace this input; choose another output folder.")
    if targets[0].exists() and not force:
        raise InputError(f"{targets[0]}: the file exists already; choose another folder or add --force.")


def _link(source: Path, target: Path) -> None:
    """Make the target the same file as the source; a target whose source is not there any more is removed."""
    if not source.exists():
        target.unlink(missing_ok=True)
        return
    if target.exists() and source.samefile(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:  # a disk without hard links
        shutil.copyfile(source, part)
    part.replace(target)
