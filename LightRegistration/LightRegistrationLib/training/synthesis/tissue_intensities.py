"""Which intensity a tissue has in an image: as usual, in a phase of the contrast agent, or any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.augmentation import uniform
from .anatomies import Structure
from .appearance import AIR_HU, AppearanceSettings, window
from .body import FILLER, GENERATED_NAMES, INNER_FAT

PHASES = 4
"""A CT is taken before the contrast agent, or in its arterial, portal or late phase."""
_CLEAN_PHASE = 2


@dataclass(frozen=True, eq=False)
class TissueIntensities:
    """The intensity of each class in one image: Hounsfield units, or about 0 (black) to 1."""

    means: Tensor
    hounsfield: bool


class IntensitySampler:
    """What is known of the intensities of some structures, in the unit of their modality."""

    def __init__(self, structures: Sequence[Structure], hounsfield: bool, appearance: AppearanceSettings) -> None:
        self.hounsfield = hounsfield
        self.appearance = appearance
        self.lowest, self.range = (appearance.low, appearance.high - appearance.low) if hounsfield else (0.0, 1.0)
        unknown = float("nan")
        means = [unknown if structure.mean is None else structure.mean for structure in structures]
        enhancement = [(0.0, *structure.enhancement) for structure in structures]
        self.means = torch.tensor(means) + torch.tensor(enhancement).T
        self.outside = torch.tensor([not structure.inside for structure in structures])
        self.built = torch.tensor([not structure.values for structure in structures])
        self.texture = torch.tensor([float(structure.texture) for structure in structures])
        self.hollow = torch.tensor([float(structure.hollow) for structure in structures])
        self._standing_for = _standing_for([structure.name for structure in structures])

    def usual(self, phase: int, generator: torch.Generator) -> Tensor:
        """The intensities (classes,) in a phase; any within the usual range where none is known."""
        some = self.lowest + self.range * torch.rand(len(self.outside), generator=generator)
        return torch.where(self.means[phase].isnan(), some, self.means[phase])

    def looks(self, generator: torch.Generator) -> tuple[TissueIntensities, TissueIntensities]:
        """The looks of two images that are to be registered."""
        other = uniform(generator) < self.appearance.other_contrast
        phases = torch.randint(PHASES, (2,), generator=generator).tolist()
        independent = uniform(generator) < self.appearance.independent_contrast
        if not other:
            return self._usual_look(phases[0], generator), self._usual_look(phases[int(independent)], generator)
        first, second = (TissueIntensities(torch.rand(len(self.outside), generator=generator), False) for _ in range(2))
        return first, second if independent else first

    def _usual_look(self, phase: int, generator: torch.Generator) -> TissueIntensities:
        jitter = self.appearance.contrast * torch.randn(len(self.outside), generator=generator)
        if not self.hounsfield:
            means = self.usual(0, generator)
            return TissueIntensities(torch.where(self.outside, means, (means + jitter).clamp(0.02, 1.2)), False)
        plain, enhanced = self.usual(0, generator), self.usual(phase, generator)
        agent = 0.5 + 0.7 * uniform(generator)
        # bone differs by a hundred HU between people where organs differ by twenty
        size = self.range + 4 * (plain - 100).clamp(min=0)
        return TissueIntensities(torch.lerp(plain, enhanced, agent) + size * jitter, True)

    def clean(self, generator: torch.Generator) -> Tensor:
        """Weights (classes,) of the image that is compared; above air in HU."""
        if self.hounsfield:
            return (self.usual(_CLEAN_PHASE, generator) - AIR_HU)[self._standing_for]
        return self.usual(0, generator)[self._standing_for]

    def guides(self, count: int, generator: torch.Generator) -> Tensor:
        """Weights (count, classes) of random projections of the anatomy."""
        return torch.randn(count, len(self.outside), generator=generator)[:, self._standing_for]

    def finish(self, clean: Tensor) -> Tensor:
        """The image that is compared, from its rendering with the weights `clean`."""
        return window(clean + AIR_HU, self.appearance) if self.hounsfield else clean


def _standing_for(names: Sequence[str]) -> Tensor:
    """For each class the one that it counts as in what a pair is judged by.

    What is made up between the organs has no counterpart in the other subject: it counts as the fat around it.
    """
    indices = torch.arange(len(names))
    if GENERATED_NAMES[FILLER] in names:
        indices[names.index(GENERATED_NAMES[FILLER])] = names.index(GENERATED_NAMES[INNER_FAT])
    return indices
