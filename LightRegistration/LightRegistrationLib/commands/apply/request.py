"""What `apply` is asked for, all as files, and the checks that need not open them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ...core.errors import InputError
from ...core.sampling.settings import Interpolation
from ..files.output_file import check_output_file
from ..files.path_errors import report_path_errors

CSV_SUFFIX, MARKUPS_SUFFIX = ".csv", ".mrk.json"
SURFACE_SUFFIXES = (".vtk", ".vtp", ".stl", ".ply")
SEGMENTATION_SUFFIX = ".seg.nrrd"
IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")


class Kind(Enum):
    """The kinds of input; each with the suffixes that its output can have."""

    TABLE = (CSV_SUFFIX,)
    MARKUPS = (MARKUPS_SUFFIX,)
    SURFACE = SURFACE_SUFFIXES
    IMAGE = IMAGE_SUFFIXES


@dataclass(frozen=True)
class TransformFile:
    """A stored transform; maps points of the reference to points of the input. is_inverted: its inverse is meant."""

    path: Path
    is_inverted: bool = False


def inverse_of(path: str | Path) -> TransformFile:
    """Return the inverse of a stored transform."""
    return TransformFile(Path(path), is_inverted=True)


@dataclass(frozen=True)
class ApplyRequest:
    """One file to transform.

    transforms: in the order in which they map points of the reference to points of the input. reference: volume that
    gives the grid of an image. interpolation: None for the one that fits the input. is_lps: the coordinates of a CSV
    file are LPS, not RAS. threads: None for all cores.
    """

    transforms: tuple[TransformFile, ...]
    input: Path
    output: Path
    reference: Path | None = None
    interpolation: Interpolation | None = None
    is_lps: bool = False
    threads: int | None = None

    @property
    def kind(self) -> Kind:
        """The kind of the input, by its name; a folder is a DICOM series."""
        name = self.input.name.lower()
        return next((kind for kind in Kind if name.endswith(kind.value)), Kind.IMAGE)


def check_apply_request(request: ApplyRequest, force: bool) -> None:
    """Raise InputError for all that can be found wrong quickly, without opening the files."""
    if not request.transforms:
        raise InputError("Name a transform: --transform FILE, or --inverse FILE for the inverse of one.")
    files = [*(transform.path for transform in request.transforms), request.input]
    _check_exist([*files, *([] if request.reference is None else [request.reference])])
    kind = request.kind
    if request.input.name.lower().endswith(".fcsv"):
        raise InputError(f"{request.input}: save the list in Slicer as .mrk.json; points are read from that and .csv.")
    if kind == Kind.IMAGE and request.reference is None:
        raise InputError(
            f"{request.input}: an image gets the grid of a volume; name it: --reference FILE. "
            f"(Points are {CSV_SUFFIX} or {MARKUPS_SUFFIX}, surfaces {', '.join(SURFACE_SUFFIXES)}.)"
        )
    if kind != Kind.IMAGE and request.interpolation is not None:
        raise InputError(f"{request.input}: points are not interpolated; leave out --interpolation.")
    if kind != Kind.TABLE and request.is_lps:
        raise InputError(f"{request.input}: --lps is for points in a CSV file; other files say it themselves.")
    if not request.output.name.lower().endswith(kind.value):
        raise InputError(
            f"{request.output}: the result cannot be written to this kind of file; use {', '.join(kind.value)}."
        )
    check_output_file(request.output, [*files, *([request.reference] if request.reference else [])], force)


def _check_exist(files: Sequence[Path]) -> None:
    for path in files:
        with report_path_errors(path):
            is_there = path.exists()
        if not is_there:
            raise InputError(f"{path}: there is no such file or folder.")
