"""Reads the list of pairs of an evaluation, a CSV file or a manifest.json; errors name the file and the line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.files.csv_table import raise_errors, read_named_rows
from ...core.files.plain_file import is_file, is_folder, name_other_kind, read_plain_text

REQUIRED, OPTIONAL = ("fixed", "moving"), ("fixed_labels", "moving_labels", "landmarks")
FILES = REQUIRED + OPTIONAL
COLUMNS = (*FILES, "id", "group")
_MAX_NAME_BYTES = 90
"""Of a part of a name: two of them, a number and an extension have to fit into the 255 bytes of a file name."""
_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


@dataclass(frozen=True)
class EvaluationPair:
    """One pair as files.

    name: unique in its list and usable as a file name. group: pairs of one group are averaged. landmarks: CSV file with
    the columns fixed_x, fixed_y, fixed_z, moving_x, moving_y, moving_z, world RAS mm.
    """

    name: str
    fixed: Path
    moving: Path
    fixed_labels: Path | None = None
    moving_labels: Path | None = None
    landmarks: Path | None = None
    group: str = ""

    @property
    def files(self) -> dict[str, Path]:
        """The files of the pair by role."""
        return {role: getattr(self, role) for role in FILES if getattr(self, role) is not None}


def read_pairs(path: Path, groups: Sequence[str] = (), *, needs_both_labels: bool = True) -> list[EvaluationPair]:
    """Read a list of pairs, .csv or .json; paths are relative to its folder. groups: if given, only pairs of these.

    needs_both_labels: labels are compared, and those of one volume alone are an error.

    A CSV file has the columns fixed and moving, and optionally fixed_labels, moving_labels, landmarks, id and group; a
    JSON file has a list `pairs` of objects with the same keys, or `anatomy` for the group. Raises InputError that
    names the file and the line (JSON: the number of the pair) for every error in the list.
    """
    rows = _json_rows(path) if path.suffix.lower() == ".json" else read_named_rows(path, REQUIRED, COLUMNS)
    available = list(dict.fromkeys(str(row.get("group") or "") for _, row in rows))
    unknown = [name for name in groups if name not in available]
    if unknown:
        names = ", ".join(name for name in available if name) or "none"
        raise InputError(f"{path}: there is no pair of '{unknown[0]}'; the groups in it are: {names}.")
    chosen = [(place, row) for place, row in rows if not groups or row.get("group") in groups]
    pairs, errors = _build_pairs(chosen, path.parent, needs_both_labels)
    raise_errors(str(path), errors)
    if not pairs:
        raise InputError(f"{path}: there is no pair in this list.")
    return pairs


def _json_rows(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    text = read_plain_text(path, "JSON")
    try:
        values = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path}: this is not valid JSON ({error}).") from error
    rows = values.get("pairs") if isinstance(values, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: there is no list 'pairs' of tables in it.")
    return [(f"pair {n + 1}", {**row, "group": row.get("group", row.get("anatomy"))}) for n, row in enumerate(rows)]


def _build_pairs(
    rows: Iterable[tuple[str, Mapping[str, Any]]], folder: Path, needs_both_labels: bool
) -> tuple[list[EvaluationPair], list[str]]:
    pairs: dict[str, EvaluationPair] = {}
    taken: set[str] = set()  # some disks do not tell upper from lower case
    errors = []
    for place, row in rows:
        row_errors = list(_find_errors(row, folder, needs_both_labels))
        errors += [f"{place}: {what}" for what in row_errors]
        if row_errors:
            continue
        name = _name(row)
        if not name:
            errors.append(f"{place}: the id '{row['id']}' names no folder; use letters and digits")
        elif name.casefold() in taken and row.get("id"):
            errors.append(f"{place}: the id '{row['id']}' occurs twice")
        while name.casefold() in taken:
            name = f"{name}_{place.replace(' ', '_')}"
        taken.add(name.casefold())
        files = {role: folder / row[role] for role in FILES if row.get(role)}
        pairs[name] = EvaluationPair(name, group=str(row.get("group") or ""), **files)
    return list(pairs.values()), errors


def _find_errors(row: Mapping[str, Any], folder: Path, needs_both_labels: bool) -> Iterator[str]:
    for role in FILES:
        value = row.get(role)
        if not value and role in REQUIRED:
            yield f"'{role}' is empty; name a file"
        elif value and not isinstance(value, str):
            yield f"'{role}' has to be the name of a file, got {value!r}"
        elif value and is_folder(folder / value):
            yield f"'{role}': {value} is a folder, and a list names files; write a DICOM series to one file first"
        elif value and not is_file(folder / value):
            other = name_other_kind(folder / value)
            yield f"'{role}': {value} is {other}" if other else f"'{role}': there is no file {value}"
    if needs_both_labels and bool(row.get("fixed_labels")) != bool(row.get("moving_labels")):
        yield "labels are compared: give both or neither of fixed_labels and moving_labels"


def _name(row: Mapping[str, Any]) -> str:
    """The id of the pair, or the names of its two files, as a file name."""
    return make_file_name(str(row["id"])) if row.get("id") else f"{_stem(row['fixed'])}__{_stem(row['moving'])}"


def _stem(path: str) -> str:
    suffix = next((s for s in _SUFFIXES if path.lower().endswith(s)), "")
    return make_file_name("-".join(p for p in Path(path[: len(path) - len(suffix)]).parts if p.strip("./\\")))


def make_file_name(text: str) -> str:
    """Return the end of a text, at most 90 bytes, as a part of a file name; empty if nothing is left of it."""
    cleaned = re.sub(r"[^\w.+-]+", "_", text).encode()[-_MAX_NAME_BYTES:]
    return cleaned.decode(errors="ignore").lstrip(".")
