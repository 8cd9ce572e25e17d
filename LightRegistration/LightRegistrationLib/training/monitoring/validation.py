"""How a network does while it is trained: a few fixed pairs, registered again and again, in numbers and to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.deformation.jacobian import compute_corner_determinants
from ...core.geometry.transforms import DisplacementField
from ...core.network.flows import voxel_grid, warp
from ..data.pairs import Mixture, Pair

PAIRS = 3
SHOWN = 0.05
"""Brighter than this is what an image shows; empty space matches always and would hide what does not."""
_HELD_OUT = 10**12

Deform = Callable[[Pair], Tensor]
"""Registers a pair (N = 1): the whole flow (1, 3, D, H, W), voxels of the pair's grid, fixed -> moving."""


@dataclass(frozen=True)
class ValidationPair:
    """A pair that is kept: what the network sees, and the structures as one map of their numbers from 1.

    labels: (1, 1, D, H, W), 0 outside every structure; both None where the pair's source has none.
    """

    pair: Pair
    fixed_labels: Tensor | None
    moving_labels: Tensor | None

    @classmethod
    def of(cls, pair: Pair) -> ValidationPair:
        """Keep a pair with its labels as a map, which is as small for a hundred structures as for one."""
        images = Pair(pair.fixed, pair.moving, pair.fixed_clean[:, :1], pair.moving_clean[:, :1])
        return cls(images, _label_map(pair.fixed_labels), _label_map(pair.moving_labels))


@dataclass(frozen=True)
class ValidationCase:
    """A pair that was registered; flow as `Deform` gives it. The unit of lengths is the voxel of the pair's grid."""

    kept: ValidationPair
    flow: Tensor

    @property
    def warped(self) -> Tensor:
        """The moving image on the fixed one, (1, 1, D, H, W)."""
        return warp(self.kept.pair.moving, self.flow, padding="zeros")

    @property
    def warped_labels(self) -> Tensor | None:
        """The moving labels on the fixed image, (1, 1, D, H, W)."""
        labels = self.kept.moving_labels
        return None if labels is None else warp(labels, self.flow, mode="nearest", padding="zeros")

    def numbers(self) -> dict[str, float]:
        """The correlation of the clean images and the mean Dice, before and after; the share that folds, percent.

        `before` is what the source's affine alignment left. Without labels there is no Dice.
        """
        pair, fixed_labels = self.kept.pair, self.kept.fixed_labels
        warped = warp(pair.moving_clean, self.flow, padding="zeros")
        found = {
            "correlation_before": correlation(pair.fixed_clean, pair.moving_clean),
            "correlation": correlation(pair.fixed_clean, warped),
        }
        if fixed_labels is not None and self.kept.moving_labels is not None and self.warped_labels is not None:
            found["dice_before"] = mean_dice(fixed_labels, self.kept.moving_labels)
            found["dice"] = mean_dice(fixed_labels, self.warped_labels)
        return found | {"folding_percent": folding_percent(self.flow)}


@dataclass(frozen=True)
class Validation:
    """All pairs of a validation."""

    cases: tuple[ValidationCase, ...]

    def numbers(self) -> dict[str, float]:
        """The mean over the pairs of what can be said of each."""
        each = [case.numbers() for case in self.cases]
        names = dict.fromkeys(name for numbers in each for name in numbers)
        known = {name: [n[name] for n in each if name in n and np.isfinite(n[name])] for name in names}
        return {name: float(np.mean(values)) for name, values in known.items() if values}


def validation_pairs(mixture: Mixture, seed: int, count: int = PAIRS) -> tuple[ValidationPair, ...]:
    """Draw fixed pairs, from each source in turn; the generator of the run is not touched, so that it resumes exactly.

    The same seed draws the same pairs; the run itself draws others.
    """
    generator = torch.Generator().manual_seed(_HELD_OUT + seed)
    sources = mixture.sources
    return tuple(ValidationPair.of(sources[n % len(sources)].draw(generator)) for n in range(count))


def validate(pairs: Sequence[ValidationPair], deform: Deform) -> Validation:
    """Register the pairs; the caller puts its networks into evaluation mode where that makes a difference."""
    with torch.no_grad():
        flows = [deform(kept.pair).float().cpu() for kept in pairs]
    return Validation(tuple(ValidationCase(*both) for both in zip(pairs, flows, strict=True)))


def correlation(fixed: Tensor, moving: Tensor) -> float:
    """Pearson correlation of images (1, 1, D, H, W) where either shows something; NaN if they show nothing there."""
    shown = (fixed > SHOWN) | (moving > SHOWN)
    both = torch.stack([fixed[shown], moving[shown]])
    return float(torch.corrcoef(both)[0, 1]) if both.shape[1] > 1 else float("nan")


def mean_dice(fixed: Tensor, moving: Tensor) -> float:
    """Mean Dice of label maps (1, 1, D, H, W) over the structures that the fixed one shows; NaN if it shows none."""
    count = int(max(fixed.max(), moving.max())) + 1
    own, other, common = (
        torch.bincount(values.flatten().long(), minlength=count)[1:].double()
        for values in (fixed, moving, torch.where(fixed == moving, fixed, 0))
    )
    shown = own > 0
    return float((2 * common[shown] / (own + other)[shown]).mean())


def folding_percent(flow: Tensor) -> float:
    """How many of the raw Jacobian determinants of x + flow(x) are not positive, percent; see `compute_corner_determinants`."""
    field = DisplacementField(flow[0].movedim(0, -1).numpy(), np.eye(4))
    return float(100 * (compute_corner_determinants(field) <= 0).mean())


def sampling_points(flow: Tensor) -> Tensor:
    """Where in the moving image each voxel of the fixed one lies, (1, 3, D, H, W), voxels, components i, j, k."""
    return voxel_grid(tuple(flow.shape[2:]), flow.device) + flow


def _label_map(memberships: Tensor | None) -> Tensor | None:
    if memberships is None:
        return None
    share, number = memberships.max(1, keepdim=True)
    return torch.where(share > 0.5, number + 1, 0).float()
