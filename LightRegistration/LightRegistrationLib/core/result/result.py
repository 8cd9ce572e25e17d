"""What a registration gives back: the displacement field and its numbers; torch-free."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from .settings import RefinementPreset, RegistrationSettings

if TYPE_CHECKING:
    # NumPy takes a while to import, and the definition of the report needs only the words that stand here.
    from ..geometry.transforms import AffineTransform, DisplacementField


class Metric(StrEnum):
    """The image similarity that a refinement maximizes.

    CORRELATION: squared local correlation, for a single contrast. MIND: distance of MIND descriptors, for multimodal
    pairs.
    """

    CORRELATION = "correlation"
    MIND = "MIND"


class RefinementEnd(StrEnum):
    """Why a refinement ended.

    NO_GAIN: the similarity grew no more. ALL_STEPS: the largest number of steps was reached.
    """

    NO_GAIN = "no gain"
    ALL_STEPS = "all steps"


@dataclass(frozen=True)
class JacobianSummary:
    """How a displacement field changes volumes: of the raw determinant of x -> x + d(x), over the fixed volume.

    percent_nonpositive: percent of the determinants that are <= 0 (folding). minimum: the least determinant. std_log:
    standard deviation of the logarithm of the positive determinants. percentile_1, percentile_99: of the determinants.
    """

    percent_nonpositive: float
    minimum: float
    std_log: float
    percentile_1: float
    percentile_99: float


@dataclass(frozen=True)
class DisplacementSummary:
    """How long the displacements beyond the initial alignment are over the fixed volume, mm."""

    median_mm: float
    percentile_95_mm: float
    maximum_mm: float


@dataclass(frozen=True)
class ConsistencySummary:
    """How far the registration and the one in the opposite direction together miss the identity, mm.

    The distances of places in the fixed volume from where they come back to, after the displacement to the moving
    volume and that of the opposite registration. Places that are displaced out of the moving volume are left out.
    """

    mean_mm: float
    percentile_95_mm: float
    maximum_mm: float


@dataclass(frozen=True)
class RefinementSummary:
    """What the optimization for one pair did.

    metric: the similarity that was maximized. steps: steps taken. ended: why it ended. similarity_before,
    similarity_after: mean over the compared voxels at the finest grid, larger is better. preset NONE: the coarse steps
    that multimodal pairs get without a preset.
    """

    preset: RefinementPreset
    metric: Metric
    steps: int
    ended: RefinementEnd
    similarity_before: float
    similarity_after: float


@dataclass(frozen=True)
class PreservedVolume:
    """One structure whose volume was to be preserved.

    change_percent: by how much its volume changed. change_percent_free: by how much it would have changed without
    volume preservation. Both relative to its volume in the moving volume.
    """

    name: str
    change_percent_free: float
    change_percent: float


class ChangeKind(StrEnum):
    """How a place changed from the fixed to the moving scan of one person.

    BRIGHTER, DARKER: its tissue has no counterpart, the moving scan is brighter or darker there. LARGER, SMALLER: its
    tissue has one, with more or less volume in the moving scan.
    """

    BRIGHTER = "brighter"
    DARKER = "darker"
    LARGER = "larger"
    SMALLER = "smaller"


@dataclass(frozen=True)
class ChangedPlace:
    """A place that changed between two scans of one person.

    position_mm: of its middle in the fixed scan, RAS; of LARGER and SMALLER where it changed most. volume_mm3: of the
    place where tissue has no counterpart, in the fixed scan; else the change of the volume, positive.
    """

    kind: ChangeKind
    position_mm: tuple[float, float, float]
    volume_mm3: float


@dataclass(frozen=True)
class CompositionErrors:
    """How far a transform and then its inverse move the points of a volume. percent_above: of the tolerance."""

    mean_mm: float
    max_mm: float
    percent_above: float


@dataclass(frozen=True)
class InverseAccuracy:
    """How exact an inverse is.

    fixed: of the inverse after the transform, in the fixed volume. moving: of the transform after the inverse, in the
    moving volume.
    """

    tolerance_mm: float
    fixed: CompositionErrors
    moving: CompositionErrors


@dataclass(frozen=True)
class RegistrationResult:
    """One registration: the displacement field, and how it was found.

    field: fixed -> moving, RAS mm; its grid covers the scanned part of the fixed volume, and outside the grid it is
    `initial` (the inverse: `core.deformation.inverse.invert`).
    initial: the alignment before the network, fixed -> moving. model_reason: why this model, one line.
    refinement: None if there was none. preserved_volumes: one entry for each structure of the guidance. changes: the
    places that changed between two scans of one person, None unless that was asked for and both have one contrast.
    seconds: wall time of each stage (values of `Stage`), in order. warnings: lines for the user.
    """

    field: DisplacementField
    initial: AffineTransform
    model: str
    weights_sha256: str
    settings: RegistrationSettings
    jacobian: JacobianSummary
    displacement: DisplacementSummary
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    model_reason: str = ""
    refinement: RefinementSummary | None = None
    preserved_volumes: tuple[PreservedVolume, ...] = ()
    changes: tuple[ChangedPlace, ...] | None = None
