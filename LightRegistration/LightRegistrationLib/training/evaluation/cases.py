"""Evaluates one pair: runs the methods on it and scores it before, after the affine stage, and after each method.

The measures are those of Learn2Reg (Hering et al., IEEE TMI 2023): Dice, 95th percentile of the surface distances
(HD95), target registration error (TRE), and from the raw Jacobian determinant the share that is not positive and the
standard deviation of its logarithm; and Jaccard, as in Tran et al., IEEE TMI 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...core.deformation.jacobian import summarize_jacobian
from ...core.errors import InputError
from ...core.files.landmark_table import read_landmarks
from ...core.files.plain_file import list_same_files
from ...core.geometry.geometry import FloatArray, Geometry
from ...core.geometry.segmentation_checks import check_place, list_place_warnings
from ...core.geometry.transforms import AffineTransform, DisplacementField
from ...core.geometry.volume import Segment, Segmentation, Volume, match_segments
from ...core.metrics.landmarks import measure_landmark_errors
from ...core.metrics.overlap import compare_segmentations
from ...core.result.result import JacobianSummary
from ...core.result.scores import Overlap, mean_overlap
from ...core.sampling.warping import warp_segmentation
from .files import read_labels, read_volume
from .pairs import EvaluationPair

BEFORE, AFFINE = "before", "affine"


@dataclass(frozen=True, eq=False)
class Case:
    """A loaded pair. Labels have only the compared structures; landmarks (n, 2, 3), fixed and moving, RAS mm.

    warnings: about the files, one line each.
    """

    pair: EvaluationPair
    fixed: Volume
    moving: Volume
    fixed_labels: Segmentation | None = None
    moving_labels: Segmentation | None = None
    landmarks: FloatArray | None = None
    structures_left_out: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class AffineStart:
    """The affine alignment, fixed -> moving, that a method starts from, and its duration in seconds."""

    transform: AffineTransform
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of a method for a case.

    warped_labels: the moving labels on the grid of the fixed volume. landmarks_mm: the fixed landmarks mapped to the
    moving volume, (n, 3) RAS mm. seconds: wall time of the whole registration, including the affine stage;
    grid_seconds: its part for the network and everything on the network grid. field: None if a peer returns none.
    start: the affine alignment that the method computed.
    """

    jacobian: JacobianSummary
    warped_labels: Segmentation | None = None
    landmarks_mm: FloatArray | None = None
    seconds: float = 0.0
    grid_seconds: float = 0.0
    field: DisplacementField | None = None
    start: AffineStart | None = None
    model: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """A registration method.

    key: has to change whenever its results may change. run: takes a case and the affine alignment of the first method
    (None for the first method itself).
    """

    name: str
    key: str
    run: Callable[[Case, AffineStart | None], Outcome]


@dataclass(frozen=True)
class Scores:
    """The scores of one method on one pair; None if unknown (no labels, no landmarks).

    dice, jaccard, hd95_mm: means over the structures. tre_mm: mean over the landmarks. structures: Dice of each.
    """

    dice: float | None = None
    jaccard: float | None = None
    hd95_mm: float | None = None
    tre_mm: float | None = None
    folding_percent: float | None = None
    std_log_jacobian: float | None = None
    seconds: float | None = None
    grid_seconds: float | None = None
    model: str = ""
    warnings: tuple[str, ...] = ()
    structures: Mapping[str, float | None] = field(default_factory=dict)

    def is_worse_than(self, other: Scores) -> bool:
        """Whether Dice is smaller or TRE is larger than those of another method, where both have them."""
        dice = self.dice is not None and other.dice is not None and self.dice < other.dice
        tre = self.tre_mm is not None and other.tre_mm is not None and self.tre_mm > other.tre_mm
        return dice or tre


