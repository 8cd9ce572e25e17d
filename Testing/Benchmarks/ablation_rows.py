"""The finished runs of the ablation: kept in ablation.csv and ablation_curves.csv, and read back by their key.

So seeds, cascades and conditions can be added on another day or another machine without training anything again.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from contrast_pairs import FIRST_CORTICAL_LABEL

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.training.distillation.aldk import KNOWLEDGE_KINDS
from LightRegistrationLib.training.evaluation.cases import Scores
from LightRegistrationLib.training.evaluation.run import PairRecord

ROWS_FILE, CURVES_FILE = "ablation.csv", "ablation_curves.csv"
TEACHER = "teacher"
KINDS = (TEACHER, *KNOWLEDGE_KINDS)
MEASURES = ("dice", "jaccard", "folding_percent", "std_log_jacobian")
CURVE_MEASURES = ("dice", "correlation", "folding_percent")
PARTS = ("dice_subcortical", "dice_cortical")
"""Of the structures of the brain ring below and from FIRST_CORTICAL_LABEL; of other pairs they are not known."""


STUDENTS: Mapping[str, Mapping[str, Any]] = {
    "": {},
    "published": {"head": "full", "symmetric": False},
    "tiny": {"widths": (8, 16, 32, 40)},
}
"""Students of `student_sizes.py`: what differs from [student] of the configuration. The one without a name is ours."""

Condition = tuple[str, str, float]
"""Kind, teacher and weight."""


@dataclass(frozen=True, order=True)
class Run:
    """A student of the ablation, or (kind `teacher`, cascades and seed 0) a teacher.

    teacher: empty for kind `none`. weight: factor of the knowledge term, 1 as published. student: one of STUDENTS.
    """

    kind: str
    teacher: str
    cascades: int
    seed: int
    weight: float = 1.0
    student: str = ""

    @property
    def condition(self) -> Condition:
        """What the runs of one line of the table share, besides the number of cascades."""
        return self.kind, self.teacher, self.weight

    @property
    def name(self) -> str:
        """Its folder, and the method's name in its evaluation."""
        weight = [] if self.weight == 1 else [f"{self.weight:g}"]
        parts = [self.kind, *(name for name in (self.teacher, self.student) if name), *weight]
        return "-".join(parts if self.kind == TEACHER else [*parts, str(self.cascades), f"seed{self.seed}"])


@dataclass(frozen=True)
class Finished:
    """The result of a run.

    key: a hash of all that it depends on. steps: of its training. cpu_seconds: of its training; teaching_cpu_seconds:
    of the teacher and of the store before it. records: of the validation pairs; the run's own method has its name.
    parts: PARTS, mean over the pairs, where they are known. curve: one line for each validation during training, with
    `step` and CURVE_MEASURES.
    """

    run: Run
    key: str
    steps: int
    cpu_seconds: float
    teaching_cpu_seconds: float
    records: tuple[PairRecord, ...]
    parts: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()


def read_finished(folder: Path) -> dict[str, Finished]:
    """Read the finished runs of a folder of results, by key; none if there are no files. Raises InputError."""
    curves: dict[str, list[Mapping[str, float]]] = {}
    for row in _read(folder / CURVES_FILE):
        values = {name: float(row[name]) for name in ("step", *CURVE_MEASURES) if row[name]}
        curves.setdefault(row["key"], []).append(values)
    rows: dict[str, list[dict[str, str]]] = {}
    for row in _read(folder / ROWS_FILE):
        rows.setdefault(row["key"], []).append(row)
    return {key: _finished(key, own, curves.get(key, [])) for key, own in rows.items()}


def write_finished(folder: Path, finished: Iterable[Finished]) -> None:
    """Write the finished runs to a folder of results, sorted by run."""
    runs = sorted(finished, key=lambda f: (KINDS.index(f.run.kind), f.run, f.key))
    _write(folder / ROWS_FILE, [row for run in runs for row in _rows(run)])
    _write(folder / CURVES_FILE, [{"key": f.key, "run": f.run.name, **line} for f in runs for line in f.curve])


