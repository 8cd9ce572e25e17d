"""Image pairs synthesized from tissue fractions of two subjects: random anatomy, pose, contrast and scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.network.flows import sample, voxel_grid
from ..data.augmentation import elastic_flow, random_matrix, uniform
from ..data.pairs import Pair
from .anatomies import Anatomy
from .appearance import AIR_HU, AppearanceSettings, ct, cut_ends, mri
from .label_maps import LabelMaps
from .tissue_intensities import IntensitySampler, TissueIntensities

PROJECTIONS = 4


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig(AppearanceSettings):
    """Ranges of what is drawn at random for each pair; lengths in mm, angles in degrees, the rest is a fraction.

    stripped, mixed: chances that both images, or only one of them, lack what is outside the brain. same: chance that
    both images show one subject. residual_*: what the moving image's pose has in addition. elastic_mm, node_mm: see
    `elastic_flow`; each image has its own.
    """

    stripped: float = 0.5
    mixed: float = 0.1
    same: float = 0.0
    rotation: float = 12.0
    residual_rotation: float = 4.0
    scaling: float = 0.1
    residual_scaling: float = 0.05
    shift_mm: float = 8.0
    residual_shift_mm: float = 4.0
    elastic_mm: float = 3.0
    node_mm: float = 32.0


class PairSynthesizer:
    """Draws pairs of images from prepared label maps.

    The clean images are the usual one without noise and PROJECTIONS random projections of the tissue fractions, given where
    both subjects are known. labels: how many classes, drawn anew for each pair, are given as memberships; all of them
    in the order of the label maps' structures if there are not more. What is built around the labels is none of them.
    """

    def __init__(
        self, maps: LabelMaps, anatomy: Anatomy, spacing_mm: float, config: SynthesisConfig, labels: int = 0
    ) -> None:
        d, h, w = maps.fractions.shape[-3:]
        self.maps = maps
        self.shape = (d, h, w)
        self.spacing_mm = spacing_mm
        self.config = config
        self.labels = labels
        self.mirrored = anatomy.mirrored
        self.partners = maps.partners
        self.palette = IntensitySampler(maps.structures, anatomy.modality == "ct", config)

    def draw(self, generator: torch.Generator) -> Pair:
        """Synthesize one pair."""
        config = self.config
        first, second = self._subjects(generator)
        strips = self._stripping(generator)
        targets = self._targets(any(strips), first, second, generator)
        looks = self.palette.looks(generator)
        pose = random_matrix(config.rotation, config.scaling, config.shift_mm, generator)
        residual = random_matrix(config.residual_rotation, config.residual_scaling, config.residual_shift_mm, generator)
        if uniform(generator) < 0.5 and self.mirrored:
            pose = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0])) @ pose
        known = self._known(first, second)
        images = [
            self._image(subject, matrix, self._weights(look, stripped), targets, known, generator)
            for subject, matrix, stripped, look in (
                (first, pose, strips[0], looks[0]),
                (second, pose @ residual, strips[1], looks[1]),
            )
        ]
        (fixed, fixed_clean, fixed_labels), (moving, moving_clean, moving_labels) = images
        return Pair(fixed, moving, fixed_clean, moving_clean, fixed_labels, moving_labels)

    def _image(
        self, subject: int, pose: Tensor, seen: Tensor, targets: Tensor, known: slice, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the network sees, the clean images and the labels of a subject in a pose.

        seen, targets: weights (channels, classes) of what the scanner needs and of what the image is judged by.
        """
        count = len(seen)
        rendered = self._render(subject, torch.cat([seen, targets]), count, known)
        warped = sample(rendered, self._coordinates(pose, generator), padding="zeros")
        scan = ct if count > 1 else mri
        image = cut_ends(scan(warped[:, :count], self.config, self.spacing_mm, generator), self.config, generator)
        judged = warped[:, count:]
        clean = torch.cat([self.palette.finish(judged[:, :1]), judged[:, 1 : 1 + PROJECTIONS]], dim=1)
        return image, clean, judged[:, 1 + PROJECTIONS :] if self.labels else None

    def _subjects(self, generator: torch.Generator) -> tuple[int, int]:
        first = int(torch.randint(len(self.partners), (), generator=generator))
        second = self.partners[first][int(torch.randint(len(self.partners[first]), (), generator=generator))]
        return first, first if uniform(generator) < self.config.same else second

    def _known(self, first: int, second: int) -> slice:
        """The slices that both label maps cover."""
        starts, ends = zip(self.maps.known[first], self.maps.known[second], strict=True)
        return slice(max(starts), max(*starts, min(ends)))

    def _stripping(self, generator: torch.Generator) -> tuple[bool, bool]:
        if uniform(generator) < self.config.mixed:
            first = uniform(generator) < 0.5
            return first, not first
        both = uniform(generator) < self.config.stripped
        return both, both

    def _targets(self, stripped: bool, first: int, second: int, generator: torch.Generator) -> Tensor:
        """Weights (1 + PROJECTIONS + labels, classes) of what the pair is judged by, the same for both images."""
        chosen = torch.nonzero(~self.palette.built)[:, 0]
        if self.labels < len(chosen):
            shared = torch.from_numpy(self.maps.present[first] & self.maps.present[second])[chosen]
            # more of them may be asked for than both have
            order = torch.rand(len(chosen), generator=generator) - shared.float()
            chosen = chosen[order.argsort()[: self.labels]]
        memberships = torch.eye(len(self.palette.built))[chosen]
        result = torch.cat(
            [self.palette.clean(generator)[None], self.palette.guides(PROJECTIONS, generator), memberships]
        )
        return torch.where(self.palette.outside, torch.zeros(()), result) if stripped else result

    def _weights(self, look: TissueIntensities, stripped: bool) -> Tensor:
        """Weights (1 or 3, classes) of what the scanner needs: intensity, and for CT texture and gas."""
        palette = self.palette
        means = torch.where(palette.outside, torch.zeros(()), look.means) if stripped else look.means
        return torch.stack([means - AIR_HU, palette.texture, palette.hollow]) if look.hounsfield else means[None]

    def _render(self, subject: int, weights: Tensor, seen: int, known: slice) -> Tensor:
        """Weighted sums of the subject's fractions, (1, weights, D, H, W); all but the first `seen` where known."""
        fractions = torch.from_numpy(self.maps.fractions[subject].astype(np.float32))
        rendered = torch.tensordot(weights / 255, fractions, dims=1)[None]
        rendered[:, seen:, : known.start] = 0
        rendered[:, seen:, known.stop :] = 0
        return rendered

    def _coordinates(self, pose: Tensor, generator: torch.Generator) -> Tensor:
        """Where each voxel looks, (1, 3, D, H, W) in voxels."""
        config = self.config
        center = ((torch.tensor(self.shape[::-1], dtype=torch.float32) - 1) / 2).view(1, 3, 1, 1, 1)
        points = torch.einsum("ab,nbdhw->nadhw", pose[:3, :3], voxel_grid(self.shape, torch.device("cpu")) - center)
        points = points + (pose[:3, 3] / self.spacing_mm).view(1, 3, 1, 1, 1) + center
        return points + elastic_flow(self.shape, self.spacing_mm, config.elastic_mm, config.node_mm, generator)
