"""BIDS: scans of a folder as pairs, and results under the names that pipelines know.

Names are read here and not by pybids: the entities of an image are all in its name, and pybids would bring pandas,
SQLAlchemy and nibabel for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from ...core.errors import InputError
from ...core.files.plain_file import check_plain_file, report_os_errors
from ...training.evaluation.pairs import EvaluationPair
from ..files.bids_names import BidsName, DerivativeNames, make_derivative_names, parse_bids_name
from ..register.derivatives import DESCRIPTION_FILE, write_description, write_pair
from .plan import Shape
from .task import Task

DERIVATIVES_FOLDER = "bids"
_ENTITIES = {"subject": "sub", "session": "ses"}
"""What filters may call an entity beside its short name."""


def list_bids_pairs(folder: Path, filters: Sequence[str], fixed: Path | None, shape: Shape) -> list[EvaluationPair]:
    """List the scans of a BIDS folder (sub-*/[ses-*/]anat) as rows of a list of pairs.

    filters: KEY=VALUE, with `suffix` or an entity as the key. fixed: the fixed volume of ALL_TO_ONE, else the first
    scan. With PAIRS, the later scans of each person are registered to the first one. Raises InputError for a folder
    that is not BIDS, and if no scan is left.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: this is no folder; choose the top folder of a BIDS data set.")
    if not (folder / DESCRIPTION_FILE).is_file():
        raise InputError(f"{folder}: there is no {DESCRIPTION_FILE} in it; choose the top folder of a BIDS data set.")
    if fixed is not None and shape != Shape.ALL_TO_ONE:
        raise InputError(f"{fixed}: --fixed needs --shape all-to-one.")
    if fixed is not None:
        with report_os_errors(fixed):
            check_plain_file(fixed, "volume")
    wanted = _parse_filters(filters)
    found = [
        (path, name)
        for path in sorted((*folder.glob("sub-*/anat/*"), *folder.glob("sub-*/ses-*/anat/*")))
        if (name := parse_bids_name(path)) is not None and _is_wanted(name, wanted)
    ]
    if not found:
        raise InputError(f"{folder}: no scan in it has {' '.join(filters)}; choose others with --filter.")
    if shape != Shape.PAIRS:
        first = fixed or found[0][0]
        return [EvaluationPair(str(n), first, path) for n, (path, _) in enumerate(found)]
    pairs = []
    for _, group in groupby(found, lambda item: item[1].entities["sub"]):
        first, *later = (path for path, _ in group)
        pairs += [EvaluationPair(f"{_stem(path)}_to_{_stem(first)}", first, path) for path in later]
    if not pairs:
        raise InputError(f"{folder}: nobody in it has two scans with {' '.join(filters)}; choose another --shape.")
    return pairs


def _parse_filters(filters: Sequence[str]) -> dict[str, str]:
    """Return the wanted values by suffix and entities. Raises InputError for two values of one, which no scan has."""
    wanted: dict[str, str] = {}
    for key, value in map(_parse_filter, filters):
        if wanted.setdefault(key, value) != value:
            raise InputError(f"The filters ask for two values of {key}, {wanted[key]} and {value}; choose one of them.")
    return wanted


def _parse_filter(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (key and sign and value):
        raise InputError(f"The filter '{text}' is not made as KEY=VALUE, for example suffix=T1w or session=01.")
    key = _ENTITIES.get(key, key)
    return key, value.removeprefix(f"{key}-")


def _is_wanted(name: BidsName, wanted: Mapping[str, str]) -> bool:
    return all((name.suffix if key == "suffix" else name.entities.get(key)) == value for key, value in wanted.items())


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def name_derivatives(tasks: Sequence[Task]) -> dict[str, DerivativeNames]:
    """Name the results of all tasks, by the tasks' names. Raises InputError if two would have one name."""
    names = {task.name: make_derivative_names(task.request.fixed, task.request.moving) for task in tasks}
    taken: dict[str, str] = {}
    for task, own in names.items():
        other = taken.setdefault(own.transform, task)
        if other != task:
            raise InputError(f"The pairs {other} and {task} would both be written as {own.transform}; rename a volume.")
    return names


def write_derivatives(folder: Path, tasks: Sequence[Task]) -> None:
    """Write the results of all tasks that are done as a BIDS derivative data set, see `write_pair`. Raises OSError."""
    write_description(folder)
    names = name_derivatives(tasks)
    for task in tasks:
        if task.is_done():
            write_pair(task.folder, folder, names[task.name])
