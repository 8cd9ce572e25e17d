"""The types of a training step: a pair of images, and the sources that draw such pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pair:
    """Input of the network and targets of its loss.

    fixed, moving: network input, (N, 1, D, H, W) in [0, 1]. fixed_clean, moving_clean: (N, 1 + K, D, H, W): first the
    image that the loss compares (without noise where that is known), then K random projections of the structures with
    equal weights in both images (K may be 0). fixed_labels, moving_labels: (N, L, D, H, W), memberships 0 to 1 of L
    structures, or None.
    """

    fixed: Tensor
    moving: Tensor
    fixed_clean: Tensor
    moving_clean: Tensor
    fixed_labels: Tensor | None = None
    moving_labels: Tensor | None = None


class PairSource(Protocol):
    """Draws pairs of images that are affinely aligned, on a grid whose axes are multiples of 16."""

    spacing_mm: float
    shape: tuple[int, int, int]

    def draw(self, generator: torch.Generator) -> Pair:
        """Draw one pair (N = 1); all that is random comes from the generator."""
        ...


class Mixture:
    """Several sources; each batch comes from one of them, drawn with probability proportional to its weight."""

    def __init__(self, sources: Sequence[PairSource], weights: Sequence[float]) -> None:
        self.sources = tuple(sources)
        self.weights = torch.tensor(weights, dtype=torch.float64)

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """The grids (D, H, W) of the sources."""
        return tuple(source.shape for source in self.sources)

    def draw(self, generator: torch.Generator, count: int = 1) -> Pair:
        """Draw `count` pairs of one source and join them along the batch axis."""
        index = 0
        if len(self.sources) > 1:
            index = int(torch.multinomial(self.weights, 1, generator=generator))
        return join([self.sources[index].draw(generator) for _ in range(count)])


def join(pairs: Sequence[Pair]) -> Pair:
    """Join pairs of one source along the batch axis."""
    if len(pairs) == 1:
        return pairs[0]
    joined: dict[str, Any] = {}
    for name in (f.name for f in fields(Pair)):
        values = [getattr(pair, name) for pair in pairs]
        joined[name] = None if values[0] is None else torch.cat(values)
    return Pair(**joined)


def select(pair: Pair, chosen: Tensor) -> Pair:
    """The pairs of a batch for which the booleans or indices (N,) are chosen."""
    selected: dict[str, Any] = {}
    for name in (f.name for f in fields(Pair)):
        value = getattr(pair, name)
        selected[name] = None if value is None else value[chosen]
    return Pair(**selected)
