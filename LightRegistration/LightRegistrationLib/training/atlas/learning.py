"""Learns the spatial and the appearance transforms of an atlas from scans, and applies them to the scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...core.network.cascade import RecursiveCascade
from ...core.network.flows import resize_flow, warp
from .fitting import CheckpointSettings, Fit, descend
from .networks import (
    AlignedScan,
    AppearanceNetwork,
    Atlas,
    appearance_terms,
    build_appearance,
    build_spatial,
    inverse_flow,
    spatial_terms,
)

_STEPS = "spatial_steps appearance_steps"
_RATES = "spatial_rate appearance_rate"
_WEIGHTS = "spatial_smoothness appearance_smoothness"


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """Settings for the training of g (spatial) and h (appearance).

    *_steps: steps of Adam, one scan each. *_rate: initial learning rate, decreases linearly to 0. spatial_smoothness:
    weight of the diffusion of the velocity. appearance_smoothness: weight of the smoothness of psi within structures.
    window: size of the windows of the local correlation, voxels. cascades: of g, 1 to 3. seed: of the initial weights
    and of the order of the scans.
    """

    spatial_steps: int = 2000
    spatial_rate: float = 5e-4
    spatial_smoothness: float = 1.0
    window: int = 7
    cascades: int = 1
    appearance_steps: int = 2000
    appearance_rate: float = 1e-3
    appearance_smoothness: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (*_STEPS.split(), *_RATES.split()):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} has to be more than 0, got {getattr(self, name)}")
        for name in _WEIGHTS.split():
            if getattr(self, name) < 0:
                raise ValueError(f"{name} has to be 0 or more, got {getattr(self, name)}")
        if self.window < 3 or self.window % 2 == 0:
            raise ValueError(f"window has to be an odd number of 3 or more voxels, got {self.window}")
        if not 1 <= self.cascades <= 3:
            raise ValueError(f"cascades has to be 1 to 3, got {self.cascades}")


@dataclass(frozen=True, eq=False)
class AtlasTransforms:
    """The transforms for n scans.

    flows: (n, 3, d, h, w), fp16, voxels of the half grid, align the atlas with each scan. changes: (n, 1, D, H, W),
    fp16; added to the intensities of the atlas, they give it the appearance of each scan.
    """

    flows: Tensor
    changes: Tensor


@dataclass(frozen=True, eq=False)
class SpatialTransforms:
    """Predictions of g for n scans, (n, 3, d, h, w) fp16, voxels of the half grid: phi (atlas to scan), its inverse."""

    onto_scan: Tensor
    onto_atlas: Tensor


def spatial_step(
    network: RecursiveCascade,
    optimizer: torch.optim.Optimizer,
    atlas: Atlas,
    scan: AlignedScan,
    settings: LearningSettings,
) -> dict[str, float]:
    """Train g on one scan; returns the loss terms. Raises FloatingPointError if they are not finite."""
    terms = spatial_terms(network, atlas, scan, settings.spatial_smoothness, settings.window)
    return descend(optimizer, terms)


def appearance_step(
    network: AppearanceNetwork,
    optimizer: torch.optim.Optimizer,
    atlas: Atlas,
    scan: AlignedScan,
    transforms: tuple[Tensor, Tensor],
    settings: LearningSettings,
) -> dict[str, float]:
    """Train h on one scan with known phi and phi^-1, (1, 3, d, h, w) each; returns and raises like `spatial_step`."""
    terms = appearance_terms(network, atlas, scan, *transforms, settings.appearance_smoothness)
    return descend(optimizer, terms)


def train_spatial(
    atlas: Atlas,
    scans: Sequence[AlignedScan],
    settings: LearningSettings,
    generator: torch.Generator,
    checkpoints: CheckpointSettings | None = None,
) -> RecursiveCascade:
    """Train g on scans. All randomness comes from the generator. checkpoints: None writes no state."""
    network = build_spatial(settings.cascades, _draw_seed(generator)).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.spatial_rate)

    def step(index: int) -> dict[str, float]:
        return spatial_step(network, optimizer, atlas, scans[index], settings)

    fit = Fit(
        "spatial transform of the atlas", network, optimizer, settings.spatial_rate, settings.spatial_steps, generator
    )
    fit.run(step, len(scans), checkpoints)
    return network.eval().requires_grad_(False)


def train_appearance(
    atlas: Atlas,
    scans: Sequence[AlignedScan],
    transforms: SpatialTransforms,
    settings: LearningSettings,
    generator: torch.Generator,
    checkpoints: CheckpointSettings | None = None,
) -> AppearanceNetwork:
    """Train h on scans whose spatial transforms are known; otherwise like `train_spatial`."""
    network = build_appearance(_draw_seed(generator)).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.appearance_rate)

    def step(index: int) -> dict[str, float]:
        both = transforms.onto_scan[index][None].float(), transforms.onto_atlas[index][None].float()
        return appearance_step(network, optimizer, atlas, scans[index], both, settings)

    fit = Fit(
        "appearance transform of the atlas",
        network,
        optimizer,
        settings.appearance_rate,
        settings.appearance_steps,
        generator,
    )
    fit.run(step, len(scans), checkpoints)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def predict_spatial_transforms(
    network: RecursiveCascade, atlas: Atlas, scans: Sequence[AlignedScan]
) -> SpatialTransforms:
    """Apply g once to each scan."""
    onto_scan, onto_atlas = [], []
    for scan in scans:
        flow, velocities = network(scan.image, atlas.image)
        onto_scan.append(flow.half())
        onto_atlas.append(inverse_flow(velocities, network.config.squarings).half())
    return SpatialTransforms(torch.cat(onto_scan), torch.cat(onto_atlas))


@torch.no_grad()
def predict_appearance_changes(
    network: AppearanceNetwork, atlas: Atlas, scans: Sequence[AlignedScan], transforms: SpatialTransforms
) -> Tensor:
    """Apply h once to each scan: psi, (n, 1, D, H, W) fp16, intensity, in the frame of the atlas."""
    changes = []
    for scan, flow in zip(scans, transforms.onto_atlas, strict=True):
        in_atlas = warp(scan.image, resize_flow(flow[None].float(), atlas.shape))
        changes.append(network(atlas.image, in_atlas).half())
    return torch.cat(changes)


def learn_transforms(
    atlas: Atlas, scans: Sequence[AlignedScan], settings: LearningSettings, folder: Path | None = None
) -> AtlasTransforms:
    """Train g, then h, and apply both to each scan.

    folder: for their states, from which an interrupted training resumes; None writes no state. Raises InputError for a
    state that cannot be read or written, or a loss that is not finite.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    checkpoints = [
        None if folder is None else CheckpointSettings(folder / f"{name}.pt") for name in ("spatial", "appearance")
    ]
    spatial = predict_spatial_transforms(train_spatial(atlas, scans, settings, generator, checkpoints[0]), atlas, scans)
    appearance = train_appearance(atlas, scans, spatial, settings, generator, checkpoints[1])
    return AtlasTransforms(spatial.onto_scan, predict_appearance_changes(appearance, atlas, scans, spatial))


def _draw_seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**31, (), generator=generator))
