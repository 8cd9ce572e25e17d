"""The discriminator: a network that maps a deformation to one number and learns to tell the teacher's apart.

Configurations, states and logs call it `critic`, the word for a discriminator with a gradient penalty.

Source: Tran et al., "Light-weight Deformable Registration using Adversarial Learning with Distilling Knowledge",
IEEE TMI 2022, section III: input layer of 3 channels, 4x4x4 convolutions with stride 2, 16 to 256 channels (from 128
voxels along an axis to 4), ReLU, the last followed by a sigmoid; the output M is the mean feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

CRITIC_FORMS = ("published", "relativistic")


@dataclass(frozen=True)
class DiscriminatorConfig:
    """How the discriminator is built and trained.

    channels: of each convolution; each convolution halves the axes, so small grids need fewer. rate: learning rate of
    its Adam optimizer. form: `published` or `relativistic` (`distillation.relativistic`). updates: of the discriminator
    each time that it is due. The others belong to `relativistic`: smooth_voxels, sigma of the Gaussian that smooths
    both deformations, voxels of the half grid; zero_penalty, weight of the two gradient penalties; matching, weight of
    the difference of its features; images, whether it sees the images of the pair.
    `Testing/Benchmarks/critic_forms.py` compares them; smooth_voxels and zero_penalty were chosen, not measured.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    rate: float = 1e-4
    form: str = "relativistic"
    updates: int = 1
    smooth_voxels: float = 1.0
    zero_penalty: float = 0.1
    matching: float = 1.0
    images: bool = False

    def __post_init__(self) -> None:
        if not self.channels or min(self.channels) < 1:
            raise ValueError(f"channels has to hold positive numbers, got {self.channels}")
        if self.form not in CRITIC_FORMS:
            raise ValueError(f"form has to be one of {', '.join(CRITIC_FORMS)}, got {self.form!r}")
        if self.updates < 1 or min(self.smooth_voxels, self.zero_penalty, self.matching) < 0:
            raise ValueError(
                "updates has to be 1 or more, smooth_voxels, zero_penalty and matching 0 or more, got "
                f"{self.updates}, {self.smooth_voxels}, {self.zero_penalty} and {self.matching}"
            )

    @property
    def smallest_axis(self) -> int:
        """Smallest number of voxels along an axis of the grid."""
        return 2 ** (len(self.channels) + (self.form == "relativistic"))


class Discriminator(nn.Module):
    """D: maps deformations (N, 3, D, H, W), voxels, fixed -> moving, to one number each in (0, 1), the mean feature.

    We interpret the published "ReLU, the last followed by a sigmoid" as: ReLU between the convolutions, sigmoid after
    the last one. (ReLU and then sigmoid would restrict M to [1/2, 1) and stop the gradient where the last layer is
    negative.) We use "M = mean feature" in two ways: the mean of each channel is a vector, whose distance between
    student and teacher the article writes as a norm; the mean of all channels is the single number for the loss of the
    discriminator and its gradient penalty.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        widths = (3, *config.channels)
        self.layers = nn.ModuleList(nn.Conv3d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths))

    def features(self, deformation: Tensor) -> Tensor:
        """Mean of each channel of the last layer, (N, channels), each in (0, 1)."""
        *hidden, last = self.layers
        x = deformation
        for layer in hidden:
            x = torch.relu(layer(x))
        return torch.sigmoid(last(x)).flatten(2).mean(2)

    def forward(self, deformation: Tensor) -> Tensor:
        """Mean of all features of each deformation, (N,)."""
        return self.features(deformation).mean(1)
