"""Synthesizes image pairs from the tissue fractions of two subjects, with random pose, contrast and scanner effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.network.flows import sample, voxel_grid
from ..data.augmentation import elastic_flow, random_matrix, uniform
from ..data.pairs import Pair
from .anatomies import Anatomy
from .appearance import AIR_HU, AppearanceSettings, cut_ends, render_ct, render_mri
from .label_maps import LabelMaps
from .tissue_intensities import IntensitySampler, TissueIntensities

PROJECTIONS = 4


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig(AppearanceSettings):
    """Ranges of the random variation of a pair; lengths in mm, angles in degrees, all else as fractions.

    stripped, mixed: probabilities that both images, or only one of them, are skull-stripped. same: probability that
    both images show the same subject. residual_*: additional random pose of the moving image. elastic_mm, node_mm: see
    `elastic_flow`; each image has its own deformation.
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

    The clean images have the usual image without noise and PROJECTIONS random projections of the tissue fractions; they
    are 0 where the label map of one of the two subjects ends. labels: number of classes, drawn anew for each pair,
    whose memberships are the labels; if there are not more, all of them in the order of the structures. Generated
    tissues are never labels.
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
        self.intensities = IntensitySampler(maps.structures, anatomy.modality == "ct", config)

    def draw(self, generator: torch.Generator) -> Pair:
        """Synthesize one pair."""
        config = self.config
        first, second = self._draw_subjects(generator)
        strips = self._draw_stripping(generator)
        targets = self._draw_target_weights(any(strips), first, second, generator)
        intensities = self.intensities.draw_pair(generator)
        pose = random_matrix(config.rotation, config.scaling, config.shift_mm, generator)
        residual = random_matrix(config.residual_rotation, config.residual_scaling, config.residual_shift_mm, generator)
        if uniform(generator) < 0.5 and self.mirrored:
            pose = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0])) @ pose
        known = self._known_slices(first, second)
        images = [
            self._synthesize(subject, matrix, self._input_weights(means, stripped), targets, known, generator)
            for subject, matrix, stripped, means in (
                (first, pose, strips[0], intensities[0]),
                (second, pose @ residual, strips[1], intensities[1]),
            )
        ]
        (fixed, fixed_clean, fixed_labels), (moving, moving_clean, moving_labels) = images
        return Pair(fixed, moving, fixed_clean, moving_clean, fixed_labels, moving_labels)

    def _synthesize(
        self, subject: int, pose: Tensor, inputs: Tensor, targets: Tensor, known: slice, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The network's input, the clean images and the labels of a subject in a pose.

        inputs, targets: weights (channels, classes) of the scanner's input and of the clean images and labels.
        """
        count = len(inputs)
        rendered = self._weigh_fractions(subject, torch.cat([inputs, targets]), count, known)
        warped = sample(rendered, self._sampling_points(pose, generator), padding="zeros")
        render = render_ct if count > 1 else render_mri
        image = cut_ends(render(warped[:, :count], self.config, self.spacing_mm, generator), self.config, generator)
        target = warped[:, count:]
        clean = torch.cat([self.intensities.finish_clean(target[:, :1]), target[:, 1 : 1 + PROJECTIONS]], dim=1)
        return image, clean, target[:, 1 + PROJECTIONS :] if self.labels else None

    def _draw_subjects(self, generator: torch.Generator) -> tuple[int, int]:
        first = int(torch.randint(len(self.partners), (), generator=generator))
        second = self.partners[first][int(torch.randint(len(self.partners[first]), (), generator=generator))]
        return first, first if uniform(generator) < self.config.same else second

    def _known_slices(self, first: int, second: int) -> slice:
        """The slices that both label maps cover."""
        starts, ends = zip(self.maps.known[first], self.maps.known[second], strict=True)
        return slice(max(starts), max(*starts, min(ends)))

    def _draw_stripping(self, generator: torch.Generator) -> tuple[bool, bool]:
        """Whether each of the two images is skull-stripped."""
        if uniform(generator) < self.config.mixed:
            first = uniform(generator) < 0.5
            return first, not first
        both = uniform(generator) < self.config.stripped
        return both, both

    def _draw_target_weights(self, stripped: bool, first: int, second: int, generator: torch.Generator) -> Tensor:
        """Weights (1 + PROJECTIONS + labels, classes) of clean images and labels, the same for both images."""
        chosen = torch.nonzero(~self.intensities.is_generated)[:, 0]
        if self.labels < len(chosen):
            shared = torch.from_numpy(self.maps.present[first] & self.maps.present[second])[chosen]
            # Shared classes come first; others fill up if more are requested.
            order = torch.rand(len(chosen), generator=generator) - shared.float()
            chosen = chosen[order.argsort()[: self.labels]]
        memberships = torch.eye(len(self.intensities.is_generated))[chosen]
        clean = self.intensities.draw_clean_weights(generator)[None]
        projections = self.intensities.draw_projection_weights(PROJECTIONS, generator)
        result = torch.cat([clean, projections, memberships])
        return torch.where(self.intensities.is_outside, torch.zeros(()), result) if stripped else result

    def _input_weights(self, intensities: TissueIntensities, stripped: bool) -> Tensor:
        """Weights (1 or 3, classes) of the scanner's input: intensity, and for CT also texture and gas."""
        known = self.intensities
        means = intensities.means
        if stripped:
            means = torch.where(known.is_outside, torch.zeros(()), means)
        return torch.stack([means - AIR_HU, known.texture, known.hollow]) if intensities.is_hounsfield else means[None]

    def _weigh_fractions(self, subject: int, weights: Tensor, inputs: int, known: slice) -> Tensor:
        """Weighted sums of the subject's fractions, (1, weights, D, H, W).

        All but the first `inputs` channels are 0 outside the known slices.
        """
        fractions = torch.from_numpy(self.maps.fractions[subject].astype(np.float32))
        rendered = torch.tensordot(weights / 255, fractions, dims=1)[None]
        rendered[:, inputs:, : known.start] = 0
        rendered[:, inputs:, known.stop :] = 0
        return rendered

    def _sampling_points(self, pose: Tensor, generator: torch.Generator) -> Tensor:
        """Where to sample for each voxel of the grid, (1, 3, D, H, W), voxels."""
        config = self.config
        center = ((torch.tensor(self.shape[::-1], dtype=torch.float32) - 1) / 2).view(1, 3, 1, 1, 1)
        points = torch.einsum("ab,nbdhw->nadhw", pose[:3, :3], voxel_grid(self.shape, torch.device("cpu")) - center)
        points = points + (pose[:3, 3] / self.spacing_mm).view(1, 3, 1, 1, 1) + center
        return points + elastic_flow(self.shape, self.spacing_mm, config.elastic_mm, config.node_mm, generator)