def measure_parts(method: str, records: Sequence[PairRecord]) -> dict[str, float]:
    """Mean over the pairs of PARTS; nothing for structures that are not named after label values."""
    means: dict[str, list[float]] = {name: [] for name in PARTS}
    for record in records:
        found = {re.fullmatch(r"Label_(\d+)", name): dice for name, dice in record.scores[method].structures.items()}
        values = {int(match[1]): dice for match, dice in found.items() if match is not None and dice is not None}
        for name, is_cortical in zip(PARTS, (False, True), strict=True):
            own = [dice for value, dice in values.items() if (value >= FIRST_CORTICAL_LABEL) == is_cortical]
            means[name] += [sum(own) / len(own)] if own else []
    return {name: sum(own) / len(own) for name, own in means.items() if own}


def settings_of(value: Any) -> Any:
    """Write settings as plain values without those that are the default: a setting that is new changes no key."""
    if is_dataclass(value) and not isinstance(value, type):
        own = {f.name: getattr(value, f.name) for f in fields(value) if not _is_default(f, getattr(value, f.name))}
        kind = getattr(type(value), "kind", None)
        return {name: settings_of(v) for name, v in own.items()} | ({} if kind is None else {"kind": kind})
    if isinstance(value, Mapping):
        return {name: settings_of(v) for name, v in value.items()}
    return [settings_of(v) for v in value] if isinstance(value, list | tuple) else value


def _is_default(item: Field[Any], value: Any) -> bool:
    if item.default_factory is not MISSING:
        return bool(value == item.default_factory())
    return item.default is not MISSING and bool(value == item.default)


def read_curve(file: Path) -> tuple[Mapping[str, float], ...]:
    """Read the validations of a run that `CurveMonitor` noted; of a step that was repeated, the last one."""
    if not file.is_file():
        return ()
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return tuple({line["step"]: line for line in lines}.values())


def _rows(finished: Finished) -> Iterable[dict[str, Any]]:
    run = finished.run
    own = {f.name: getattr(run, f.name) for f in fields(Run)} | {"key": finished.key, "steps": finished.steps}
    own |= {name: round(getattr(finished, name), 1) for name in ("cpu_seconds", "teaching_cpu_seconds")}
    own |= {name: _text(finished.parts.get(name)) for name in PARTS}
    for record in finished.records:
        for method, scores in record.scores.items():
            measures = {name: _text(getattr(scores, name)) for name in MEASURES}
            yield {**own, "pair": record.name, "method": method, **measures}


def _finished(key: str, rows: Sequence[Mapping[str, str]], curve: Sequence[Mapping[str, float]]) -> Finished:
    first = rows[0]
    numbers = int(first["cascades"]), int(first["seed"]), float(first["weight"])
    run = Run(first["kind"], first["teacher"], *numbers, first.get("student", ""))
    pairs: dict[str, dict[str, Scores]] = {}
    for row in rows:
        scores = Scores(**{name: float(row[name]) if row[name] else None for name in MEASURES})
        pairs.setdefault(row["pair"], {})[row["method"]] = scores
    records = tuple(PairRecord(name, run.name, scores=scores) for name, scores in pairs.items())
    costs = float(first["cpu_seconds"]), float(first["teaching_cpu_seconds"])
    parts = {name: float(first[name]) for name in PARTS if first[name]}
    return Finished(run, key, int(first["steps"]), *costs, records, parts, tuple(curve))


def _read(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if rows and "key" not in rows[0]:
        raise InputError(f"{file}: this file was not written by this version of the ablation; choose another --output.")
    return rows


def _write(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a file as a whole: a command that is stopped meanwhile leaves the one before."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(stream.getvalue(), encoding="utf-8", newline="")
    partial.replace(file)


def _text(value: float | None) -> float | str:
    return "" if value is None else round(value, 6)
