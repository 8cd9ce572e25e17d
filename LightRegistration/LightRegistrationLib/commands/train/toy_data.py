"""The `train toy-data` command: writes a small set of phantom heads for a try of the whole training chain."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import InputError
from ...core.geometry.volume import Segmentation, Volume
from ..files.output_folder import check_output, staging_folder
from ..phantom.pair import make_head
from ..terminal.progress_bar import ShowProgress, ignore_progress

TRAIN_TABLE, VALIDATION_TABLE, PAIRS_TABLE = "train.csv", "validation.csv", "pairs.csv"
SCANS_FOLDER = "scans"
TOY_ENTRIES = (TRAIN_TABLE, VALIDATION_TABLE, PAIRS_TABLE, SCANS_FOLDER)


@dataclass(frozen=True)
class _HeadFiles:
    """A head's files, relative to the folder."""

    subject: str
    image: str
    labels: str


def make_toy_data(
    folder: Path,
    subjects: int = 20,
    validation: int = 5,
    spacing_mm: float = 4.0,
    force: bool = False,
    show_progress: ShowProgress = ignore_progress,
) -> None:
    """Write heads, their structures and the tables that list them.

    subjects: heads to train with (train.csv). validation: heads for validation (validation.csv), paired in a ring
    (pairs.csv, for `evaluate`). The heads are always the same. Raises InputError for numbers that make no pair and for
    a folder that is not empty.
    """
    if subjects < 2 or validation < 2:
        raise InputError("A pair needs two heads: ask for at least two to train with and two to validate with.")
    if not 1 <= spacing_mm <= 10:
        raise InputError(f"Voxels of {spacing_mm:g} mm make no useful head; choose 1 to 10 mm.")
    check_output(folder, [], force, TOY_ENTRIES)
    count = subjects + validation
    with staging_folder(folder, TOY_ENTRIES) as unfinished:
        (unfinished / SCANS_FOLDER).mkdir()
        heads = []
        for seed in range(count):
            show_progress(seed / count, "making heads")
            heads.append(_write_head(unfinished, seed, *make_head(seed, spacing_mm)))
        _write_tables(unfinished, heads[:subjects], heads[subjects:])


def _write_head(folder: Path, seed: int, scan: Volume, structures: Segmentation) -> _HeadFiles:
    # SimpleITK belongs to the training extra.
    import SimpleITK as sitk

    from ...training.evaluation.files import to_sitk_image

    name = f"head_{seed:02d}"
    files = _HeadFiles(name, f"{SCANS_FOLDER}/{name}.nii.gz", f"{SCANS_FOLDER}/{name}_labels.nii.gz")
    sitk.WriteImage(to_sitk_image(scan), str(folder / files.image))
    labels = Volume(structures.layers[0], structures.affine, structures.name)
    sitk.WriteImage(to_sitk_image(labels), str(folder / files.labels))
    return files


def _write_tables(folder: Path, train: Sequence[_HeadFiles], validation: Sequence[_HeadFiles]) -> None:
    for table, heads in ((TRAIN_TABLE, train), (VALIDATION_TABLE, validation)):
        rows = [(head.image, head.labels, head.subject) for head in heads]
        _write_csv(folder / table, ("image", "labels", "subject"), rows)
    ring = zip(validation, [*validation[1:], validation[0]], strict=True)
    pairs = [(f.image, m.image, f.labels, m.labels, f"{f.subject}_{m.subject}") for f, m in ring]
    _write_csv(folder / PAIRS_TABLE, ("fixed", "moving", "fixed_labels", "moving_labels", "id"), pairs)


def _write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
