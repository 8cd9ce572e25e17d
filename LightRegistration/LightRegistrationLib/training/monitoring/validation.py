"""Validation during training: a few fixed pairs are registered regularly; results as numbers and as images."""

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

FOREGROUND_THRESHOLD = 0.05
"""Intensity above which a voxel is foreground; background always matches and hides errors. Chosen, not measured."""
_SEED_OFFSET = 10**12
"""Added to the seed of the run, so that validation pairs differ from the training pairs."""

Register = Callable[[Pair], Tensor]
"""Registers a pair (N = 1): the total flow (1, 3, D, H, W), voxels of the pair's grid, fixed -> moving."""


@dataclass(frozen=True)
class ValidationPair:
    """A fixed pair with its structures as a label map of their numbers from 1.

    labels: (1, 1, D, H, W), 0 outside every structure; both None if the source of the pair has no labels.
    """

    pair: Pair
    fixed_labels: Tensor | None
    moving_labels: Tensor | None

    @classmethod
    def from_pair(cls, pair: Pair) -> ValidationPair:
        """Reduce a pair to its first clean channel and a label map, whose size does not grow with the structures."""
        images = Pair(pair.fixed, pair.moving, pair.fixed_clean[:, :1], pair.moving_clean[:, :1])
        return cls(images, _label_map(pair.fixed_labels), _label_map(pair.moving_labels))


@dataclass(frozen=True)
class ValidationCase:
    """A registered validation pair; flow as `Register` returns it, voxels of the pair's grid."""

    validation_pair: ValidationPair
    flow: Tensor

    @property
    def warped(self) -> Tensor:
        """The moving image on the grid of the fixed image, (1, 1, D, H, W)."""
        return warp(self.validation_pair.pair.moving, self.flow, padding="zeros")

    @property
    def warped_labels(self) -> Tensor | None:
        """The moving labels on the grid of the fixed image, (1, 1, D, H, W)."""
        labels = self.validation_pair.moving_labels
        return None if labels is None else warp(labels, self.flow, mode="nearest", padding="zeros")

    def numbers(self) -> dict[str, float]:
        """Correlation of the clean images and mean Dice, before and after registration; folding in percent.

        `before` is the affine alignment of the source. Without labels there is no Dice.
        """
        pair = self.validation_pair.pair
        fixed_labels, moving_labels = self.validation_pair.fixed_labels, self.validation_pair.moving_labels
        warped = warp(pair.moving_clean, self.flow, padding="zeros")
        numbers = {
            "correlation_before": correlation(pair.fixed_clean, pair.moving_clean),
            "correlation": correlation(pair.fixed_clean, warped),
        }
        if fixed_labels is not None and moving_labels is not None and self.warped_labels is not None:
            numbers["dice_before"] = mean_dice(fixed_labels, moving_labels)
            numbers["dice"] = mean_dice(fixed_labels, self.warped_labels)
        return numbers | {"folding_percent": folding_percent(self.flow)}


@dataclass(frozen=True)
class Validation:
    """All registered pairs of one validation."""

    cases: tuple[ValidationCase, ...]

    def numbers(self) -> dict[str, float]:
        """The mean of each number over the pairs that have a finite value of it."""
        each = [case.numbers() for case in self.cases]
        names = dict.fromkeys(name for numbers in each for name in numbers)
        known = {name: [n[name] for n in each if name in n and np.isfinite(n[name])] for name in names}
        return {name: float(np.mean(values)) for name, values in known.items() if values}


def draw_validation_pairs(mixture: Mixture, seed: int, count: int) -> tuple[ValidationPair, ...]:
    """Draw the validation pairs, from each source in turn; the same seed draws the same pairs.

    They have their own random generator, so that the pairs of the run do not depend on them.
    """
    generator = torch.Generator().manual_seed(_SEED_OFFSET + seed)
    sources = mixture.sources
    return tuple(ValidationPair.from_pair(sources[n % len(sources)].draw(generator)) for n in range(count))


def validate(pairs: Sequence[ValidationPair], register: Register) -> Validation:
    """Register the pairs; the caller sets its networks to evaluation mode where that makes a difference."""
    with torch.no_grad():
        flows = [register(validation_pair.pair).float().cpu() for validation_pair in pairs]
    return Validation(tuple(ValidationCase(*both) for both in zip(pairs, flows, strict=True)))


def correlation(fixed: Tensor, moving: Tensor) -> float:
    """Pearson correlation of images (1, 1, D, H, W) over the foreground of either; NaN without foreground."""
    foreground = (fixed > FOREGROUND_THRESHOLD) | (moving > FOREGROUND_THRESHOLD)
    both = torch.stack([fixed[foreground], moving[foreground]])
    return float(torch.corrcoef(both)[0, 1]) if both.shape[1] > 1 else float("nan")


def mean_dice(fixed: Tensor, moving: Tensor) -> float:
    """Mean Dice of label maps (1, 1, D, H, W) over the structures in the fixed one; NaN if it has none."""
    count = int(max(fixed.max(), moving.max())) + 1
    fixed_counts, moving_counts, common = (
        torch.bincount(values.flatten().long(), minlength=count)[1:].double()
        for values in (fixed, moving, torch.where(fixed == moving, fixed, 0))
    )
    present = fixed_counts > 0
    return float((2 * common[present] / (fixed_counts + moving_counts)[present]).mean())


def folding_percent(flow: Tensor) -> float:
    """Percent of raw Jacobian determinants of x + flow(x) that are not positive; see `compute_corner_determinants`."""
    field = DisplacementField(flow[0].movedim(0, -1).numpy(), np.eye(4))
    return float(100 * (compute_corner_determinants(field) <= 0).mean())


def sampling_points(flow: Tensor) -> Tensor:
    """Points in the moving image that correspond to the fixed voxels, (1, 3, D, H, W), voxels, components i, j, k."""
    return voxel_grid(tuple(flow.shape[2:]), flow.device) + flow


def _label_map(memberships: Tensor | None) -> Tensor | None:
    if memberships is None:
        return None
    share, number = memberships.max(1, keepdim=True)
    return torch.where(share > 0.5, number + 1, 0).float()
