"""Synthesizes pairs of random shapes with random contrasts, for a model that depends on no anatomy and no contrast.

The label of a voxel is the index of the largest of several smooth random fields. The label map is deformed in two ways,
and each of the two gets its own contrast (Hoffmann et al., SynthMorph, IEEE TMI 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.network.flows import compose, exponential, resize_flow, voxel_grid, warp
from ...core.network.light_network import STRIDE
from ..data.augmentation import elastic_flow, random_matrix, uniform
from ..data.pairs import Pair
from .appearance import ScannerSettings, cut_ends, render_mri

PROJECTIONS = 4
_SQUARINGS = 5
"""Scaling-and-squaring steps that integrate a velocity."""
_SCALES_MM = (24.0, 48.0, 96.0)
"""Distances between the nodes of the random velocities; chosen, not measured."""


@dataclass(frozen=True, kw_only=True)
class ShapeSettings(ScannerSettings):
    """Ranges of the random variation of a pair; lengths in mm, angles in degrees, all else as fractions.

    shapes: number of classes. smallest_mm, largest_mm: size of the shapes. deformation_mm: largest standard deviation
    of the displacement, at each of three scales and for each of the two images. residual_*: additional random pose of
    the moving image. background: probability of a black background around a body-like region.
    """

    shapes: int = 16
    smallest_mm: float = 12.0
    largest_mm: float = 60.0
    deformation_mm: float = 4.0
    residual_rotation: float = 4.0
    residual_scaling: float = 0.05
    residual_shift_mm: float = 4.0
    background: float = 0.5

    def __post_init__(self) -> None:
        if self.shapes < 2 or not 0 < self.smallest_mm <= self.largest_mm:
            raise ValueError("shapes has to be 2 or more, and smallest_mm above 0 and not above largest_mm")


def check_size(size_voxels: Sequence[int]) -> None:
    """Raise ValueError if a network cannot work on a grid of this size."""
    if len(size_voxels) != 3 or any(n < STRIDE or n % STRIDE for n in size_voxels):
        raise ValueError(f"size_voxels has to be three multiples of {STRIDE}, got {list(size_voxels)}")


class ShapeSynthesizer:
    """Draws pairs of random shapes on a grid (D, H, W) of multiples of STRIDE.

    The clean images have one common contrast, and PROJECTIONS random projections of the classes. labels: number of
    classes, drawn anew for each pair, whose memberships are the labels; all of them in order if there are not more.
    """

    def __init__(self, shape: tuple[int, int, int], spacing_mm: float, config: ShapeSettings, labels: int = 0) -> None:
        check_size(shape)
        self.shape = shape
        self.spacing_mm = spacing_mm
        self.config = config
        self.labels = labels

    def draw(self, generator: torch.Generator) -> Pair:
        """Draw one pair."""
        return self._draw(generator)[0]

    def draw_with_flow(self, generator: torch.Generator) -> tuple[Pair, Tensor]:
        """Draw one pair, the same as `draw`, and its true flow (1, 3, D, H, W), voxels, fixed -> moving.

        The flow is exact except for the integration of the velocities and where it leaves the grid.
        """
        pair, velocities, pose = self._draw(generator)
        back = compose(self._affine_flow(pose.inverse()), self._flow(-velocities[1]))
        return pair, compose(back, self._flow(velocities[0]))

    def _draw(self, generator: torch.Generator) -> tuple[Pair, list[Tensor], Tensor]:
        config = self.config
        classes = self._draw_label_map(generator)
        contrasts, targets = self._draw_contrasts(generator), self._draw_target_weights(generator)
        velocities = [self._draw_velocity(generator) for _ in range(2)]
        pose = random_matrix(config.residual_rotation, config.residual_scaling, config.residual_shift_mm, generator)
        flows = self._flow(velocities[0]), compose(self._flow(velocities[1]), self._affine_flow(pose))
        images = []
        for contrast, flow in zip(contrasts, flows, strict=True):
            rendered = torch.cat([contrast[None], targets])[:, classes][None]
            warped = warp(rendered, flow)
            image = cut_ends(render_mri(warped[:, :1], config, self.spacing_mm, generator), config, generator)
            images.append(
                (image, warped[:, 1 : 2 + PROJECTIONS], warped[:, 2 + PROJECTIONS :] if self.labels else None)
            )
        (fixed, fixed_clean, fixed_labels), (moving, moving_clean, moving_labels) = images
        return Pair(fixed, moving, fixed_clean, moving_clean, fixed_labels, moving_labels), velocities, pose

    def _draw_label_map(self, generator: torch.Generator) -> Tensor:
        """A label map (D, H, W): classes from 0; the last one is the background."""
        config = self.config
        ratio = config.largest_mm / config.smallest_mm
        size_mm = config.smallest_mm * ratio ** uniform(generator)
        classes = _argmax(self._draw_fields(config.shapes, size_mm, generator)[0])
        if uniform(generator) < config.background:
            axes = [torch.linspace(-1, 1, n) for n in self.shape]
            radius = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0)
            outside = radius + 0.25 * self._draw_fields(1, 60.0, generator)[0, 0] > 0.5 + 0.5 * uniform(generator)
            classes[outside] = config.shapes
        return classes

    def _draw_fields(self, count: int, size_mm: float, generator: torch.Generator) -> Tensor:
        """Smooth random fields (1, count, D, H, W) with structures of this size and, weaker, of half the size."""
        nodes = [max(2, round(n * self.spacing_mm / size_mm)) for n in self.shape]
        coarse = torch.randn(1, count, *nodes, generator=generator)
        fine = torch.randn(1, count, *(2 * n for n in nodes), generator=generator)
        both = F.interpolate(coarse, size=fine.shape[2:], mode="trilinear") + 0.5 * fine
        return F.interpolate(both, size=self.shape, mode="trilinear")

    def _draw_contrasts(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The intensities of the classes in the two images."""
        first, second = (self._draw_intensities(generator) for _ in range(2))
        return first, second if uniform(generator) < self.config.independent_contrast else first

    def _draw_intensities(self, generator: torch.Generator) -> Tensor:
        means = torch.rand(self.config.shapes + 1, generator=generator)
        means[-1] = 0
        return means

    def _draw_target_weights(self, generator: torch.Generator) -> Tensor:
        """Weights (1 + PROJECTIONS + labels, classes) of clean images and labels."""
        count = self.config.shapes
        projections = torch.randn(PROJECTIONS, count + 1, generator=generator)
        chosen = torch.arange(count)
        if self.labels < count:
            chosen = torch.randperm(count, generator=generator)[: self.labels]
        return torch.cat([self._draw_intensities(generator)[None], projections, torch.eye(count + 1)[chosen]])

    def _draw_velocity(self, generator: torch.Generator) -> Tensor:
        """A stationary velocity on the half grid, in its voxels."""
        half, spacing = tuple(n // 2 for n in self.shape), 2 * self.spacing_mm
        amplitude = self.config.deformation_mm
        return sum(
            (elastic_flow(half, spacing, amplitude, node_mm, generator) for node_mm in _SCALES_MM),
            start=torch.zeros(1, 3, *half),
        )

    def _flow(self, velocity: Tensor) -> Tensor:
        return resize_flow(exponential(velocity, _SQUARINGS), self.shape)

    def _affine_flow(self, pose: Tensor) -> Tensor:
        """The flow, voxels, of a 4x4 map in mm about the center of the grid."""
        center = ((torch.tensor(self.shape[::-1], dtype=torch.float32) - 1) / 2).view(1, 3, 1, 1, 1)
        offset = voxel_grid(self.shape, torch.device("cpu")) - center
        shift = (pose[:3, 3] / self.spacing_mm).view(1, 3, 1, 1, 1)
        return torch.einsum("ab,nbdhw->nadhw", pose[:3, :3] - torch.eye(3), offset) + shift


def _argmax(fields: Tensor) -> Tensor:
    """Index of the largest of the fields (n, D, H, W), as (D, H, W); faster than argmax along the first axis."""
    highest, classes = fields[0].clone(), torch.zeros(fields.shape[1:], dtype=torch.long)
    for n, field in enumerate(fields[1:], start=1):
        classes.masked_fill_(field > highest, n)
        torch.maximum(highest, field, out=highest)
    return classes
