"""What a registration is asked for and what it gives back: plain values, free of torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry.transforms import AffineTransform, DisplacementField
from ..geometry.volume import Segmentation

Progress = Callable[[float, str], None]
"""Called with the fraction done (0 to 1) and the name of the stage that starts."""

INITIAL_MODES = ("none", "centers", "affine")
REFINEMENTS = ("none", "fast", "best")


def ignore_progress(fraction: float, stage: str) -> None:
    """Report progress to nobody."""


def scale_progress(progress: Progress, first: float, last: float) -> Progress:
    """Progress of a step that takes the whole from the fraction `first` to `last`."""
    return lambda fraction, stage: progress(first + fraction * (last - first), stage)


@dataclass(frozen=True)
class RegistrationSettings:
    """The user's choices.

    model: name of a bundled or added model, or `auto`. cascades: 1 to 3, None as trained. initial: `none` (trust the
    headers), `centers` (align the middles), `affine` (find an affine map first), or an AffineTransform fixed -> moving.
    threads: CPU threads, None for all cores.
    refine: how long the student's deformation is optimized for this pair: `none`, `fast` (a few seconds), `best`.
    keep_volume: names of moving segments whose volume the deformation must not change (tumors).
    Raises InputError for values out of range.
    """

    model: str = "auto"
    cascades: int | None = None
    initial: str | AffineTransform = "affine"
    threads: int | None = None
    refine: str = "none"
    keep_volume: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.cascades is not None and not 1 <= self.cascades <= 3:
            raise InputError(f"A student runs in 1 to 3 cascades, not {self.cascades}.")
        if isinstance(self.initial, str) and self.initial not in INITIAL_MODES:
            raise InputError(f"Unknown initial alignment '{self.initial}': use {', '.join(INITIAL_MODES)} or a file.")
        if self.refine not in REFINEMENTS:
            raise InputError(f"Unknown refinement '{self.refine}': use {', '.join(REFINEMENTS)}.")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"At least one thread is needed, not {self.threads}.")


@dataclass(frozen=True, eq=False)
class Guidance:
    """What a user knows of the two volumes beforehand; each part may be missing.

    fixed_mask, moving_mask: where the volumes are compared, the union of all segments, on any grid; what lies outside
    follows by smoothness. keep: the structures of the moving volume that keep their volume, and only these.
    """

    fixed_mask: Segmentation | None = None
    moving_mask: Segmentation | None = None
    keep: Segmentation | None = None


NO_GUIDANCE = Guidance()


@dataclass(frozen=True)
class JacobianSummary:
    """How a displacement field changes volumes: of the raw determinant of x -> x + d(x), over the fixed volume.

    percent_nonpositive: percent of voxels where it is <= 0 (folding). minimum: its least value. std_log: standard
    deviation of its logarithm over the voxels where it is positive.
    """

    percent_nonpositive: float
    minimum: float
    std_log: float


@dataclass(frozen=True)
class RefinementSummary:
    """What the optimization for one pair did: steps taken, why it ended, and the similarity that it climbed.

    metric: what was climbed, `correlation` (local) or `MIND`. similarity_before, similarity_after: its mean over the
    compared voxels at the finest grid, larger is better. ended: `no gain`, `all steps`. preset `none`: the coarse steps
    that two contrasts get in any case.
    """

    preset: str
    metric: str
    steps: int
    ended: str
    similarity_before: float
    similarity_after: float


@dataclass(frozen=True)
class PreservedVolume:
    """One structure whose volume was to be kept: by how much it changed, without and with keeping it, percent."""

    name: str
    change_percent_free: float
    change_percent: float


@dataclass(frozen=True)
class RegistrationResult:
    """One registration: the field and all that is needed to say how it came about.

    field: fixed -> moving, RAS mm; its grid covers the fixed volume (the inverse: `core.deformation.jacobian.invert`).
    initial: the alignment before the student, fixed -> moving. model_reason: why this model, one line.
    refinement: None where there was none. kept: one entry for each structure whose volume was to be kept.
    seconds: wall time per stage, in order. warnings: lines for the user.
    """

    field: DisplacementField
    initial: AffineTransform
    model: str
    weights_sha256: str
    settings: RegistrationSettings
    jacobian: JacobianSummary
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    model_reason: str = ""
    refinement: RefinementSummary | None = None
    kept: tuple[PreservedVolume, ...] = ()


@dataclass(frozen=True)
class Overlap:
    """Agreement of one structure with the fixed one.

    dice, jaccard: 0 to 1. hd95_mm: 95th percentile of the surface distances, both ways pooled, mm; NaN if either is
    empty. volume_change_percent: of the moving structure's own volume (0 before registration).
    """

    dice: float
    jaccard: float
    hd95_mm: float
    volume_change_percent: float


@dataclass(frozen=True)
class StructureScore:
    """One structure that both segmentations have: before (as loaded) and after registration."""

    name: str
    value: int
    fixed_voxels: int
    before: Overlap
    after: Overlap


def mean_overlap(overlaps: list[Overlap]) -> Overlap:
    """The mean over structures; HD95 over those where it is defined. Raises InputError for an empty list."""
    if not overlaps:
        raise InputError("The two segmentations have no structure in common: check their names or label values.")
    columns: list[NDArray[np.float64]] = [
        np.array([getattr(o, name) for o in overlaps], dtype=np.float64)
        for name in ("dice", "jaccard", "hd95_mm", "volume_change_percent")
    ]
    means = [float(c[np.isfinite(c)].mean()) if np.isfinite(c).any() else float("nan") for c in columns]
    return Overlap(*means)
