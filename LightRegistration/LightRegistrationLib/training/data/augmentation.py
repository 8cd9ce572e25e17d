"""Augmentation: random poses, elastic deformations and intensity changes. Lengths in mm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.network.flows import resize_flow


def uniform(generator: torch.Generator) -> float:
    """Draw a number from [0, 1)."""
    return float(torch.rand((), generator=generator))


def symmetric(count: int, generator: torch.Generator) -> Tensor:
    """Draw numbers from [-1, 1), (count,)."""
    return 2 * torch.rand(count, generator=generator) - 1


def random_matrix(degrees: float, scaling: float, shift_mm: float, generator: torch.Generator) -> Tensor:
    """A random 4x4 map in mm of positive determinant: x -> R (1 + E) S x + shift.

    R: rotation vector with components up to `degrees`; S: factors 1 ± `scaling` (below 1) along the axes; E: nine
    numbers up to a third of `scaling`, mostly shear; shift: up to `shift_mm` along each axis.
    """
    angles = torch.deg2rad(degrees * symmetric(3, generator))
    rotation_part = torch.zeros(3, 3)
    rotation_part[0, 1], rotation_part[0, 2], rotation_part[1, 2] = -angles[2], angles[1], -angles[0]
    rotation = torch.linalg.matrix_exp(rotation_part - rotation_part.T)
    shear = torch.eye(3) + scaling / 3 * symmetric(9, generator).view(3, 3)
    matrix = torch.eye(4)
    matrix[:3, :3] = rotation @ shear @ torch.diag(1 + scaling * symmetric(3, generator))
    matrix[:3, 3] = shift_mm * symmetric(3, generator)
    return matrix


def elastic_flow(
    shape: tuple[int, ...], spacing_mm: float, amplitude_mm: float, node_mm: float, generator: torch.Generator
) -> Tensor:
    """A smooth random flow (1, 3, D, H, W), voxels: random vectors at nodes `node_mm` apart, interpolated linearly.

    amplitude_mm: largest standard deviation of a component at the nodes; each flow draws its own, smaller one.
    """
    nodes = tuple(max(3, round(n * spacing_mm / node_mm)) for n in shape)
    control = torch.randn(1, 3, *nodes, generator=generator)
    amplitude = amplitude_mm / spacing_mm * uniform(generator)
    ratio = torch.tensor([a / b for a, b in zip(nodes[::-1], shape[::-1], strict=True)]).view(1, 3, 1, 1, 1)
    return resize_flow(control * amplitude * ratio, shape)


def bias_field(shape: tuple[int, ...], strength: float, generator: torch.Generator) -> Tensor:
    """A smooth positive factor (1, 1, D, H, W) around 1."""
    bias = torch.randn(1, 1, 3, 4, 3, generator=generator) * strength * uniform(generator)
    return torch.exp(F.interpolate(bias, size=tuple(shape), mode="trilinear"))


def random_gamma(image: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Raise an image in [0, 1] to a power between 2^-strength and 2^strength."""
    return image.clamp(0, 1) ** float(2 ** (strength * float(symmetric(1, generator))))


def cut_field_of_view(image: Tensor, probability: float, largest_share: float, generator: torch.Generator) -> Tensor:
    """With a probability, set one end of one axis of (N, 1, D, H, W) to 0, up to a share of its length."""
    if uniform(generator) >= probability:
        return image
    axis, last = int(3 * uniform(generator)) + 2, uniform(generator) < 0.5
    count = int(image.shape[axis] * largest_share * uniform(generator))
    image = image.clone()
    image.narrow(axis, image.shape[axis] - count if last else 0, count).zero_()
    return image
