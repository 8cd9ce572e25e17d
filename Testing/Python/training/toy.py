"""A source of analytic pairs, for fast training tests that depend on no file format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from LightRegistrationLib.training.data.pairs import Mixture, Pair
from LightRegistrationLib.training.sources import SourceConfig

SHAPE = (16, 16, 16)
SOURCE = '[[source]]\nkind = "toy"\n'


class ToySource:
    """Pairs of blurred nested ellipsoids of random place and size; the innermost one is a structure with a label."""

    spacing_mm = 6.0
    shape = SHAPE

    def draw(self, generator: torch.Generator) -> Pair:
        fixed, moving = self._ellipsoids(generator), self._ellipsoids(generator)
        seen = [(image + 0.02 * torch.randn(image.shape, generator=generator)).clamp(0, 1) for image in (fixed, moving)]
        labels = [(image > 0.6).float() for image in (fixed, moving)]
        guided = [torch.cat([image, image.square()], dim=1) for image in (fixed, moving)]
        return Pair(*seen, *guided, *labels)

    def _ellipsoids(self, generator: torch.Generator) -> Tensor:
        axes = torch.stack(torch.meshgrid(*[torch.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij"))
        center = 2 * torch.rand(3, generator=generator) - 1
        size = 0.85 + 0.3 * torch.rand(3, generator=generator)
        radius = ((axes - center.view(3, 1, 1, 1)) / size.view(3, 1, 1, 1)).norm(dim=0)
        shells = [0.5 * torch.sigmoid(3.0 - radius), 0.45 * torch.sigmoid(6.5 - radius)]
        return torch.stack(shells).sum(0)[None, None]


@dataclass(frozen=True, kw_only=True)
class ToySourceConfig(SourceConfig):
    kind: ClassVar[str] = "toy"

    def open(self, data: Path, cache: Path, spacing_mm: float) -> ToySource:
        return ToySource()


SOURCES = (ToySourceConfig(),)


class RepeatedPair:
    """Replaces a mixture: always draws the same pair."""

    shapes = (SHAPE,)

    def __init__(self, pair: Pair | None = None) -> None:
        self.pair = drawn() if pair is None else pair

    def draw(self, generator: torch.Generator, count: int = 1) -> Pair:
        return self.pair


def drawn(seed: int = 1) -> Pair:
    return ToySource().draw(torch.Generator().manual_seed(seed))


def mixture() -> Mixture:
    return Mixture([ToySource()], [1.0])


def losses_of(trainer: Any) -> list[dict[str, float]]:
    """Run a trainer; the terms of each step."""
    seen: list[dict[str, float]] = []
    original = trainer.train_step
    trainer.train_step = lambda *a: seen.append(original(*a)) or seen[-1]
    trainer.run()
    return seen
