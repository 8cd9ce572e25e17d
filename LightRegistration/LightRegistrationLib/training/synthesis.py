"""T1-like image pairs synthesized from tissue fractions of two subjects: random anatomy, contrast, bias, noise, cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..core.flows import sample, voxel_grid
from ..core.networks import STRIDE
from .augmentation import bias_field, elastic_flow, random_matrix, uniform
from .label_maps import BRAIN_CLASSES, CLASS_COUNT
from .pairs import Pair

T1_MEANS = (
    0.95,
    0.60,
    0.18,
    0.90,
    0.62,
    0.78,
    0.66,
    0.72,
    0.84,
    0.18,
    0.18,
    0.86,
    0.62,
    0.62,
    0.17,
    0.68,
    0.84,
    0.8,
)
GUIDES = 4
_INSIDE = len(BRAIN_CLASSES)
_CSF = list(BRAIN_CLASSES).index("CSF")


@dataclass(frozen=True)
class SynthesisConfig:
    """Ranges of what is drawn at random for each pair; lengths in mm, angles in degrees, the rest is a fraction."""

    stripped: float = 0.5
    mixed: float = 0.1
    other_contrast: float = 0.15
    rotation: float = 12.0
    residual_rotation: float = 4.0
    scaling: float = 0.1
    residual_scaling: float = 0.05
    shift_mm: float = 8.0
    residual_shift_mm: float = 4.0
    elastic_mm: float = 3.0
    contrast: float = 0.05
    noise: float = 0.05
    bias: float = 0.25
    cut: float = 0.3


class PairSynthesizer:
    """Draws pairs of images from tissue fractions (subjects, CLASS_COUNT, D, H, W), uint8, 255 = 1.

    The clean images are the noise-free T1 image and GUIDES random projections of the tissue fractions.
    """

    def __init__(self, fractions: NDArray[np.uint8], spacing_mm: float, config: SynthesisConfig) -> None:
        d, h, w = (n // STRIDE * STRIDE for n in fractions.shape[-3:])
        self.fractions = fractions[..., :d, :h, :w]
        self.shape = (d, h, w)
        self.spacing_mm = spacing_mm
        self.config = config

    def draw(self, generator: torch.Generator) -> Pair:
        """Synthesize one pair of two different subjects."""
        self.generator = generator
        order = torch.randperm(len(self.fractions), generator=self.generator)
        fixed_strip, moving_strip = self._stripping()
        clean_strip = fixed_strip or moving_strip
        guides = self._guides(clean_strip)
        other = self._uniform() < self.config.other_contrast
        pose = self._matrix(self.config.rotation, self.config.scaling, self.config.shift_mm)
        residual = self._matrix(
            self.config.residual_rotation, self.config.residual_scaling, self.config.residual_shift_mm
        )
        flip = self._uniform() < 0.5
        fixed, fixed_clean = self._image(int(order[0]), pose, flip, fixed_strip, guides, other)
        moving, moving_clean = self._image(int(order[1]), pose @ residual, flip, moving_strip, guides, other)
        return Pair(fixed, moving, fixed_clean, moving_clean)

    def _image(
        self, subject: int, pose: Tensor, flip: bool, stripped: bool, guides: Tensor, other: bool
    ) -> tuple[Tensor, Tensor]:
        fractions = torch.from_numpy(self.fractions[subject].astype("f4") / 255)
        means = torch.cat([self._contrast(stripped, other)[None], guides])
        rendered = torch.tensordot(means, fractions, dims=1)[None]
        warped = sample(rendered, self._coordinates(fractions.shape[1:], pose, flip), padding="zeros")
        return self._degrade(warped[:, :1]), warped[:, 1:]

    def _contrast(self, stripped: bool, other: bool) -> Tensor:
        means = torch.rand(CLASS_COUNT, generator=self.generator)
        if not other:
            jitter = self.config.contrast * torch.randn(_INSIDE, generator=self.generator)
            means[:_INSIDE] = (torch.tensor(T1_MEANS) + jitter).clamp(0.02, 1.2)
        return self._strip(means) if stripped else means

    def _guides(self, stripped: bool) -> Tensor:
        clean = torch.rand(CLASS_COUNT, generator=self.generator)
        clean[:_INSIDE] = torch.tensor(T1_MEANS)
        projections = torch.randn(GUIDES, CLASS_COUNT, generator=self.generator)
        guides = torch.cat([clean[None], projections])
        return torch.stack([self._strip(g) for g in guides]) if stripped else guides

    def _strip(self, means: Tensor) -> Tensor:
        means = means.clone()
        means[_INSIDE:] = 0
        return means

    def _stripping(self) -> tuple[bool, bool]:
        if self._uniform() < self.config.mixed:
            first = self._uniform() < 0.5
            return first, not first
        both = self._uniform() < self.config.stripped
        return both, both

    def _coordinates(self, shape: tuple[int, ...], pose: Tensor, flip: bool) -> Tensor:
        grid = voxel_grid(shape, torch.device("cpu"))
        center = (torch.tensor(shape[::-1], dtype=torch.float32) - 1) / 2
        points = grid.flatten(2)[0].T - center
        points = points @ pose[:3, :3].T + pose[:3, 3] / self.spacing_mm
        if flip:
            points = points * torch.tensor([-1.0, 1.0, 1.0])
        coordinates = (points + center).T.reshape(1, 3, *shape)
        return coordinates + self._elastic(shape)

    def _elastic(self, shape: tuple[int, ...]) -> Tensor:
        return elastic_flow(shape, self.spacing_mm, self.config.elastic_mm, 32, self.generator)

    def _matrix(self, degrees: float, scaling: float, shift_mm: float) -> Tensor:
        return random_matrix(degrees, scaling, shift_mm, self.generator)

    def _degrade(self, image: Tensor) -> Tensor:
        """Texture, blur, bias field, noise, gamma, a cut field of view, and the intensity rule of the models."""
        config = self.config
        inside = (image > 0.02).float()
        texture = F.avg_pool3d(torch.randn(image.shape, generator=self.generator), 3, 1, 1)
        image = image + config.noise * 2 * self._uniform() * texture * inside
        if self._uniform() < 0.4:
            image = torch.lerp(image, F.avg_pool3d(image, 3, 1, 1), self._uniform())
        image = image * bias_field(tuple(image.shape[2:]), config.bias, self.generator)
        noise = config.noise * self._uniform() * torch.randn(image.shape, generator=self.generator)
        keep = inside if self._uniform() < 0.5 else torch.ones_like(inside)
        image = (image + noise * keep).clamp(min=0)
        foreground = image[image > image.mean()]
        image = (image / torch.quantile(foreground[::7], 0.995)).clamp(0, 1)
        return self._cut(image ** float(2 ** (0.6 * (self._uniform() - 0.5) * 2)))

    def _cut(self, image: Tensor) -> Tensor:
        if self._uniform() < self.config.cut:
            image = image.clone()
            image[:, :, : int(image.shape[2] * 0.2 * self._uniform())] = 0
        return image

    def _uniform(self) -> float:
        return uniform(self.generator)
