"""Draws the intensities of tissues in an image: usual ones, those of a contrast phase, or random ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.augmentation import uniform
from .anatomies import Structure
from .appearance import AIR_HU, AppearanceSettings, apply_window
from .body import FILLER, GENERATED_NAMES, INNER_FAT

PHASES = 4
"""Contrast phases of a CT: without contrast agent, arterial, portal, late."""
_CLEAN_PHASE = 2
"""The clean images of CT show the portal phase."""


@dataclass(frozen=True, eq=False)
class TissueIntensities:
    """The mean intensity of each class in one image, (classes,): Hounsfield units, or about 0 (black) to 1."""

    means: Tensor
    is_hounsfield: bool


class IntensitySampler:
    """Draws intensities for the structures of an anatomy, in the unit of their modality."""

    def __init__(self, structures: Sequence[Structure], is_hounsfield: bool, appearance: AppearanceSettings) -> None:
        self.is_hounsfield = is_hounsfield
        self.appearance = appearance
        self.lowest, self.range = (appearance.low, appearance.high - appearance.low) if is_hounsfield else (0.0, 1.0)
        unknown = float("nan")
        means = [unknown if structure.mean is None else structure.mean for structure in structures]
        enhancement = [(0.0, *structure.enhancement) for structure in structures]
        self.means = torch.tensor(means) + torch.tensor(enhancement).T
        self.is_outside = torch.tensor([not structure.inside for structure in structures])
        self.is_generated = torch.tensor([not structure.values for structure in structures])
        self.texture = torch.tensor([float(structure.texture) for structure in structures])
        self.hollow = torch.tensor([float(structure.hollow) for structure in structures])
        self._target_classes = _find_target_classes([structure.name for structure in structures])

    def draw_usual(self, phase: int, generator: torch.Generator) -> Tensor:
        """The usual intensities (classes,) in a contrast phase; random ones for classes without a usual intensity."""
        random = self.lowest + self.range * torch.rand(len(self.is_outside), generator=generator)
        return torch.where(self.means[phase].isnan(), random, self.means[phase])

    def draw_pair(self, generator: torch.Generator) -> tuple[TissueIntensities, TissueIntensities]:
        """The intensities of the two images of a pair."""
        is_random = uniform(generator) < self.appearance.other_contrast
        phases = torch.randint(PHASES, (2,), generator=generator).tolist()
        independent = uniform(generator) < self.appearance.independent_contrast
        if not is_random:
            second_phase = phases[int(independent)]
            return self._draw_image(phases[0], generator), self._draw_image(second_phase, generator)
        first, second = (
            TissueIntensities(torch.rand(len(self.is_outside), generator=generator), False) for _ in range(2)
        )
        return first, second if independent else first

    def _draw_image(self, phase: int, generator: torch.Generator) -> TissueIntensities:
        jitter = self.appearance.contrast * torch.randn(len(self.is_outside), generator=generator)
        if not self.is_hounsfield:
            means = self.draw_usual(0, generator)
            return TissueIntensities(torch.where(self.is_outside, means, (means + jitter).clamp(0.02, 1.2)), False)
        plain, enhanced = self.draw_usual(0, generator), self.draw_usual(phase, generator)
        agent = 0.5 + 0.7 * uniform(generator)
        # The intensity of bone varies by a hundred HU between people, that of organs by twenty.
        size = self.range + 4 * (plain - 100).clamp(min=0)
        return TissueIntensities(torch.lerp(plain, enhanced, agent) + size * jitter, True)

    def draw_clean_weights(self, generator: torch.Generator) -> Tensor:
        """Weights (classes,) of the clean image that the loss compares; for CT, HU above air."""
        if self.is_hounsfield:
            return (self.draw_usual(_CLEAN_PHASE, generator) - AIR_HU)[self._target_classes]
        return self.draw_usual(0, generator)[self._target_classes]

    def draw_projection_weights(self, count: int, generator: torch.Generator) -> Tensor:
        """Weights (count, classes) of random projections of the classes."""
        return torch.randn(count, len(self.is_outside), generator=generator)[:, self._target_classes]

    def finish_clean(self, clean: Tensor) -> Tensor:
        """The clean image in [0, 1], from its rendering with the weights of `draw_clean_weights`."""
        return apply_window(clean + AIR_HU, self.appearance) if self.is_hounsfield else clean


def _find_target_classes(names: Sequence[str]) -> Tensor:
    """For each class, the class whose weight it has in clean images and projections.

    Generated tissue between the organs has no counterpart in the other subject; it has the weight of the fat around it.
    """
    indices = torch.arange(len(names))
    if GENERATED_NAMES[FILLER] in names:
        indices[names.index(GENERATED_NAMES[FILLER])] = names.index(GENERATED_NAMES[INNER_FAT])
    return indices
