"""Evaluates many pairs; each result is stored and used again until files, settings or code change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...core import errors
from ...core.errors import InputError
from ...core.files.plain_file import hash_file
from ...core.files.whole_file import write_whole
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
    """The result of one pair: the scores by method, in order, or an error message.

    key: a hash of everything that the scores depend on. warnings: about the files, one line each.
    """

    name: str
    group: str = ""
    key: str = ""
    scores: Mapping[str, Scores] = field(default_factory=dict)
    structures_left_out: int = 0
    warnings: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of an evaluation.

    minimum_voxels: structures that are smaller in one of the two label maps are left out. pictures: whether to draw
    each pair. surfaces: whether to compute the surface distances, which take most of the time of scoring.
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
    """Evaluate every pair with every method and write each record to `output`/pairs as soon as it is done.

    An existing record is used again unless a file of the pair, a method, an option or the code has changed. A pair that
    cannot be evaluated gives a record with its error, and is evaluated again next time. Raises InputError only if a
    record cannot be written.
    """
    digests: dict[Path, str] = {}
    records = []
    for number, pair in enumerate(pairs):
        progress(number / len(pairs), pair.name)
        try:
            key = _key(pair, methods, options, digests)
            record = _read_record(output, pair, key, options) or _evaluate(pair, key, methods, output, options)
        except InputError as error:
            record = PairRecord(pair.name, pair.group, error=str(error))
        write_text(output / PAIRS_FOLDER / f"{pair.name}.json", json.dumps(asdict(record), indent=1, allow_nan=False))
        records.append(record)
    progress(1.0, "done")
    return records


def write_text(file: Path, text: str) -> None:
    """Write a line or more as a whole. Raises InputError, naming the file, if it cannot be written."""
    try:
        write_whole(file, text + "\n")
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror or error}).") from error


def picture_file(output: Path, pair: EvaluationPair) -> Path:
    """The picture file of a pair."""
    return output / PICTURES_FOLDER / f"{pair.name}.png"


def _evaluate(
    pair: EvaluationPair, key: str, methods: Sequence[Method], output: Path, options: EvaluationOptions
) -> PairRecord:
    case = load_case(pair, options.minimum_voxels)
    scores, outcomes = evaluate_case(case, methods, surfaces=options.surfaces)
    if options.pictures:
        _draw(case, outcomes, picture_file(output, pair))
    return PairRecord(pair.name, pair.group, key, scores, case.structures_left_out, case.warnings)


def _draw(case: Case, outcomes: Mapping[str, Outcome], file: Path) -> None:
    # Importing Matplotlib takes a second.
    from .pictures import draw_case

    draw_case(case, outcomes, file)


def _read_record(output: Path, pair: EvaluationPair, key: str, options: EvaluationOptions) -> PairRecord | None:
    """The record of an earlier run; None if there is no valid one."""
    file = output / PAIRS_FOLDER / f"{pair.name}.json"
    if not file.is_file() or (options.pictures and not picture_file(output, pair).is_file()):
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values["key"] != key or values["error"]:
            return None
        scores = {name: _scores(value) for name, value in values["scores"].items()}
        left_out, warnings = values["structures_left_out"], tuple(values["warnings"])
        return PairRecord(pair.name, pair.group, key, scores, left_out, warnings)
    except (ValueError, KeyError, TypeError):  # another program or version wrote it
        return None


def _scores(values: Mapping[str, Any]) -> Scores:
    return Scores(**{**values, "warnings": tuple(values["warnings"])})


def _key(pair: EvaluationPair, methods: Sequence[Method], options: EvaluationOptions, digests: dict[Path, str]) -> str:
    for path in pair.files.values():
        if path not in digests:
            digests[path] = hash_file(path)
    parts = [
        SCHEMA_VERSION,
        _code_digest(),
        {role: digests[path] for role, path in pair.files.items()},
        [(method.name, method.key) for method in methods],
        [options.minimum_voxels, options.surfaces],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _code_digest() -> str:
    """A hash of the code that registers and scores, so that results of an older version are not used again."""
    files = [*Path(errors.__file__).parent.rglob("*.py"), *Path(__file__).parent.glob("*.py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
