"""What `fuse` is asked for, all as files, and the checks that need not open the volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import InputError
from ...core.files.csv_table import raise_errors, read_named_rows
from ...core.label_fusion.settings import FusionSettings
from ...core.models.cards import find_card, list_cards
from ...core.result.settings import InitialAlignment, RegistrationSettings, parse_choice
from ...core.thread_count import check_threads
from ..files.path_errors import report_path_errors

REQUIRED = ("image", "labels")
COLUMNS = (*REQUIRED, "id")
MIN_ATLASES = 2
AtlasFiles = str | Path | Sequence[tuple[str | Path, str | Path]]
"""A CSV file, or pairs of an image and its labels."""

LABELS_FILE, SEGMENTATION_FILE = "labels.nii.gz", "labels.seg.nrrd"
VOLUMES_FILE, SUMMARY_FILE, PROBABILITIES_FOLDER = "volumes.csv", "fusion.json", "probabilities"
FUSION_ENTRIES = (
    SUMMARY_FILE,
    LABELS_FILE,
    LABELS_FILE.removesuffix(".gz"),
    SEGMENTATION_FILE,
    VOLUMES_FILE,
    PROBABILITIES_FOLDER,
)
RESULTS_FILE, STRUCTURES_FILE = "results.csv", "structures.csv"
EVALUATION_ENTRIES = (SUMMARY_FILE, RESULTS_FILE, STRUCTURES_FILE)


@dataclass(frozen=True)
class Atlas:
    """A labeled scan: its name, unique in its list, and its files."""

    name: str
    image: Path
    labels: Path


@dataclass(frozen=True)
class FusionRequest:
    """Atlases, and how they are registered and fused. registration: its `initial` is an InitialAlignment.

    target: the volume that gets labels, None to leave out each atlas in turn. probabilities: also write a map of each
    structure. compress: write images as .nii.gz instead of .nii.
    """

    atlases: tuple[Atlas, ...]
    fusion: FusionSettings = field(default_factory=FusionSettings)
    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
    target: Path | None = None
    probabilities: bool = False
    compress: bool = True

    @property
    def files(self) -> list[Path]:
        """The files of all atlases."""
        return [path for atlas in self.atlases for path in (atlas.image, atlas.labels)]


def make_registration_settings(
    model: str, cascades: int | None, initial: str, refine: str, threads: int | None
) -> RegistrationSettings:
    """Return the settings of each registration. Raises InputError for a value that cannot be used."""
    check_threads(threads)
    alignment = parse_choice(InitialAlignment, initial, "initial alignment")
    settings = RegistrationSettings(model, cascades, alignment, threads, refine)  # type: ignore[arg-type]
    find_card(model, list_cards())
    return settings


def list_atlases(atlases: AtlasFiles) -> tuple[Atlas, ...]:
    """Return the atlases of a CSV file, or of pairs of an image and its labels. Raises InputError."""
    if isinstance(atlases, str | Path):
        return read_atlases(Path(atlases))
    rows = [(f"atlas {n}", {"image": str(image), "labels": str(labels)}) for n, (image, labels) in enumerate(atlases)]
    return _make_atlases(rows, Path(), "The list of atlases")


def read_atlases(path: Path) -> tuple[Atlas, ...]:
    """Read a CSV file with the columns image, labels and optionally id; paths are relative to its folder.

    Raises InputError, naming the file and the line, for every error in the list, and for fewer than two atlases.
    """
    return _make_atlases(read_named_rows(path, REQUIRED, COLUMNS), path.parent, str(path))


def _make_atlases(rows: Sequence[tuple[str, dict[str, str]]], folder: Path, source: str) -> tuple[Atlas, ...]:
    errors = [f"{place}: {what}" for place, row in rows for what in _find_errors(row, folder)]
    names = [row.get("id") or row["image"] for _, row in rows]
    errors += [
        f"{place}: '{name}' occurs twice"
        for n, ((place, _), name) in enumerate(zip(rows, names, strict=True))
        if name in names[:n]
    ]
    raise_errors(source, errors)
    if len(rows) < MIN_ATLASES:
        raise InputError(f"{source}: {MIN_ATLASES} or more atlases are needed, but there is {len(rows) or 'none'}.")
    return tuple(
        Atlas(name, folder / row["image"], folder / row["labels"]) for name, (_, row) in zip(names, rows, strict=True)
    )


def _find_errors(row: dict[str, str], folder: Path) -> Iterator[str]:
    for role in REQUIRED:
        if not row[role]:
            yield f"the atlas has no {role}; name a file" if role == "labels" else "'image' is empty; name a file"
            continue
        with report_path_errors(folder / row[role]):
            is_there = (folder / row[role]).exists()
        if not is_there:
            yield f"'{role}': there is no file {row[role]}"
