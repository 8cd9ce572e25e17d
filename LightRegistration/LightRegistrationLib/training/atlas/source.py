"""Labeled pairs from one labeled atlas: its image and labels in the shapes and the looks of unlabeled scans.

See atlas_networks for the method and its source, atlas_learning for how it is trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.network.flows import resize_flow, warp
from ...core.network.intensity import IntensityNormalization
from ..data.augmentation import uniform
from ..data.pairs import Pair
from .learning import LearningSettings
from .preparation import AtlasFiles, PreparedAtlas, prepare_atlas

PROJECTIONS = 4


@dataclass(frozen=True, kw_only=True)
class AtlasSettings(LearningSettings):
    """What a [[source]] of kind "atlas" says, besides how its transforms are learned; files are below the data folder.

    atlas, atlas_labels: the labeled image and its label map. scans: a pattern of the unlabeled images; skip: a pattern
    of files to leave out of it, as the atlas and its label map are. intensity: the rule of the model (`percentile` or
    `window`, low, high). structures: label values to use; all of the atlas if empty. structures_drawn: how many of them
    a pair has at most, drawn anew for each. noise: largest standard deviation of the noise in what the network sees;
    without any it could match the atlas's own grain, which all synthesized images share.
    """

    atlas: str
    atlas_labels: str
    scans: str
    skip: str = ""
    intensity: dict[str, Any] = field(default_factory=dict)
    structures: tuple[int, ...] = ()
    structures_drawn: int = 16
    noise: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = self.intensity.keys() - {f.name for f in fields(IntensityNormalization)}
        if unknown:
            raise ValueError(f"intensity has the unknown key {unknown.pop()!r}; use kind, low and high")
        IntensityNormalization(**self.intensity)
        if self.structures_drawn < 1 or self.noise < 0:
            raise ValueError("structures_drawn has to be 1 or more, and noise 0 or more")


class AtlasSource:
    """Draws pairs of synthesized images of the atlas: (x + psi) warped by phi, its labels warped by the same phi.

    For each of the two images phi is that of one scan, whose field of view it gets too, and psi that of any; the two
    shapes of a pair always differ. The clean images show the atlas in its own look, and PROJECTIONS random projections
    of its structures; like the labels they know no field of view. Labels are memberships, warped linearly, of the same
    structures in both images of a pair.
    """

    def __init__(self, prepared: PreparedAtlas, structures_drawn: int = 16, noise: float = 0.0) -> None:
        self.prepared = prepared
        self.spacing_mm = prepared.spacing_mm
        self.shape = prepared.atlas.shape
        self.structures_drawn = structures_drawn
        self.noise = noise
        self._values, self._ranks = torch.unique(prepared.atlas.labels[0, 0], return_inverse=True)

    @classmethod
    def open(cls, settings: AtlasSettings, data: Path, cache: Path, spacing_mm: float) -> AtlasSource:
        """Learn the transforms, or take them from the cache where settings and files are still the same.

        A run that is killed goes on from what it left in the cache. Raises InputError that names the file or the key.
        """
        files = AtlasFiles.find(data, settings.atlas, settings.atlas_labels, settings.scans, settings.skip)
        rule = IntensityNormalization(**settings.intensity)
        prepared = prepare_atlas(files, rule, settings, settings.structures, cache, spacing_mm)
        return cls(prepared, settings.structures_drawn, settings.noise)

    def draw(self, generator: torch.Generator) -> Pair:
        """Draw a pair; the one-hot labels of the structures are in the order of their values."""
        count = len(self.prepared.views)
        shapes = torch.randperm(count, generator=generator)[:2].tolist()
        looks = torch.randint(count, (2,), generator=generator).tolist()
        still = torch.cat(
            [self.prepared.atlas.image, self._projections(generator), self._memberships(generator)], dim=1
        )
        (fixed, fixed_clean, fixed_labels), (moving, moving_clean, moving_labels) = (
            self._show(shape, look, still, generator) for shape, look in zip(shapes, looks, strict=True)
        )
        return Pair(fixed, moving, fixed_clean, moving_clean, fixed_labels, moving_labels)

    def _show(self, shape: int, look: int, still: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """What the network sees, the clean images and the labels of one image."""
        flow = resize_flow(self.prepared.transforms.flows[shape][None].float(), self.shape)
        restyled = self.prepared.atlas.image + self.prepared.transforms.changes[look][None].float()
        warped = warp(torch.cat([restyled, still], dim=1), flow)
        grain = self.noise * uniform(generator) * torch.randn(restyled.shape, generator=generator)
        clean, labels = warped[:, 1 : 2 + PROJECTIONS], warped[:, 2 + PROJECTIONS :]
        seen = (warped[:, :1] + grain).clamp(0, 1) * self.prepared.views[shape][None]
        return seen, clean, labels

    def _projections(self, generator: torch.Generator) -> Tensor:
        values = torch.randn(PROJECTIONS, len(self._values), generator=generator)
        return values[:, self._ranks][None]

    def _memberships(self, generator: torch.Generator) -> Tensor:
        structures = torch.tensor(self.prepared.structures)
        drawn = torch.randperm(len(structures), generator=generator)[: self.structures_drawn].sort().values
        values = structures[drawn].view(1, -1, 1, 1, 1)
        return (self.prepared.atlas.labels == values).float()
