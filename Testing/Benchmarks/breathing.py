"""How far a breath may go: made-up breathing of known size in real chest CT, and what is left of it.

    LIGHTREG_DATA=<data> .venv/bin/python Testing/Benchmarks/breathing.py --output Testing/Benchmarks/results

Each chest CT of the data at full inhale (dirlab_*_T00) is exhaled by each rise of the diaphragm (`breathing_pairs.py`)
and registered in both directions. TRE: mean distance of 300 corresponding points in the lungs. Methods are those of
comparison.py, each on one thread in a process of its own; rows are kept in --work and not measured twice. Peers need
their packages, see comparison.py.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import comparison
import numpy as np
import SimpleITK as sitk
from breathing_pairs import BreathingPair, make_breathing_pair
from common import benchmark_parser, new_figure, parse, print_and_write
from compare.plan import Task
from compare.row import start_of
from peers.registry import METHODS

from LightRegistrationLib.core.files.landmark_table import LANDMARK_COLUMNS
from LightRegistrationLib.core.geometry.geometry import FloatArray
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.training.evaluation.files import read_volume, to_sitk_image
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair
from LightRegistrationLib.training.evaluation.tables import format_markdown_table

NAME, GROUP = "breathing", "made-up breathing"
DEFAULT_METHODS = ("none", "affine", "ours-none", "ours-fast", "greedy-from-affine")


def draw_pairs(data: Path, work: Path, rises_mm: Sequence[float]) -> Iterator[tuple[EvaluationPair, dict[str, Any]]]:
    """Write the pairs as files, each with the values that its rows begin with."""
    records = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["records"]
    for record in records:
        if not (record["anatomy"] == "lung_ct" and record["id"].endswith("_T00")):
            continue
        scan = read_volume(data / record["image"])
        for rise in rises_mm:
            pair = make_breathing_pair(scan, rise, seed=round(rise))
            for is_inhaled in (True, False):
                direction = "inhaled to exhaled" if is_inhaled else "exhaled to inhaled"
                about = {"scan": record["id"], "rise_mm": rise, "direction": direction}
                name = f"{record['id']}_{rise:g}_{'inhaled' if is_inhaled else 'exhaled'}"
                yield _write_pair(pair, is_inhaled, work / "pairs" / name), about


def _write_pair(pair: BreathingPair, is_inhaled: bool, folder: Path) -> EvaluationPair:
    """Write volumes and landmarks; the fixed volume is the inhaled one, or the exhaled one."""
    sides = [(pair.inhaled, pair.inhaled_mm), (pair.exhaled, pair.exhaled_mm)]
    (fixed, fixed_mm), (moving, moving_mm) = sides if is_inhaled else sides[::-1]
    folder.mkdir(parents=True, exist_ok=True)
    files = {role: _write(volume, folder / f"{role}.nii.gz") for role, volume in (("fixed", fixed), ("moving", moving))}
    landmarks = _write_landmarks(fixed_mm, moving_mm, folder / "landmarks.csv")
    return EvaluationPair(folder.name, group=GROUP, landmarks=landmarks, **files)


def _write(volume: Volume, path: Path) -> Path:
    sitk.WriteImage(to_sitk_image(volume), str(path))
    return path


def _write_landmarks(fixed_mm: FloatArray, moving_mm: FloatArray, path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(LANDMARK_COLUMNS)
        writer.writerows(np.hstack([fixed_mm, moving_mm]).round(4).tolist())
    return path


def measure(arguments: Any) -> Iterator[dict[str, Any]]:
    """Register each pair by each method: a row for each."""
    for pair, about in draw_pairs(arguments.data, arguments.work, arguments.rises):
        for method in arguments.methods:
            row = _measure_task(Task(GROUP, pair, method, 1, surfaces=False), arguments.work)
            measures = ("tre_mm", "folding_percent", "cpu_seconds", "error")
            yield {**about, "method": method, **{key: row.get(key) for key in measures}}


def _measure_task(task: Task, work: Path) -> Mapping[str, Any]:
    """Return the row of a task, from the working folder if it is there; first that of the affine stage if needed."""
    if METHODS[task.method].needs_start:
        affine = _measure_task(Task(GROUP, task.pair, comparison.AFFINE, 1, surfaces=False), work)
        start = None if affine.get("error") else start_of(dict(affine))
        task = Task(GROUP, task.pair, task.method, 1, surfaces=False, start=start)
    return comparison.done(task, work) or comparison.run(task, work)


def format_report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a line for each method: mean and largest TRE of each rise, mean CPU seconds, failed runs."""
    rises = sorted({row["rise_mm"] for row in rows})
    body = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        found = [row for row in own if row["tre_mm"] is not None]
        cells = [_format_tre([row["tre_mm"] for row in found if row["rise_mm"] == rise]) for rise in rises]
        seconds = [row["cpu_seconds"] for row in found if row["cpu_seconds"]]
        folding = max((row["folding_percent"] for row in found), default=0.0)
        numbers = [f"{np.mean(seconds):.1f}" if seconds else "", f"{folding:.4f}", str(len(own) - len(found))]
        body.append([METHODS[method].title, *cells, *numbers])
    head = ["method", *(f"{rise:g} mm" for rise in rises), "CPU s", "largest folding %", "failed"]
    scans = len({row["scan"] for row in rows})
    text = f"{scans} chest CTs, both directions; TRE in mm by the rise of the diaphragm, mean (largest of the pairs)."
    return f"{text}\n\n{format_markdown_table(head, body)}"


def _format_tre(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f} ({max(values):.2f})" if values else ""


def plot(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Plot the mean TRE of each method over the rise of the diaphragm."""
    figure, ((axes,),) = new_figure(width=6, height=4)
    for method in dict.fromkeys(row["method"] for row in rows if row["method"] != "none"):
        own = [row for row in rows if row["method"] == method and row["tre_mm"] is not None]
        rises = sorted({row["rise_mm"] for row in own})
        means = [np.mean([row["tre_mm"] for row in own if row["rise_mm"] == rise]) for rise in rises]
        axes.plot(rises, means, "o-", label=METHODS[method].title)
    axes.set(xlabel="rise of the diaphragm, mm", ylabel="TRE in the lungs, mm")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs/breathing"))
    parser.add_argument("--work", type=Path, default=Path("runs/breathing/work"), help="finished rows are kept here")
    parser.add_argument("--rises", nargs="+", type=float, default=[0, 10, 20, 40], help="of the diaphragm, mm")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(DEFAULT_METHODS))
    arguments = parse(parser)
    print_and_write(measure(arguments), arguments.output, NAME, format_report, plot)


if __name__ == "__main__":
    main()
