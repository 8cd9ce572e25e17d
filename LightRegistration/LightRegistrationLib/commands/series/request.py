"""What `series` is asked for, all as files, and the checks that need not open them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import InputError
from ...core.files.csv_table import raise_errors
from ...core.result.settings import RegistrationSettings
from ..files.path_errors import report_path_errors

SUMMARY_FILE, WARPED_FILE, SEQUENCE_FILE = "series.json", "warped.nii.gz", "transforms.seq.mrb"
TRANSFORMS_FOLDER, MEAN_FILE = "transforms", "mean.nii.gz"
POINTS_FILE, PLOT_FILE = "points.csv", "points.svg"
SERIES_ENTRIES = (
    SUMMARY_FILE,
    WARPED_FILE,
    WARPED_FILE.removesuffix(".gz"),
    MEAN_FILE,
    MEAN_FILE.removesuffix(".gz"),
    SEQUENCE_FILE,
    TRANSFORMS_FOLDER,
    POINTS_FILE,
    PLOT_FILE,
)
"""The entries of a result. The summary is removed first and added last: a folder with a summary is complete."""
DEFAULT_ROUNDS, MAX_ROUNDS = 2, 20


@dataclass(frozen=True)
class SeriesRequest:
    """A series to register.

    inputs: one 4-D file, or a file or DICOM folder for each frame. frame: number of the frame, from 0, that the others
    are registered to; None for their mean, which is made anew in each of the `rounds`. points: in the reference, a CSV
    file (is_lps: in LPS, not RAS) or .mrk.json. compress: images as .nii.gz instead of .nii.
    """

    inputs: tuple[Path, ...]
    output: Path
    frame: int | None
    settings: RegistrationSettings = field(default_factory=RegistrationSettings)
    rounds: int = DEFAULT_ROUNDS
    points: Path | None = None
    is_lps: bool = False
    compress: bool = True

    @property
    def files(self) -> list[Path]:
        """All files."""
        return [*self.inputs, *([] if self.points is None else [self.points])]


def check_series_request(request: SeriesRequest) -> None:
    """Raise InputError for all that can be found wrong quickly, without opening the files."""
    if not request.inputs:
        raise InputError("Name a series: one 4-D file, or a file for each frame.")
    many = len(request.inputs) > 1
    missing = []
    for number, path in enumerate(request.inputs):
        with report_path_errors(path):
            if not path.exists():
                missing.append(f"frame {number}: there is no file {path}" if many else f"there is no file {path}")
    raise_errors("The series", missing)
    if request.frame is not None and request.frame < 0:
        raise InputError(f"--frame {request.frame}: frames are counted from 0.")
    if not 1 <= request.rounds <= MAX_ROUNDS:
        raise InputError(f"{request.rounds} rounds are out of range; use 1 to {MAX_ROUNDS}.")
    if request.points is None:
        if request.is_lps:
            raise InputError("--lps is for the points of a CSV file; name it with --points.")
        return
    with report_path_errors(request.points):
        if not request.points.exists():
            raise InputError(f"{request.points}: there is no such file.")
    name = request.points.name.lower()
    if not name.endswith((".csv", ".mrk.json")):
        raise InputError(f"{request.points}: points are read from .csv or .mrk.json files.")
    if request.is_lps and not name.endswith(".csv"):
        raise InputError(f"{request.points}: --lps is for points in a CSV file; other files say it themselves.")