def load_case(pair: EvaluationPair, minimum_voxels: int = 100) -> Case:
    """Read the files of a pair; structures with fewer voxels than the minimum in one of the two are left out.

    Raises InputError, naming the file, for a file that cannot be used, for labels that lie outside of their volume, and
    if no structure can be compared.
    """
    roles = [("volume", pair.fixed, pair.moving), ("label map", pair.fixed_labels, pair.moving_labels)]
    warnings = [f"{line}." for line in list_same_files(roles)]
    case = Case(pair, read_volume(pair.fixed, warnings.append), read_volume(pair.moving, warnings.append))
    if pair.landmarks is not None:
        case = replace(case, landmarks=read_landmarks(pair.landmarks))
        warnings += _list_landmarks_outside(case, pair.landmarks)
    if pair.fixed_labels is not None and pair.moving_labels is not None:
        fixed, moving = (read_labels(path, warnings.append) for path in (pair.fixed_labels, pair.moving_labels))
        for title, labels, volume in (
            ("fixed label map", fixed, case.fixed),
            ("moving label map", moving, case.moving),
        ):
            check_place(labels, volume, title)
            warnings += [f"{labels.name}: {line}" for line in list_place_warnings(labels, volume, title)]
        case = _add_labels(case, fixed, moving, minimum_voxels)
    return replace(case, warnings=tuple(dict.fromkeys(warnings)))


def _list_landmarks_outside(case: Case, path: Path) -> Iterator[str]:
    """Yield a warning for each volume that does not contain all of its landmarks."""
    assert case.landmarks is not None
    for role, volume, points in zip(
        ("fixed", "moving"), (case.fixed, case.moving), case.landmarks.swapaxes(0, 1), strict=True
    ):
        outside = int((~volume.geometry.contains(points)).sum())
        if outside:
            yield f"{path}: {outside} of {len(points)} {role} landmarks lie outside of the volume; are they RAS mm?"


def _add_labels(case: Case, fixed: Segmentation, moving: Segmentation, minimum_voxels: int) -> Case:
    compared = find_comparable_structures(fixed, moving, minimum_voxels)
    if not compared:
        raise InputError(
            f"{fixed.name}: no structure has {minimum_voxels} voxels both here and in {moving.name}; "
            "check the label values or lower the minimum."
        )
    return replace(
        case,
        fixed_labels=replace(fixed, segments=tuple(in_fixed for in_fixed, _ in compared)),
        moving_labels=replace(moving, segments=tuple(in_moving for _, in_moving in compared)),
        structures_left_out=len({s.name for s in (*fixed.segments, *moving.segments)}) - len(compared),
    )


def find_comparable_structures(
    fixed: Segmentation, moving: Segmentation, minimum_voxels: int
) -> list[tuple[Segment, Segment]]:
    """The structures that have at least `minimum_voxels` voxels in both segmentations."""
    counts = [_count_voxels(s) for s in (fixed, moving)]
    return [
        (in_fixed, in_moving)
        for in_fixed, in_moving in match_segments(fixed, moving)
        if min(counts[0][in_fixed], counts[1][in_moving]) >= minimum_voxels
    ]


def _count_voxels(segmentation: Segmentation) -> dict[Segment, int]:
    counts = [dict(zip(*np.unique(layer, return_counts=True), strict=True)) for layer in segmentation.layers]
    return {s: int(counts[s.layer].get(s.value, 0)) for s in segmentation.segments}


def evaluate_case(
    case: Case, methods: Sequence[Method], *, surfaces: bool = True
) -> tuple[dict[str, Scores], dict[str, Outcome]]:
    """Scores and outcomes of a case by name: before, after the affine stage, and after each of the methods.

    surfaces: whether to compute the surface distances, which take most of the time of scoring. Raises InputError if a
    method cannot register the pair.
    """
    outcomes = run_methods(case, methods)
    return score(case, outcomes, surfaces=surfaces), outcomes


def run_methods(case: Case, methods: Sequence[Method]) -> dict[str, Outcome]:
    """Outcomes of a case by name: before, after the affine stage of the first method, and after each of the methods."""
    outcomes = {BEFORE: evaluate_affine(case, AffineTransform.identity())}
    start: AffineStart | None = None
    for method in methods:
        outcome = method.run(case, start)
        if start is None and outcome.start is not None:
            start = outcome.start
            outcomes[AFFINE] = evaluate_affine(case, start.transform, start.seconds)
        outcomes[method.name] = outcome
    return outcomes


