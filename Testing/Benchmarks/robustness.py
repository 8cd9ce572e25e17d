"""Robustness: variations of real pairs, second scans of one person, and false and missed warnings.

    LIGHTREG_DATA=<data folder> .venv/bin/python Testing/Benchmarks/robustness.py --output Testing/Benchmarks/results

Variations (`robustness_variations.py`): padding, empty slabs, halves, a slab of a fifth, the 24 rotations (each pair
takes some of them), tilts, an offset, noise, NaN. Each is registered with the default settings and scored over the part
that both volumes still show: Dice, or the landmark error where there are landmarks; beside it stands the result of the
unvaried pair over the same part. Loss: how much worse than that. Below the affine start, below as loaded: results that
are worse than these by more than 0.001 Dice or 0.01 mm.
Second scans: the fixed volumes with themselves, with noise, and moved and resampled: displacement error in the body.
Sentences: false alarms are counted where nothing is wrong (as loaded, padding, noise, tilt of 5°, second scans), missed
alarms where the sentence has to be said (rotations: turn; a mirrored axis: mirror; an offset of 31 cm: offset; volumes
of two anatomies or of disjoint parts: poor match; halves and slabs: extents; remapped contrasts: multimodal). A volume
that is refused counts as said. Written: robustness.md, .json and .png.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import benchmark_parser, brain_ring, parse, write_report
from robustness_report import format_report, plot
from robustness_scores import Map, Scorer
from robustness_variations import Rescan, Variation, is_inside, list_variations, make_rescans

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import FloatArray, apply_affine
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.result import RegistrationResult
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.training.evaluation.cases import Case, load_case
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair, read_pairs

NAME = "robustness"
SETS = ("brain_t1", "hippocampus_t1", "headneck_ct", "lung_ct", "liver_mri")
OTHER_ANATOMY = {
    "brain_t1": "liver_mri",
    "hippocampus_t1": "liver_mri",
    "headneck_ct": "lung_ct",
    "lung_ct": "headneck_ct",
    "liver_mri": "brain_t1",
}
LANDMARKS = ("lung_ct", "liver_mri")
"""Sets that are measured by landmarks; their pairs without landmarks are left out."""
BODY_QUANTILE, BODY_STEP = 0.5, 501
Row = dict[str, Any]


def read_set(data: Path, group: str) -> list[EvaluationPair]:
    """Read the pairs of a set that can be scored."""
    pairs = brain_ring(data) if group == "brain_t1" else read_pairs(data / "manifest.json", [group])
    if group in LANDMARKS:
        return [p for p in pairs if p.landmarks is not None]
    return [p for p in pairs if p.fixed_labels is not None]


class Benchmark:
    """Runs the variations of pairs and the second scans of volumes, and collects the rows of the report."""

    def __init__(self, data: Path, threads: int, wanted: Sequence[str], rotations: int) -> None:
        self._data, self._wanted, self._rotations = data, wanted, rotations
        self._settings = RegistrationSettings(threads=threads)
        self._registry = ModelRegistry()

    def measure_pair(self, pair: EvaluationPair, number: int) -> Iterator[Row]:
        """Measure the variations of one pair; the unvaried pair comes first."""
        case = load_named_case(pair)
        scorer = Scorer(case)
        other = load_named_case(read_set(self._data, OTHER_ANATOMY[pair.group])[number % 2]).moving
        unvaried: RegistrationResult | None = None
        for name, build in list_variations(case, other, number, self._rotations):
            if unvaried is not None and not self._is_wanted(name):
                continue
            variation = build()
            row: Row = {"set": pair.group, "pair": pair.name, "variation": name, "measure": scorer.measure}
            row |= {"expected": variation.expected, "is_sound": variation.is_sound}
            result = self._register(variation.fixed, variation.moving, row)
            if unvaried is None:
                if result is None:
                    raise InputError(f"{pair.name} cannot be registered as loaded: {row['error']}")
                unvaried = result
            if result is not None and variation.is_scored:
                row |= _score(scorer, variation, result, unvaried)
            yield row

    def measure_rescans(self, case: Case) -> Iterator[Row]:
        """Measure the displacement error of second scans of the fixed volume."""
        points = find_body_points(case.fixed)
        for rescan in make_rescans(case.fixed):
            if not self._is_wanted(rescan.name):
                continue
            row: Row = {"set": case.pair.group, "pair": case.pair.fixed.name, "variation": rescan.name, "measure": "mm"}
            row |= {"expected": "", "is_sound": True}
            result = self._register(rescan.fixed, rescan.moving, row)
            if result is not None:
                row |= _measure_errors(rescan, result, points)
            yield row

    def _is_wanted(self, name: str) -> bool:
        return not self._wanted or any(name.startswith(start) for start in self._wanted)

    def _register(self, fixed: Volume, moving: Volume, row: Row) -> RegistrationResult | None:
        """Register two volumes; the row gets the CPU time, the model and the warnings, or the error."""
        started = time.process_time()
        try:
            result = register(fixed, moving, self._settings, registry=self._registry)
        except InputError as error:
            row |= {"error": str(error), "warnings": []}
            return None
        row |= {"cpu_seconds": time.process_time() - started, "model": result.model, "warnings": list(result.warnings)}
        return result


def load_named_case(pair: EvaluationPair) -> Case:
    """Read a pair; its volumes are named by their roles, so that no warning depends on where the data lie."""
    case = load_case(pair)
    return replace(case, fixed=replace(case.fixed, name="fixed"), moving=replace(case.moving, name="moving"))


def find_body_points(volume: Volume) -> FloatArray:
    """Pick voxels (n, 3), RAS mm, that are brighter than half of the volume."""
    is_body = volume.array > np.quantile(volume.array, BODY_QUANTILE)
    return apply_affine(volume.affine, np.argwhere(is_body)[::BODY_STEP, ::-1].astype(float))


def _score(scorer: Scorer, variation: Variation, result: RegistrationResult, unvaried: RegistrationResult) -> Row:
    """Score a varied pair as loaded, after the affine stage and after the network, and the unvaried pair beside it."""
    to_truth = np.linalg.inv(variation.header)
    maps: dict[str, Map] = {
        "loaded": lambda points: apply_affine(to_truth, points),
        "affine": lambda points: apply_affine(to_truth, result.initial(points)),
        "result": lambda points: apply_affine(to_truth, result.field(points)),
        "affine_unvaried": unvaried.initial,
        "result_unvaried": unvaried.field,
    }
    return {name: scorer.score(found, variation, unvaried.field) for name, found in maps.items()}


def _measure_errors(rescan: Rescan, result: RegistrationResult, points: FloatArray) -> Row:
    """Measure the displacement errors at points that the second scan shows."""
    truth = apply_affine(rescan.truth, points)
    is_shown = is_inside(rescan.moving.geometry, truth)
    errors = {
        "affine": np.linalg.norm(result.initial(points) - truth, axis=1)[is_shown],
        "result": np.linalg.norm(result.field(points) - truth, axis=1)[is_shown],
    }
    return {
        f"{name}_{measure}_mm": float(compute(values))
        for name, values in errors.items()
        for measure, compute in (("median", np.median), ("max", np.max))
    }


def measure(benchmark: Benchmark, pairs: Sequence[EvaluationPair]) -> Iterator[Row]:
    """Measure the pairs of one set."""
    for number, pair in enumerate(pairs):
        yield from benchmark.measure_pair(pair, number)
    for fixed in dict.fromkeys(pair.fixed for pair in pairs):
        yield from benchmark.measure_rescans(load_named_case(next(pair for pair in pairs if pair.fixed == fixed)))


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs") / NAME)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--pairs", type=int, default=2, help="of each set (default: 2)")
    parser.add_argument("--rotations", type=int, default=8, help="of the 23, for each pair (default: 8)")
    parser.add_argument("--variations", nargs="+", default=[], help="only those whose names begin so (default: all)")
    arguments = parse(parser)
    benchmark = Benchmark(arguments.data, arguments.threads, arguments.variations, arguments.rotations)
    rows: list[Row] = []
    for group in arguments.sets:
        for row in measure(benchmark, read_set(arguments.data, group)[: arguments.pairs]):
            rows.append(row)
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    text = format_report(rows)
    write_report(arguments.output, NAME, text, rows, plot(rows))
    print(text)


if __name__ == "__main__":
    main()
