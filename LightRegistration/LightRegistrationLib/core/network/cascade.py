"""Recursive cascades: each one sees the moving image warped by the cascades before it (Zhao et al., ICCV 2019)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .flows import compose, exponential, resize_flow, warp
from .inputs import INTENSITY, compute_inputs, count_channels
from .light_network import WIDTHS, LightNetwork, Responses
from .pyramid import Shape, average_image, move_flow

COARSE_FACTORS = (2, 4, 8)
MAX_WIDTH = 1024
"""More would be a mistake in a card: such a layer alone has 64 million weights."""


@dataclass(frozen=True)
class CascadeConfig:
    """The architecture of a student; a model's card sets it under `network`.

    cascades: 1 to 3, as trained. head: `full` (as published, a displacement) or `half` (a velocity at half resolution,
    integrated by `squarings` compositions). symmetric: v = (N(m, f) - N(f, m)) / 2, so that swapping the images inverts
    each cascade; needs `half`. shared: all cascades use the same weights. bound_voxels: upper limit of each velocity
    component, in voxels of the half grid (a scaled tanh). inputs: what the network sees of each image, `intensity` (as
    published) or `z-scores`: also its local z-scores (`core.network.inputs`). coarse_factors: further cascades that run
    before these, each on a grid whose voxels are this many times as long (2, 4 or 8; none as published); they need
    `half` and shared weights. widths: channels of the encoder's four layers (`core.network.light_network`); fewer than
    published make a smaller network.
    """

    cascades: int = 2
    head: str = "half"
    symmetric: bool = True
    shared: bool = True
    squarings: int = 6
    bound_voxels: float = 12.0
    inputs: str = INTENSITY
    coarse_factors: tuple[int, ...] = ()
    widths: tuple[int, ...] = WIDTHS

    def __post_init__(self) -> None:
        object.__setattr__(self, "coarse_factors", tuple(self.coarse_factors))
        object.__setattr__(self, "widths", tuple(self.widths))
        if not 1 <= self.cascades <= 3:
            raise ValueError(f"a student has 1 to 3 cascades, got {self.cascades}")
        if self.symmetric and self.head != "half":
            raise ValueError("a symmetric student needs the velocity head (head='half')")
        count_channels(self.inputs)
        if any(factor not in COARSE_FACTORS for factor in self.coarse_factors):
            raise ValueError(f"coarse_factors have to be 2, 4 or 8, got {list(self.coarse_factors)}")
        if self.coarse_factors and not (self.head == "half" and self.shared):
            raise ValueError("coarse cascades need the velocity head (head='half') and shared weights")
        if len(self.widths) != len(WIDTHS) or not all(1 <= width <= MAX_WIDTH for width in self.widths):
            raise ValueError(f"widths have to be {len(WIDTHS)} numbers from 1 to {MAX_WIDTH}, got {list(self.widths)}")

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain values."""
        return {**asdict(self), "coarse_factors": list(self.coarse_factors), "widths": list(self.widths)}


class RecursiveCascade(nn.Module):
    """The student: 1 to 3 recursive cascades whose flows are composed, on the half or the full grid."""

    def __init__(self, config: CascadeConfig) -> None:
        super().__init__()
        self.config = config
        count = 1 if config.shared else config.cascades
        channels = count_channels(config.inputs)
        self.networks = nn.ModuleList(LightNetwork(config.head, channels, config.widths) for _ in range(count))

    def forward(self, fixed: Tensor, moving: Tensor, cascades: int | None = None) -> tuple[Tensor, list[Tensor]]:
        """Register images (N, 1, D, H, W) in [0, 1], axes multiples of 16.

        cascades: number of cascades to run on the grid of the images, None as trained; coarse ones always run. Returns
        the composed flow fixed -> moving, in voxels of its own grid ((N, 3, D/2, H/2, W/2) for the velocity head, the
        full grid for the published head), and the prediction of each cascade (velocity or displacement).
        """
        shape: Shape = tuple(fixed.shape[2:])  # type: ignore[assignment]
        fine = range(cascades or self.config.cascades)
        steps = [(factor, 0) for factor in self.config.coarse_factors] + [(1, index) for index in fine]
        predictions: list[Tensor] = []
        total: Tensor | None = None
        level = 0
        fixed_responses: dict[LightNetwork, Responses] = {}
        for factor, index in steps:
            if factor != level:
                fixed_responses.clear()
                seen = [compute_inputs(average_image(image, factor), self.config.inputs) for image in (fixed, moving)]
                total = None if total is None else move_flow(total, level, shape, factor)
                level = factor
            warped = seen[1] if total is None else warp(seen[1], resize_flow(total, tuple(seen[1].shape[2:])))
            prediction = self.predict(self._network(index), seen[0], warped, fixed_responses)
            predictions.append(prediction)
            flow = exponential(prediction, self.config.squarings) if self.config.head == "half" else prediction
            total = flow if total is None else compose(total, flow)
        assert total is not None
        return total, predictions

    def _network(self, index: int) -> LightNetwork:
        network = self.networks[0 if self.config.shared else min(index, len(self.networks) - 1)]
        assert isinstance(network, LightNetwork)
        return network

    def predict(
        self, network: LightNetwork, fixed: Tensor, moving: Tensor, fixed_responses: dict[LightNetwork, Responses]
    ) -> Tensor:
        """Predict the velocity or displacement of one cascade from the channels of both images (N, C, D, H, W).

        fixed_responses: of this fixed image; filled here, since they do not change between cascades on one grid.
        """
        if not self.config.symmetric:
            return self._bounded(network(moving, fixed).float())
        if network not in fixed_responses:
            fixed_responses[network] = network.respond(fixed)
        responses = network.respond(moving), fixed_responses[network]
        return self._bounded(network.predict_antisymmetric(*responses).float())

    def _bounded(self, prediction: Tensor) -> Tensor:
        if self.config.head == "full":
            return prediction
        bound = self.config.bound_voxels
        return bound * torch.tanh(prediction / bound)