def evaluate_affine(case: Case, transform: AffineTransform, seconds: float = 0.0) -> Outcome:
    """The outcome of an affine map alone."""
    geometry = case.fixed.geometry
    # A trilinear field with two nodes along each axis represents an affine map exactly.
    corners = _bounding_grid(geometry)
    points = corners.points_mm
    displacement = DisplacementField(transform(points) - points, corners.affine)
    return replace(evaluate_field(case, displacement, JacobianSummary(0.0, 1.0, 0.0, 1.0, 1.0)), seconds=seconds)


def _bounding_grid(geometry: Geometry) -> Geometry:
    """A grid of two nodes along each world axis that encloses a volume."""
    corners = geometry.corners_mm
    low, high = corners.min(0), corners.max(0)
    matrix = np.diag([*(high - low), 1.0])
    matrix[:3, 3] = low
    return Geometry((2, 2, 2), matrix)


def evaluate_field(case: Case, found: DisplacementField, jacobian: JacobianSummary | None = None) -> Outcome:
    """The outcome of a displacement field: warped labels, mapped landmarks, Jacobian determinants."""
    geometry = case.fixed.geometry
    return Outcome(
        jacobian=jacobian or summarize_jacobian(found, geometry),
        warped_labels=None if case.moving_labels is None else warp_segmentation(case.moving_labels, found, geometry),
        landmarks_mm=None if case.landmarks is None else found(case.landmarks[:, 0]),
        field=found,
    )


def score(case: Case, outcomes: Mapping[str, Outcome], *, surfaces: bool = True) -> dict[str, Scores]:
    """The scores of each outcome, by its name."""
    overlaps = _overlaps(case, outcomes, surfaces)
    return {name: _scores(case, outcome, overlaps.get(name, {})) for name, outcome in outcomes.items()}


def _scores(case: Case, outcome: Outcome, overlaps: Mapping[str, Overlap]) -> Scores:
    mean = mean_overlap(list(overlaps.values())) if overlaps else None
    return Scores(
        dice=_number(mean.dice if mean else None),
        jaccard=_number(mean.jaccard if mean else None),
        hd95_mm=_number(mean.hd95_mm if mean else None),
        tre_mm=_number(_tre_mm(case, outcome)),
        folding_percent=_number(outcome.jacobian.percent_nonpositive),
        std_log_jacobian=_number(outcome.jacobian.std_log),
        seconds=_number(outcome.seconds),
        grid_seconds=_number(outcome.grid_seconds),
        model=outcome.model,
        warnings=outcome.warnings,
        structures={name: _number(overlap.dice) for name, overlap in overlaps.items()},
    )


def _overlaps(case: Case, outcomes: Mapping[str, Outcome], surfaces: bool) -> dict[str, dict[str, Overlap]]:
    """The overlap of each structure for each outcome.

    `compare_segmentations` compares two states at once, called `before` and `after`. The outcomes are therefore scored
    two by two, because the surface distances of a hundred structures take seconds.
    """
    labels = [(name, o.warped_labels) for name, o in outcomes.items() if o.warped_labels is not None]
    if case.fixed_labels is None or not labels:
        return {}
    overlaps = {}
    for (first, one), (second, other) in zip(labels[::2], [*labels[1::2], labels[-1]], strict=False):
        compared = compare_segmentations(case.fixed_labels, one, other, case.fixed.geometry, surfaces=surfaces)
        overlaps[first] = {s.name: s.before for s in compared}
        overlaps[second] = {s.name: s.after for s in compared}
    return overlaps


def _tre_mm(case: Case, outcome: Outcome) -> float | None:
    if case.landmarks is None or outcome.landmarks_mm is None:
        return None
    return measure_landmark_errors(outcome.landmarks_mm, case.landmarks[:, 1]).mean_mm


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)
