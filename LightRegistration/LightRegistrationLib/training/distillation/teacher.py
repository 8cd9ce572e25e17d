"""The teacher: recursive cascades of a large network behind an affine stem; used in training only.

Sources: S. Zhao et al., "Recursive Cascaded Networks for Unsupervised Medical Image Registration", ICCV 2019;
S. Zhao et al., "Unsupervised 3D End-to-End Medical Image Registration with Volume Tweening Network", IEEE J-BHI 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.network.flows import compose, voxel_grid, warp
from ..data.pairs import Pair
from .lesson import Lesson, hash_weights

LEAK = 0.1


@dataclass(frozen=True)
class TeacherConfig:
    """How a teacher is built.

    cascades: number of networks after the affine stem. channels: of the first convolution; 16 is the published width,
    with 512 at the deepest level. affine: whether there is a stem. flow_scale_voxels: factor of the last layer's
    output, which is also divided by the number of cascades. We interpret the published "times 20, times 1 / cascades"
    as one constant factor of the full-resolution flow only, in voxels of the current grid: it determines the size of
    the first steps, limits nothing, and is not applied to the flows of coarser levels, whose upsampling is learned.
    """

    cascades: int = 3
    channels: int = 16
    affine: bool = True
    flow_scale_voxels: float = 20.0

    def __post_init__(self) -> None:
        if self.cascades < 1 or self.channels < 1:
            raise ValueError(f"cascades and channels have to be at least 1, got {self.cascades} and {self.channels}")


class Encoder(nn.Module):
    """Six levels of 3x3x3 convolutions with stride 2: c, 2c, 4c, 8c, 16c, 32c channels.

    The last four levels have a second convolution, with stride 1.
    Input: moving and fixed image, each (N, 1, D, H, W). Output: the features of the levels; each level halves the axes,
    rounded up.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.widths = tuple(channels * 2**level for level in range(6))
        self.levels = nn.ModuleList(
            nn.ModuleList([_conv(a, b, 2), _conv(b, b, 1)] if level > 1 else [_conv(a, b, 2)])
            for level, (a, b) in enumerate(pairwise((2, *self.widths)))
        )

    def forward(self, moving: Tensor, fixed: Tensor) -> list[Tensor]:
        """Features of both images, finest first."""
        x = torch.cat([moving, fixed], dim=1)
        features = []
        for level in self.levels:
            assert isinstance(level, nn.ModuleList)
            for layer in level:
                x = F.leaky_relu(layer(x), LEAK)
            features.append(x)
        return features


class AffineStem(nn.Module):
    """Predicts the affine map of a pair: dense layers on the deepest features, 9 + 3 numbers; identity before training.

    The features are pooled to 2x2x2 before the dense layers, so that a stem works on grids of any size. On the
    published grid of 128x128x128 voxels they already have this size and the pooling changes nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = Encoder(channels)
        features = self.encoder.widths[-1] * 2**3
        self.matrix = nn.Linear(features, 9)
        self.offset = nn.Linear(features, 3)
        for dense in (self.matrix, self.offset):
            nn.init.zeros_(dense.weight)
            nn.init.zeros_(dense.bias)

    def forward(self, moving: Tensor, fixed: Tensor) -> tuple[Tensor, Tensor]:
        """Matrix A = identity + W, (N, 3, 3), and offset b, (N, 3), voxels; components i, j, k.

        The map fixed -> moving is x -> A (x - m) + m + b, with m the center of the grid.
        """
        deepest = F.adaptive_avg_pool3d(self.encoder(moving, fixed)[-1], 2).flatten(1)
        identity = torch.eye(3, dtype=deepest.dtype, device=deepest.device)
        return identity + self.matrix(deepest).view(-1, 3, 3), self.offset(deepest)


class VolumeTweeningNetwork(nn.Module):
    """One cascade: an encoder-decoder that predicts a flow at each level and refines it at the next finer one.

    Input: moving and fixed image, each (N, 1, D, H, W). Output: (N, 3, D, H, W), voxels, components i, j, k.
    """

    def __init__(self, channels: int, scale_voxels: float) -> None:
        super().__init__()
        self.scale_voxels = scale_voxels
        self.encoder = Encoder(channels)
        skips = self.encoder.widths[-2::-1]
        inputs = (self.encoder.widths[-1], *(2 * width + 3 for width in skips))
        self.predict = nn.ModuleList(nn.Conv3d(n, 3, 3, padding=1) for n in inputs[:-1])
        self.upsample_flow = nn.ModuleList(_upconv(3, 3) for _ in skips)
        self.upsample = nn.ModuleList(_upconv(n, width) for n, width in zip(inputs[:-1], skips, strict=True))
        self.flow = _upconv(inputs[-1], 3)
        nn.init.normal_(self.flow.weight, std=1e-3)
        if self.flow.bias is not None:
            nn.init.zeros_(self.flow.bias)

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Predict the flow that aligns the moving image with the fixed image."""
        *skips, x = self.encoder(moving, fixed)
        layers = zip(self.predict, self.upsample_flow, self.upsample, reversed(skips), strict=True)
        for predict, upsample_flow, upsample, skip in layers:
            flow = upsample_flow(predict(x))
            x = F.leaky_relu(upsample(x), LEAK)
            x = torch.cat([skip, _crop(x, skip), _crop(flow, skip)], dim=1)
        return _crop(self.flow(x), moving) * self.scale_voxels


