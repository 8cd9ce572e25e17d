"""Settings of a source of real images: which scans make a pair, how they are prepared, what is drawn at random."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from ...core.network.intensity import IntensityNormalization

PAIRINGS = ("between", "within", "self")


@dataclass(frozen=True)
class ImageVariation:
    """Ranges of the random variation of a pair; lengths in mm, angles in degrees, all else as fractions.

    residual_*: remaining affine misalignment, applied to the moving image only. flip: probability that both images are
    mirrored, left to right (labels that distinguish the sides are wrong then). cut: probability that an image loses up
    to a fifth of its field of view. gamma: the intensities are raised to a power between 2^-gamma and 2^gamma.
    """

    rotation: float = 8.0
    scaling: float = 0.1
    shift_mm: float = 4.0
    residual_rotation: float = 3.0
    residual_scaling: float = 0.04
    residual_shift_mm: float = 2.0
    elastic_mm: float = 2.0
    node_mm: float = 32.0
    noise: float = 0.02
    bias: float = 0.1
    gamma: float = 0.2
    cut: float = 0.1
    flip: float = 0.0

    def __post_init__(self) -> None:
        largest = {"scaling": 0.5, "residual_scaling": 0.5, "cut": 1.0, "flip": 1.0}
        for name, value in asdict(self).items():
            if not 0 <= value <= largest.get(name, math.inf):
                raise ValueError(f"{name} has to be 0 or more, and not above {largest.get(name, 'any limit')}")
        if self.node_mm == 0:
            raise ValueError("node_mm has to be positive")


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """What an `ImageSource` needs to know besides its scans.

    pairs: `between` different subjects, `within` a subject (follow-up, breathing), or `self` (one image, two
    deformations). structures: label values to use; if empty, all that at least two scans have. reference: name of the
    scan that the others are aligned to; the first one if empty. intensity: the normalization of the model
    (`percentile` or `window`, low, high).
    """

    pairs: str = "between"
    structures: tuple[int, ...] = ()
    reference: str = ""
    intensity: dict[str, Any] = field(default_factory=dict)
    variation: ImageVariation = field(default_factory=ImageVariation)

    def __post_init__(self) -> None:
        if self.pairs not in PAIRINGS:
            raise ValueError(f"pairs has to be between, within or self, got {self.pairs!r}")
        if unknown := set(self.intensity) - {"kind", "low", "high"}:
            raise ValueError(f"intensity has the keys kind, low and high, not {sorted(unknown)}")
        self.normalization()

    def normalization(self) -> IntensityNormalization:
        """The intensity normalization of the images. Raises ValueError for values that cannot be used."""
        return IntensityNormalization(**self.intensity)
