"""Lists of scan files: a folder, a CSV table, a manifest."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.files.plain_file import is_file, name_other_kind, read_plain_text

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
COLUMNS = ("image", "labels", "subject")


@dataclass(frozen=True)
class Scan:
    """One image of a training set, and its label map or None. subject: name of the person, animal or object."""

    image: Path
    labels: Path | None
    subject: str

    @property
    def files(self) -> tuple[Path, ...]:
        """Its existing files."""
        return (self.image,) if self.labels is None else (self.image, self.labels)


def image_stem(path: Path) -> str:
    """Name of an image file without its ending."""
    ending = next((e for e in ENDINGS if path.name.lower().endswith(e)), path.suffix)
    return path.name[: len(path.name) - len(ending)]


def list_scans(paths: Sequence[Path], labels: str) -> list[Scan]:
    """The scans of image files, each of another subject.

    labels: name of the label map beside an image, with {stem} for the stem of the image; empty: no label maps. Raises
    InputError, naming the image, if its label map is missing.
    """
    scans = []
    for path in paths:
        label_file = path.parent / labels.replace("{stem}", image_stem(path)) if labels else None
        if label_file is not None and not is_file(label_file):
            raise InputError(f"{path}: its label map {label_file.name} is missing; add it or leave the image out.")
        scans.append(Scan(path, label_file, str(path)))
    return scans


def read_table(path: Path) -> list[Scan]:
    """The scans in a CSV file with the columns image, labels, subject; InputError names the file and the line."""
    reader = csv.DictReader(io.StringIO(read_plain_text(path, "CSV"), newline=""))
    try:
        columns = list(reader.fieldnames or ())
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as a CSV table ({error}).") from error
    if "image" not in columns or not set(columns) <= set(COLUMNS) or len(set(columns)) < len(columns):
        raise InputError(
            f"{path}: a table needs the column image, and optionally labels and subject, each once, separated by "
            f"commas; its first line is '{','.join(columns)}'."
        )
    if not rows:
        raise InputError(f"{path}: the table is empty; it needs a line for each image.")
    scans = [(line, _scan(path, line, row)) for line, row in rows]
    _check_repeated(path, scans)
    return [scan for _, scan in scans]


def _check_repeated(path: Path, scans: Sequence[tuple[int, Scan]]) -> None:
    """Raise InputError for an image that is listed with two subjects: a pair of it would be one image twice."""
    subjects: dict[Path, str] = {}
    for line, scan in scans:
        if subjects.setdefault(scan.image.resolve(), scan.subject) != scan.subject:
            raise InputError(f"{path}, line {line}: {scan.image.name} is listed as two subjects; keep one of them.")


def read_manifest(path: Path, anatomy: str) -> list[Scan]:
    """The scans in a manifest.json: its records of an anatomy whose `use` is `train`; InputError names the file."""
    text = read_plain_text(path, "JSON")
    try:
        records = json.loads(text)["records"]
        chosen = [r for r in records if r["anatomy"] == anatomy and r["use"] == "train" and r["image"]]
        scans = [
            Scan(path.parent / r["image"], path.parent / r["labels"] if r["labels"] else None, r["subject"])
            for r in chosen
        ]
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a manifest of scans ({error}).") from error
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: cannot be read as a manifest of scans; it needs a list 'records' of tables with anatomy, use, "
            "image, labels and subject."
        ) from error
    if not scans:
        raise InputError(f"{path}: there is no image of anatomy '{anatomy}' for training.")
    for file in (file for scan in scans for file in scan.files):
        if not is_file(file):
            raise InputError(f"{path}: it names {file.name}, which is missing.")
    return scans


def _scan(table: Path, line: int, row: dict[Any, Any]) -> Scan:
    if None in row:
        raise InputError(f"{table}, line {line}: it has more values than there are columns; quote names with commas.")
    image, labels = row["image"] or "", row.get("labels") or ""
    for name in filter(None, (image, labels)):
        if not is_file(table.parent / name):
            other = name_other_kind(table.parent / name)
            raise InputError(f"{table}, line {line}: {f'{name} is {other}' if other else f'there is no file {name}'}.")
    if not image:
        raise InputError(f"{table}, line {line}: the image is missing.")
    path = table.parent / image
    return Scan(path, table.parent / labels if labels else None, row.get("subject") or str(path))
