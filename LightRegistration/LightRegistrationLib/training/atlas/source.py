"""Source of labeled pairs from one atlas: its image and labels with the shapes and appearances of unlabeled scans.

For the method and its reference see `networks`, for its training see `learning`.
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
"""Random projections of the structures among the clean images."""


@dataclass(frozen=True, kw_only=True)
class AtlasSettings(LearningSettings):
    """Settings of a [[source]] of kind "atlas"; files are below the data folder.

    atlas, atlas_labels: the labeled image and its label map. scans: pattern of the unlabeled images. skip: pattern of
    files to leave out, in addition to the atlas and its label map. intensity: the normalization of the model
    (`percentile` or `window`, low, high). structures: label values to use; all of the atlas if empty. structures_drawn:
    largest number of them in a pair, drawn anew for each. noise: largest standard deviation of the noise in the
    network's input; without noise the network could match the noise of the atlas, which all synthesized images share.
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

    For each of the two images, phi and the field of view are those of one scan, and psi is that of any scan; the two
    images of a pair always have different phi. The clean images are the atlas with its own appearance and PROJECTIONS
    random projections of its structures; like the labels they are not limited to the field of view. Labels are
    memberships, warped linearly, of the same structures in both images.
    """

    def __init__(self, prepared: PreparedAtlas, structures_drawn: int = 16, noise: float = 0.0) -> None:
        self.prepared = prepared
        self.spacing_mm = prepared.spacing_mm
        self.shape = prepared.atlas.shape
        self.structures_drawn = structures_drawn
        self.noise = noise
        self._values, self._indices = torch.unique(prepared.atlas.labels[0, 0], return_inverse=True)

    @classmethod
    def open(cls, settings: AtlasSettings, data: Path, cache: Path, spacing_mm: float) -> AtlasSource:
        """Learn the transforms, or read them from the cache where settings and files are unchanged.

        An interrupted training resumes from its state in the cache. Raises InputError that names the file or the key.
        """
        files = AtlasFiles.find(data, settings.atlas, settings.atlas_labels, settings.scans, settings.skip)
        normalization = IntensityNormalization(**settings.intensity)
        prepared = prepare_atlas(files, normalization, settings, settings.structures, cache, spacing_mm)
        return cls(prepared, settings.structures_drawn, settings.noise)

    def draw(self, generator: torch.Generator) -> Pair:
        """Draw a pair; the one-hot labels of the structures are in the order of their values."""
        count = len(self.prepared.fields_of_view)
        shapes = torch.randperm(count, generator=generator)[:2].tolist()
        appearances = torch.randint(count, (2,), generator=generator).tolist()
        targets = torch.cat(
            [self.prepared.atlas.image, self._draw_projections(generator), self._draw_memberships(generator)], dim=1
        )
        (fixed, fixed_clean, fixed_labels), (moving, moving_clean, moving_labels) = (
            self._synthesize(shape, appearance, targets, generator)
            for shape, appearance in zip(shapes, appearances, strict=True)
        )
        return Pair(fixed, moving, fixed_clean, moving_clean, fixed_labels, moving_labels)

    def _synthesize(
        self, shape: int, appearance: int, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The network's input, the clean images and the labels, with shape and appearance of these scans."""
        flow = resize_flow(self.prepared.transforms.flows[shape][None].float(), self.shape)
        restyled = self.prepared.atlas.image + self.prepared.transforms.changes[appearance][None].float()
        warped = warp(torch.cat([restyled, targets], dim=1), flow)
        noise = self.noise * uniform(generator) * torch.randn(restyled.shape, generator=generator)
        clean, labels = warped[:, 1 : 2 + PROJECTIONS], warped[:, 2 + PROJECTIONS :]
        image = (warped[:, :1] + noise).clamp(0, 1) * self.prepared.fields_of_view[shape][None]
        return image, clean, labels

    def _draw_projections(self, generator: torch.Generator) -> Tensor:
        values = torch.randn(PROJECTIONS, len(self._values), generator=generator)
        return values[:, self._indices][None]

    def _draw_memberships(self, generator: torch.Generator) -> Tensor:
        structures = torch.tensor(self.prepared.structures)
        drawn = torch.randperm(len(structures), generator=generator)[: self.structures_drawn].sort().values
        values = structures[drawn].view(1, -1, 1, 1, 1)
        return (self.prepared.atlas.labels == values).float()
