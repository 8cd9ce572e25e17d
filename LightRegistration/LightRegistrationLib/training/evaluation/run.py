"""Evaluates many pairs and can be stopped at any time: what is done stays done until files or settings change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...core import errors
from ...core.errors import InputError
from .cases import Case, Method, Outcome, Scores, evaluate_case, load_case
from .pairs import EvaluationPair

SCHEMA_VERSION = 1
PAIRS_FOLDER, PICTURES_FOLDER = "pairs", "pictures"

PairProgress = Callable[[float, str], None]
"""Called with the fraction of the pairs that are done (0 to 1) and the name of the pair that starts."""


def ignore_pair_progress(fraction: float, pair: str) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True)
class PairRecord:
    """What is known of one pair: the scores by method, in order, or the line that says why there are none.

    key: stands for everything that the scores depend on.
    """

    name: str
    group: str = ""
    key: str = ""
    scores: Mapping[str, Scores] = field(default_factory=dict)
    structures_left_out: int = 0
    error: str = ""


@dataclass(frozen=True)
class EvaluationOptions:
    """minimum_voxels: structures that are smaller in one of the two are left out. pictures: also draw each pair.

    surfaces: whether the surface distances are wanted, which take most of the time of scoring.
    """

    minimum_voxels: int = 100
    pictures: bool = False
    surfaces: bool = True


def evaluate_pairs(
    pairs: Sequence[EvaluationPair],
    methods: Sequence[Method],
    output: Path,
    options: EvaluationOptions = EvaluationOptions(),
    progress: PairProgress = ignore_pair_progress,
) -> list[PairRecord]:
    """Evaluate every pair with every method and keep each in `output`/pairs as soon as it is done.

    A pair that is there already is taken from there, unless one of its files, a method or an option has changed since.
    A pair that cannot be evaluated yields a record with its error, and is tried again the next time. Raises InputError
    only where nothing can be written.
    """
    digests: dict[Path, str] = {}
    records = []
    for number, pair in enumerate(pairs):
        progress(number / len(pairs), pair.name)
        try:
            key = _key(pair, methods, options, digests)
            record = _finished(output, pair, key, options) or _evaluate(pair, key, methods, output, options)
        except InputError as error:
            record = PairRecord(pair.name, pair.group, error=str(error))
        write_text(output / PAIRS_FOLDER / f"{pair.name}.json", json.dumps(asdict(record), indent=1, allow_nan=False))
        records.append(record)
    progress(1.0, "done")
    return records


def write_text(file: Path, text: str) -> None:
    """Write a file aside and move it into place. Raises InputError, naming the file, if it cannot be written."""
    partial = file.with_name(file.name + ".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror or error}).") from error


def picture_file(output: Path, pair: EvaluationPair) -> Path:
    """Where the picture of a pair is."""
    return output / PICTURES_FOLDER / f"{pair.name}.png"


def _evaluate(
    pair: EvaluationPair, key: str, methods: Sequence[Method], output: Path, options: EvaluationOptions
) -> PairRecord:
    case = load_case(pair, options.minimum_voxels)
    scores, outcomes = evaluate_case(case, methods, surfaces=options.surfaces)
    if options.pictures:
        _draw(case, outcomes, picture_file(output, pair))
    return PairRecord(pair.name, pair.group, key, scores, case.structures_left_out)


def _draw(case: Case, outcomes: Mapping[str, Outcome], file: Path) -> None:
    # Matplotlib takes a second to import.
    from .pictures import draw_case

    draw_case(case, outcomes, file)


def _finished(output: Path, pair: EvaluationPair, key: str, options: EvaluationOptions) -> PairRecord | None:
    """The record of an earlier run, if it is still true."""
    file = output / PAIRS_FOLDER / f"{pair.name}.json"
    if not file.is_file() or (options.pictures and not picture_file(output, pair).is_file()):
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values["key"] != key or values["error"]:
            return None
        scores = {name: _scores(value) for name, value in values["scores"].items()}
        return PairRecord(pair.name, pair.group, key, scores, values["structures_left_out"])
    except (ValueError, KeyError, TypeError):  # not one of ours, or of another version
        return None


def _scores(values: Mapping[str, Any]) -> Scores:
    return Scores(**{**values, "warnings": tuple(values["warnings"])})


def _key(pair: EvaluationPair, methods: Sequence[Method], options: EvaluationOptions, digests: dict[Path, str]) -> str:
    for path in pair.files.values():
        if path not in digests:
            digests[path] = _digest(path)
    parts = [
        SCHEMA_VERSION,
        _code_digest(),
        {role: digests[path] for role, path in pair.files.items()},
        [(method.name, method.key) for method in methods],
        [options.minimum_voxels, options.surfaces],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror or error}).") from error


def _code_digest() -> str:
    """Of the code that registers and measures: an old result says nothing of a new version."""
    files = [*Path(errors.__file__).parent.rglob("*.py"), *Path(__file__).parent.glob("*.py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
