"""Networks and losses that learn, from unlabeled scans, how they differ from a labeled atlas in space and appearance.

Source: Zhao, Balakrishnan et al., "Data augmentation using learned transformations for one-shot medical image
segmentation", CVPR 2019, section 3. For an atlas x and scans y, all on one grid and affinely aligned:

- spatial: phi = g(x, y) aligns the atlas with the scan, phi^-1 the scan with the atlas. g is the student's cascade with
  its velocity head; its inverse is exact up to interpolation: the negated velocities in reverse order.
- appearance: psi = h(x, y o phi^-1) is added to the intensities of the atlas; it is smooth except across label edges.

A labeled image is then tau_s(tau_a(x)) = (x + psi_j) o phi_i, with the labels l_x o phi_i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.network.cascade import CascadeConfig, RecursiveCascade
from ...core.network.flows import compose, exponential, resize_flow, warp
from ...core.network.light_network import STRIDE

WIDTHS = (16, 32, 32)
FULL_WIDTH = 8
LEAK = 0.2


@dataclass(frozen=True, eq=False)
class Atlas:
    """The labeled image: image (1, 1, D, H, W) in [0, 1]; labels (1, 1, D, H, W), integers, 0 is background.

    Raises ValueError if they differ in shape or the axes are not multiples of 16.
    """

    image: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.image.shape)
        if len(shape) != 5 or shape[:2] != (1, 1) or any(n % STRIDE for n in shape[2:]):
            raise ValueError(f"an atlas is (1, 1, D, H, W) with axes that are multiples of {STRIDE}, got {shape}")
        if self.labels.shape != self.image.shape or self.labels.is_floating_point():
            raise ValueError(f"labels have to be integers of shape {shape}, got {tuple(self.labels.shape)}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """The grid (D, H, W)."""
        d, h, w = self.image.shape[2:]
        return d, h, w


@dataclass(frozen=True, eq=False)
class AlignedScan:
    """An unlabeled scan on the grid of the atlas: image (1, 1, D, H, W) in [0, 1].

    field_of_view: booleans (1, 1, D, H, W), where both scan and atlas have voxels and the losses are computed.
    """

    image: Tensor
    field_of_view: Tensor


class AppearanceNetwork(nn.Module):
    """h: predicts the change of the atlas intensities that gives it the appearance of an aligned scan.

    Input: atlas and scan in the frame of the atlas, each (N, 1, D, H, W) in [0, 1], axes multiples of 8. Output: the
    same shape, intensity, 0 before training. A small U-Net with 16, 32, 32 channels at 1/2, 1/4 and 1/8 of the
    resolution (4x4x4 convolutions, stride 2); both images are the skip connection at full resolution, followed by 8
    channels. Features are upsampled by interpolation: transposed convolutions leave a lattice pattern that would be
    warped with the atlas, and a network could register by it although no scan has it.
    """

    def __init__(self) -> None:
        super().__init__()
        fine, middle, deep = WIDTHS
        self.encoder = nn.ModuleList(nn.Conv3d(a, b, 4, stride=2, padding=1) for a, b in pairwise((2, *WIDTHS)))
        decoder = ((deep, middle), (2 * middle, fine), (2 * fine, FULL_WIDTH))
        self.decoder = nn.ModuleList(nn.Conv3d(a, b, 3, padding=1) for a, b in decoder)
        self.mix = nn.Conv3d(FULL_WIDTH + 2, FULL_WIDTH, 3, padding=1)
        self.last = nn.Conv3d(FULL_WIDTH, 1, 1)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)

    def forward(self, atlas: Tensor, scan: Tensor) -> Tensor:
        """Predict psi."""
        x = torch.cat([atlas, scan], dim=1)
        skips = []
        for layer in self.encoder:
            skips.append(x)
            x = F.leaky_relu(layer(x), LEAK)
        for layer in self.decoder:
            x = F.interpolate(F.leaky_relu(layer(x), LEAK), scale_factor=2.0, mode="trilinear")
            x = torch.cat([x, skips.pop()], dim=1)
        return self.last(F.leaky_relu(self.mix(x), LEAK))


def build_spatial(cascades: int, seed: int) -> RecursiveCascade:
    """Build g; the same seed gives the same weights, independent of the global random generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RecursiveCascade(CascadeConfig(cascades=cascades))


def build_appearance(seed: int) -> AppearanceNetwork:
    """Build h, reproducible like g."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AppearanceNetwork()


def inverse_flow(velocities: Sequence[Tensor], squarings: int) -> Tensor:
    """The inverse of exp(v_1) o exp(v_2) o ... of a cascade's velocities (N, 3, d, h, w), voxels of their grid."""
    total: Tensor | None = None
    for velocity in velocities:
        flow = exponential(-velocity, squarings)
        total = flow if total is None else compose(flow, total)
    if total is None:
        raise ValueError("a cascade has at least one velocity")
    return total


def spatial_terms(
    network: RecursiveCascade, atlas: Atlas, scan: AlignedScan, smoothness: float, window: int
) -> dict[str, Tensor]:
    """Loss terms of g for one scan: 1 - local correlation in the field of view, and diffusion of the velocities."""
    # Imported here: MONAI takes as long to load as PyTorch, and only the learning of transforms needs it.
    from monai.losses import LocalNormalizedCrossCorrelationLoss

    flow, velocities = network(scan.image, atlas.image)
    warped = warp(atlas.image, resize_flow(flow, atlas.shape))
    local = LocalNormalizedCrossCorrelationLoss(spatial_dims=3, kernel_size=window, reduction="none")
    diffusion = torch.stack([roughness(velocity) for velocity in velocities]).mean()
    return {
        "correlation": 1 + _mean_in(scan.field_of_view, local(warped, scan.image)),
        "smoothness": smoothness * diffusion,
    }


def appearance_terms(
    network: AppearanceNetwork,
    atlas: Atlas,
    scan: AlignedScan,
    onto_scan: Tensor,
    onto_atlas: Tensor,
    smoothness: float,
) -> dict[str, Tensor]:
    """Loss terms of h for one scan: squared error of (x + psi) o phi in the field of view, masked smoothness of psi.

    onto_scan, onto_atlas: phi and its inverse, (1, 3, d, h, w), voxels of their grid.
    """
    psi = network(atlas.image, warp(scan.image, resize_flow(onto_atlas, atlas.shape)))
    restyled = warp(atlas.image + psi, resize_flow(onto_scan, atlas.shape))
    return {
        "difference": _mean_in(scan.field_of_view, (restyled - scan.image).square()),
        "smoothness": smoothness * roughness(psi, atlas.labels),
    }


def roughness(field: Tensor, labels: Tensor | None = None) -> Tensor:
    """Mean squared forward difference of (1, C, D, H, W); differences across label edges, if labels are given, are 0.

    labels: integers (1, 1, D, H, W). The article masks the voxels at label edges; here only the differences between
    neighbors with different labels are masked, so that psi stays smooth along an edge.
    """
    terms = []
    for axis in (2, 3, 4):
        squares = torch.diff(field, dim=axis).square()
        if labels is not None:
            squares = squares * (torch.diff(labels, dim=axis) == 0)
        terms.append(squares.mean())
    return torch.stack(terms).mean()


def _mean_in(mask: Tensor, values: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)
