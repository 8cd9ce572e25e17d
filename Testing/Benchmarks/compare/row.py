"""One method on one pair in a process of its own, so that its seconds and its memory are its own.

python -m compare.row request.json row.json
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from peers.method import ComparedMethod, Run, Start
from peers.registry import METHODS

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair

from .machine import processor_name

# Raise it when measuring changes: every row is then run again.
REVISION = 1
MINIMUM_VOXELS = 100


def row_of(
    pair: EvaluationPair, method: ComparedMethod, threads: int, start: Start | None = None, *, surfaces: bool = True
) -> dict[str, Any]:
    """Register a pair with a method: the time and memory, then (with the scoring's own libraries) the accuracy."""
    method.check_package()
    run = method.make(pair.fixed, pair.moving, threads, start)
    took = _timed(run)
    return {
        **took,
        "threads": threads,
        **scores_of(pair, run.field(), surfaces),
        "model": run.model,
        "weights": run.weights,
        "warnings": list(run.warnings),
        "processor": processor_name(),
        "matrix": None if run.found_start is None else run.found_start.transform.matrix.tolist(),
    }


def _timed(run: Run) -> dict[str, float]:
    wall, cpu = time.perf_counter(), cpu_seconds()
    run.register()
    return {
        "seconds": time.perf_counter() - wall + run.seconds,
        "cpu_seconds": cpu_seconds() - cpu + run.cpu_seconds,
        "peak_mb": peak_mb(),
    }


def start_of(values: dict[str, Any] | None) -> Start | None:
    """Read an affine start from a request or from the row of the affine stage."""
    if values is None:
        return None
    return Start(AffineTransform(values["matrix"]), values["seconds"], values["cpu_seconds"])


def cpu_seconds() -> float:
    """Return the user and system time of this process, all its threads, and of its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def peak_mb() -> float:
    """Return the most memory that this process has held, MB.

    Linux counts what the parent held when it started this process into ru_maxrss, but not into VmHWM.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def scores_of(pair: EvaluationPair, found: DisplacementField, surfaces: bool = True) -> dict[str, Any]:
    """Measure a deformation by its values at the fixed volume's voxels, whatever method found it."""
    # Imported after the method was measured: its memory must not contain torch.
    from LightRegistrationLib.training.evaluation.cases import evaluate_field, load_case, score

    case = load_case(pair, MINIMUM_VOXELS)
    outcome = evaluate_field(case, resample_to_grid(found, case.fixed.geometry))
    scores = score(case, {"found": outcome}, surfaces=surfaces)["found"]
    return {
        "dice": scores.dice,
        "hd95_mm": scores.hd95_mm,
        "tre_mm": scores.tre_mm,
        "folding_percent": scores.folding_percent,
        "std_log_jacobian": scores.std_log_jacobian,
        "structures": dict(scores.structures),
    }


def resample_to_grid(field: DisplacementField, geometry: Any) -> DisplacementField:
    """Sample the field at the voxels of a grid: the same basis for every method's folding."""
    if field.geometry.matches(geometry):
        return field
    points = geometry.points_mm
    return DisplacementField(field(points) - points, geometry.affine)


def main() -> None:
    """Run the command; an InputError becomes the error of the row."""
    request_file, row_file = map(Path, sys.argv[1:])
    request = json.loads(request_file.read_text(encoding="utf-8"))
    pair = EvaluationPair(request["pair"], **{role: Path(path) for role, path in request["files"].items()})
    try:
        method, start = METHODS[request["method"]], start_of(request["start"])
        row = row_of(pair, method, request["threads"], start, surfaces=request["surfaces"])
    except InputError as error:
        row = {"error": str(error)}
    row_file.write_text(json.dumps(row), encoding="utf-8")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the row is written: taking down the libraries object by object takes half a second