@dataclass(frozen=True)
class TeacherResult:
    """Prediction of a teacher for a batch; voxels of its grid, fixed -> moving, components i, j, k.

    flow: (N, 3, D, H, W), the total deformation. cascade_flows: the prediction of each cascade. matrix: (N, 3, 3), of
    the stem; None without a stem.
    """

    flow: Tensor
    cascade_flows: tuple[Tensor, ...]
    matrix: Tensor | None


class Teacher(nn.Module):
    """Affine stem and n cascades; the input of each is the original moving image, warped once by all before it."""

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = AffineStem(config.channels) if config.affine else None
        scale = config.flow_scale_voxels / config.cascades
        self.cascades = nn.ModuleList(VolumeTweeningNetwork(config.channels, scale) for _ in range(config.cascades))

    def forward(self, fixed: Tensor, moving: Tensor) -> TeacherResult:
        """Register images (N, 1, D, H, W) in [0, 1]."""
        matrix, offset = (None, None) if self.stem is None else self.stem(moving, fixed)
        deformable: Tensor | None = None
        predictions = []
        for cascade in self.cascades:
            total = total_flow(matrix, offset, deformable, moving.shape[2:])
            prediction = cascade(moving if total is None else warp(moving, total), fixed)
            predictions.append(prediction)
            deformable = prediction if deformable is None else compose(deformable, prediction)
        flow = total_flow(matrix, offset, deformable, moving.shape[2:])
        assert flow is not None
        return TeacherResult(flow, tuple(predictions), matrix)


class NetworkTeacher:
    """A trained teacher network: it sees the same images as the student, and teaches every pair."""

    def __init__(self, network: Teacher) -> None:
        self.network = network.eval().requires_grad_(False)
        self.identity: dict[str, Any] = {"kind": "network", "sha256": hash_weights(network)}

    def teach(self, pair: Pair, number: int | None = None) -> Lesson:
        """The network's total flow for each pair; the network is moved to the device of the images."""
        self.network.to(pair.fixed.device)
        with torch.no_grad():
            flow: Tensor = self.network(pair.fixed, pair.moving).flow
        return Lesson(flow, torch.ones(len(flow), dtype=torch.bool, device=flow.device))


def affine_displacement(matrix: Tensor, offset: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Displacement (N, 3, D, H, W), voxels, of x -> A (x - m) + m + b, with m the center of the grid."""
    center = (torch.tensor(shape[::-1], dtype=matrix.dtype, device=matrix.device) - 1) / 2
    points = voxel_grid(tuple(shape), matrix.device).to(matrix.dtype) - center.view(1, 3, 1, 1, 1)
    linear = matrix - torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    return _apply(linear, points.expand(len(matrix), -1, -1, -1, -1)) + offset.view(-1, 3, 1, 1, 1)


def total_flow(
    matrix: Tensor | None, offset: Tensor | None, deformable: Tensor | None, shape: tuple[int, ...]
) -> Tensor | None:
    """The displacement of affine(deformable(x)): A u + affine displacement, where u is the deformable displacement.

    Exact at every voxel, also where u points out of the grid, because the affine part is never interpolated. It is
    valid for any number of cascades, because all of them are applied before the affine map. None: identity.
    """
    if matrix is None or offset is None:
        return deformable
    affine = affine_displacement(matrix, offset, shape)
    return affine if deformable is None else _apply(matrix, deformable) + affine


def determinant_loss(matrix: Tensor) -> Tensor:
    """Mean over matrices (N, 3, 3) of (det A - 1)^2: the stem should preserve volume (VTN, section III)."""
    return (torch.linalg.det(matrix) - 1).square().mean()


def orthogonality_loss(matrix: Tensor) -> Tensor:
    """Mean over matrices (N, 3, 3) of sum(s^2 + 1 / s^2 - 2) over the singular values s; 0 for rotations and flips.

    Computed from the symmetric polynomials of A'A, to avoid the gradient of a decomposition (VTN, section III).
    """
    square = matrix.mT @ matrix
    first = square.diagonal(dim1=1, dim2=2).sum(1)
    second = (first.square() - (square @ square).diagonal(dim1=1, dim2=2).sum(1)) / 2
    third = torch.linalg.det(square).clamp(min=1e-6)
    return (first + second / third - 6).mean()


def _apply(matrix: Tensor, vectors: Tensor) -> Tensor:
    return torch.einsum("nab,nbdhw->nadhw", matrix, vectors)


def _crop(x: Tensor, like: Tensor) -> Tensor:
    d, h, w = like.shape[2:]
    return x[:, :, :d, :h, :w]


def _conv(inputs: int, outputs: int, stride: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1)


def _upconv(inputs: int, outputs: int) -> nn.ConvTranspose3d:
    return nn.ConvTranspose3d(inputs, outputs, 4, stride=2, padding=1)
