"""What `template` is asked for, all as files, and the checks that need not open the volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import InputError
from ...core.files.csv_table import raise_errors, read_named_rows
from ...core.result.settings import RegistrationSettings
from ...training.evaluation.pairs import make_file_name
from ..batch.plan import name_volumes
from ..files.path_errors import report_path_errors
from ..fuse.request import LABELS_FILE, PROBABILITIES_FOLDER, SEGMENTATION_FILE, VOLUMES_FILE

REQUIRED = ("image",)
COLUMNS = (*REQUIRED, "labels", "id")
MIN_SCANS = 2
DEFAULT_ITERATIONS, MAX_ITERATIONS = 4, 50
SPACINGS_MM = 0.1, 20.0
"""Least and largest voxel size of a template. Chosen."""
ScanFiles = str | Path | Sequence[str | Path | tuple[str | Path, str | Path]]
"""A CSV file, or images, or pairs of an image and its labels."""

SUMMARY_FILE, TEMPLATE_FILE, AFFINE_MEAN_FILE = "template.json", "template.nii.gz", "affine_mean.nii.gz"
PICTURE_FILE, TRANSFORMS_FOLDER, WORK_FOLDER = "template.png", "transforms", "work"
_IMAGES = (TEMPLATE_FILE, AFFINE_MEAN_FILE, LABELS_FILE)
TEMPLATE_ENTRIES = (
    SUMMARY_FILE,
    *_IMAGES,
    *(name.removesuffix(".gz") for name in _IMAGES),
    PICTURE_FILE,
    TRANSFORMS_FOLDER,
    SEGMENTATION_FILE,
    VOLUMES_FILE,
    PROBABILITIES_FOLDER,
)
"""The entries of a result. The summary is removed first and added last: a folder with a summary is complete."""


@dataclass(frozen=True)
class GroupScan:
    """A scan of the group: its name, unique and usable as a file name, its file, and its labels (None: it has none)."""

    name: str
    image: Path
    labels: Path | None = None


@dataclass(frozen=True)
class TemplateRequest:
    """A template to build. registration: of each scan to the template.

    start: name of the scan that the others are aligned to first, None to choose it. spacing_mm: voxel size, None for
    that of the scans. probabilities: also write a map of each structure. compress: images as .nii.gz instead of .nii.
    workers, memory_gb: processes and their memory, None for what fits this machine.
    """

    scans: tuple[GroupScan, ...]
    output: Path
    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
    iterations: int = DEFAULT_ITERATIONS
    start: str | None = None
    spacing_mm: float | None = None
    probabilities: bool = False
    compress: bool = True
    workers: int | None = None
    memory_gb: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.iterations <= MAX_ITERATIONS:
            raise InputError(f"{self.iterations} iterations are out of range; use 1 to {MAX_ITERATIONS}.")
        least, most = SPACINGS_MM
        if self.spacing_mm is not None and not least <= self.spacing_mm <= most:
            raise InputError(f"A voxel size of {self.spacing_mm:g} mm is out of range; use {least:g} to {most:g} mm.")
        names = [scan.name for scan in self.scans]
        if self.start is not None and self.start not in names:
            raise InputError(f"There is no scan '{self.start}' in the group; its scans are: {', '.join(names)}.")
        if self.probabilities and not self.has_labels:
            raise InputError("--probabilities are those of labels; give a list with the column labels.")

    @property
    def has_labels(self) -> bool:
        """Whether the scans have labels."""
        return all(scan.labels is not None for scan in self.scans)

    @property
    def files(self) -> list[Path]:
        """The files of all scans."""
        return [path for scan in self.scans for path in (scan.image, scan.labels) if path is not None]


def list_group(scans: ScanFiles) -> tuple[GroupScan, ...]:
    """Return the scans of a CSV file (columns image, and optionally labels and id), or of a list of files.

    Raises InputError for everything that is wrong with the list.
    """
    if not isinstance(scans, str | Path) and len(scans) == 1 and str(scans[0]).lower().endswith(".csv"):
        scans = Path(str(scans[0]))
    if isinstance(scans, str | Path):
        path = Path(scans)
        return _make_group(read_named_rows(path, REQUIRED, COLUMNS), path.parent, str(path))
    pairs = [(scan, "") if isinstance(scan, str | Path) else scan for scan in scans]
    rows = [(f"scan {n}", {"image": str(image), "labels": str(labels)}) for n, (image, labels) in enumerate(pairs, 1)]
    return _make_group(rows, Path(), "The list of scans")


def _make_group(rows: Sequence[tuple[str, dict[str, str]]], folder: Path, source: str) -> tuple[GroupScan, ...]:
    raise_errors(source, [f"{place}: {what}" for place, row in rows for what in _find_errors(row, folder)])
    if len(rows) < MIN_SCANS:
        raise InputError(f"{source}: {MIN_SCANS} or more scans are needed, but there is {len(rows) or 'none'}.")
    labeled = [bool(row.get("labels")) for _, row in rows]
    if any(labeled) and not all(labeled):
        place = rows[labeled.index(False)][0]
        raise InputError(f"{source}, {place}: the scan has no labels, but others have; give all or none of them.")
    images = [folder / row["image"] for _, row in rows]
    places = [f"{place}: {row['image']}" for place, row in rows]
    repeated = [n for n, (_, row) in enumerate(rows) if not row.get("id") and images[n] in images[:n]]
    raise_errors(source, [f"{places[n]} is listed twice" for n in repeated])
    by_file = name_volumes(images)
    names = [make_file_name(row.get("id") or by_file[image]) for (_, row), image in zip(rows, images, strict=True)]
    twice = [
        f"{place}: '{name}' occurs twice"
        for n, ((place, _), name) in enumerate(zip(rows, names, strict=True))
        if not name or name.casefold() in [other.casefold() for other in names[:n]]
    ]
    raise_errors(source, twice)
    return tuple(
        GroupScan(name, image, folder / row["labels"] if row.get("labels") else None)
        for name, image, (_, row) in zip(names, images, rows, strict=True)
    )


def _find_errors(row: dict[str, str], folder: Path) -> Iterator[str]:
    for role in ("image", "labels"):
        if not row.get(role):
            if role in REQUIRED:
                yield f"'{role}' is empty; name a file"
            continue
        with report_path_errors(folder / row[role]):
            is_there = (folder / row[role]).exists()
        if not is_there:
            yield f"'{role}': there is no file {row[role]}"
