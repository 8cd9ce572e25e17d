"""What a registration does for a pair, in numbers: before, after the affine stage, after the model.

The measures are those of Learn2Reg (Hering et al., IEEE TMI 2023): Dice, 95th percentile of the surface distances,
target registration error, and of the raw Jacobian determinant the share that is not positive and the spread of its
logarithm; Jaccard beside them, as in Tran et al., IEEE TMI 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...core.deformation.jacobian import summarize_jacobian
from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray, Geometry
from ...core.geometry.transforms import AffineTransform, DisplacementField
from ...core.geometry.volume import Segment, Segmentation, Volume, match_segments
from ...core.metrics.overlap import compare_segmentations
from ...core.result.result import JacobianSummary
from ...core.result.scores import Overlap, mean_overlap
from ...core.sampling.warping import warp_segmentation
from .files import read_labels, read_landmarks, read_volume
from .pairs import EvaluationPair

BEFORE, AFFINE = "before", "affine"


@dataclass(frozen=True, eq=False)
class Case:
    """A pair that is loaded. Labels hold only the structures that are compared; landmarks are (n, 2, 3) RAS mm."""

    pair: EvaluationPair
    fixed: Volume
    moving: Volume
    fixed_labels: Segmentation | None = None
    moving_labels: Segmentation | None = None
    landmarks: FloatArray | None = None
    structures_left_out: int = 0


@dataclass(frozen=True)
class AffineStart:
    """Where a method begins: the affine alignment, fixed -> moving, and the seconds that it took."""

    transform: AffineTransform
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method made of a case.

    warped_labels: the moving labels on the fixed volume's grid. landmarks_mm: where the fixed landmarks lie in the
    moving volume, (n, 3) RAS mm. seconds: wall time of the whole registration, the affine stage included; grid_seconds:
    of that, the network with everything on its grid. field: None where a peer does not give one. start: the alignment
    that a method found for itself.
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
    """A way to register.

    key: changes wherever its results may change. run: takes a case and the affine stage of the first method (None for
    the first method itself).
    """

    name: str
    key: str
    run: Callable[[Case, AffineStart | None], Outcome]


@dataclass(frozen=True)
class Scores:
    """The numbers of one method on one pair; None is what cannot be said (no labels, no landmarks).

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
        """Whether it lies below another method in what both could be measured by."""
        dice = self.dice is not None and other.dice is not None and self.dice < other.dice
        tre = self.tre_mm is not None and other.tre_mm is not None and self.tre_mm > other.tre_mm
        return dice or tre


def load_case(pair: EvaluationPair, minimum_voxels: int = 100) -> Case:
    """Read the files of a pair; structures with fewer voxels than the minimum in one of the two are left out.

    Raises InputError, naming the file, for one that cannot be used, and where no structure can be compared.
    """
    case = Case(pair, read_volume(pair.fixed), read_volume(pair.moving))
    if pair.landmarks is not None:
        case = replace(case, landmarks=read_landmarks(pair.landmarks))
    if pair.fixed_labels is None or pair.moving_labels is None:
        return case
    fixed, moving = read_labels(pair.fixed_labels), read_labels(pair.moving_labels)
    kept = comparable(fixed, moving, minimum_voxels)
    if not kept:
        raise InputError(
            f"{pair.fixed_labels}: no structure has {minimum_voxels} voxels both here and in {pair.moving_labels}; "
            "check the label values or ask for fewer voxels."
        )
    return replace(
        case,
        fixed_labels=replace(fixed, segments=tuple(ours for ours, _ in kept)),
        moving_labels=replace(moving, segments=tuple(theirs for _, theirs in kept)),
        structures_left_out=len({s.name for s in (*fixed.segments, *moving.segments)}) - len(kept),
    )


def comparable(fixed: Segmentation, moving: Segmentation, minimum_voxels: int) -> list[tuple[Segment, Segment]]:
    """The structures that both segmentations have, with at least so many voxels in each."""
    counts = [_voxel_counts(s) for s in (fixed, moving)]
    return [
        (ours, theirs)
        for ours, theirs in match_segments(fixed, moving)
        if min(counts[0][ours], counts[1][theirs]) >= minimum_voxels
    ]


def _voxel_counts(segmentation: Segmentation) -> dict[Segment, int]:
    found = [dict(zip(*np.unique(layer, return_counts=True), strict=True)) for layer in segmentation.layers]
    return {s: int(found[s.layer].get(s.value, 0)) for s in segmentation.segments}


def evaluate_case(
    case: Case, methods: Sequence[Method], *, surfaces: bool = True
) -> tuple[dict[str, Scores], dict[str, Outcome]]:
    """Scores and outcomes of a case by method: as loaded, after the affine stage, and after each of the methods.

    surfaces: whether the surface distances are wanted, which take most of the time of scoring. Raises InputError where
    a method cannot register the pair.
    """
    outcomes = run_methods(case, methods)
    return score(case, outcomes, surfaces=surfaces), outcomes


def run_methods(case: Case, methods: Sequence[Method]) -> dict[str, Outcome]:
    """What becomes of a case: as loaded, after the affine stage of the first method, and after each of the methods."""
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
    """What an affine map alone does."""
    geometry = case.fixed.geometry
    # Between two nodes along each axis a trilinear field is an affine map exactly.
    to_corners = _right_angled(geometry)
    points = to_corners.points_mm
    displacement = DisplacementField(transform(points) - points, to_corners.affine)
    return replace(evaluate_field(case, displacement, JacobianSummary(0.0, 1.0, 0.0)), seconds=seconds)


def _right_angled(geometry: Geometry) -> Geometry:
    """A grid of two nodes along each world axis around a volume."""
    corners = geometry.corners_mm
    low, high = corners.min(0), corners.max(0)
    matrix = np.diag([*(high - low), 1.0])
    matrix[:3, 3] = low
    return Geometry((2, 2, 2), matrix)


def evaluate_field(case: Case, found: DisplacementField, jacobian: JacobianSummary | None = None) -> Outcome:
    """What a displacement field does to the labels and the landmarks of a case."""
    geometry = case.fixed.geometry
    return Outcome(
        jacobian=jacobian or summarize_jacobian(found, geometry),
        warped_labels=None if case.moving_labels is None else warp_segmentation(case.moving_labels, found, geometry),
        landmarks_mm=None if case.landmarks is None else found(case.landmarks[:, 0]),
        field=found,
    )


def score(case: Case, outcomes: Mapping[str, Outcome], *, surfaces: bool = True) -> dict[str, Scores]:
    """The numbers of each outcome, by its name."""
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
    """The overlap of each structure under each outcome.

    Surface distances of a hundred structures take seconds and one comparison is of two states, so that the outcomes are
    compared two by two: what counts as `before` there is the first of the two.
    """
    labels = [(name, o.warped_labels) for name, o in outcomes.items() if o.warped_labels is not None]
    if case.fixed_labels is None or not labels:
        return {}
    found = {}
    for (first, one), (second, other) in zip(labels[::2], [*labels[1::2], labels[-1]], strict=False):
        compared = compare_segmentations(case.fixed_labels, one, other, case.fixed.geometry, surfaces=surfaces)
        found[first] = {s.name: s.before for s in compared}
        found[second] = {s.name: s.after for s in compared}
    return found


def _tre_mm(case: Case, outcome: Outcome) -> float | None:
    if case.landmarks is None or outcome.landmarks_mm is None:
        return None
    return float(np.linalg.norm(outcome.landmarks_mm - case.landmarks[:, 1], axis=1).mean())


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)
