"""The light encoder-decoder network of the student: two images in, the flow of one cascade out.

Source: Tran et al., "Light-weight Deformable Registration using Adversarial Learning with Distilling Knowledge",
IEEE TMI 2022, section III: four 4x4x4 stride-2 convolutions (16, 32, 64, 128 channels), three transposed convolutions
with skip connections, and a last layer for the dense flow.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 128)
"""Channels of the encoder's layers as published."""
STRIDE = 16
"""Every axis of the network grid is a multiple of this many voxels."""


class Responses(NamedTuple):
    """The share of one image in the network's first layer, (N, widths[0], D/2, H/2, W/2) each.

    The first layer is linear: its result for two images is the sum of the shares of both.
    """

    as_moving: Tensor
    as_fixed: Tensor


class LightNetwork(nn.Module):
    """One student network.

    head `full`: the published network, a transposed convolution to a displacement at full resolution (1.549 M
    parameters). head `half`: the variant of the bundled models, a 3x3x3 convolution to a velocity at half resolution
    (1.545 M parameters); its integral is a diffeomorphism, and it is about 1.5 times faster.

    channels: of each image; 1 as published, more with local z-scores (`core.network.inputs`). widths: channels of the
    encoder's four layers; the decoder has as many at each resolution as the skip connection that joins it there.
    Input: moving and fixed image, each (N, channels, D, H, W), axes multiples of 16.
    Output: (N, 3, D, H, W) or (N, 3, D/2, H/2, W/2), voxels of the output grid, components i, j, k.
    """

    def __init__(self, head: str = "half", channels: int = 1, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        if head not in ("full", "half"):
            raise ValueError(f"head must be 'full' or 'half', got {head!r}")
        encoder = pairwise((2 * channels, *widths))
        self.encoder = nn.ModuleList(nn.Conv3d(a, b, 4, stride=2, padding=1) for a, b in encoder)
        first, second, third, last = widths
        decoder = ((last, third), (2 * third, second), (2 * second, first))
        self.decoder = nn.ModuleList(nn.ConvTranspose3d(a, b, 4, stride=2, padding=1) for a, b in decoder)
        published = nn.ConvTranspose3d(2 * first, 3, 4, stride=2, padding=1)
        self.flow = published if head == "full" else nn.Conv3d(2 * first, 3, 3, padding=1)
        nn.init.normal_(self.flow.weight, std=1e-2)
        if self.flow.bias is not None:
            nn.init.zeros_(self.flow.bias)

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Predict the displacement or velocity from the fixed to the moving image."""
        return self.flow(self._decode(self._first(torch.cat([moving, fixed], dim=1))))

    def respond(self, image: Tensor) -> Responses:
        """Compute the share of one image in the first layer, in each of its two places; without the bias."""
        weight = torch.cat(self._first.weight.chunk(2, dim=1))
        return Responses(*F.conv3d(image, weight, stride=2, padding=1).chunk(2, dim=1))

    def predict_antisymmetric(self, moving: Responses, fixed: Responses) -> Tensor:
        """Predict (N(moving, fixed) - N(fixed, moving)) / 2 from the responses to both images.

        Exactly antisymmetric: the exchange of both changes the sign of each value and nothing else.
        """
        assert self._first.bias is not None
        bias = self._first.bias.view(1, -1, 1, 1, 1)
        orders = [first.as_moving + second.as_fixed for first, second in ((moving, fixed), (fixed, moving))]
        forward, backward = self._decode(torch.cat(orders).add_(bias)).chunk(2)
        # The last layer is linear: half of the difference goes through it once, and its bias cancels.
        return F.conv3d((forward - backward).mul_(0.5), self.flow.weight, padding=1)

    @property
    def _first(self) -> nn.Conv3d:
        layer = self.encoder[0]
        assert isinstance(layer, nn.Conv3d)
        return layer

    def _decode(self, first: Tensor) -> Tensor:
        """Run all layers between the first and the last; first: the result of the first layer, overwritten."""
        x = first.relu_()
        skips = [x]
        for layer in self.encoder[1:]:
            x = layer(x).relu_()
            skips.append(x)
        skips.pop()
        for layer in self.decoder:
            x = torch.cat([layer(x).relu_(), skips.pop()], dim=1)
        return x
