"""A second form of the discriminator: it compares the two deformations of a pair, and is held flat at both.

The published form (`distillation.aldk`) gives each deformation a value between 0 and 1 of its own. Here the loss is
that of a relativistic pairing discriminator C without a bound,

    discriminator:  softplus(C(phi_s) - C(phi_t)) + penalty / 2 (slope_t^2 + slope_s^2)
    student:        softplus(C(phi_t) - C(phi_s)) + matching * mean over the layers |F(phi_s) - F(phi_t)|,

where slope_t and slope_s are the slopes of C at the teacher's and at the student's deformation, and F are the features
of C's layers at every voxel. The features compare the two deformations of one pair, as the published form does with
their means; C alone tells only whether a deformation is one of the teacher's kind. Slopes are measured as there: the
change of C when the deformation changes by its own unit, root mean square. Both penalties are centered at zero (R1 and
R2), so that training converges near the point where the two agree. Sources: Jolicoeur-Martineau, "The relativistic
discriminator", ICLR 2019; Mescheder et al., ICML 2018 (R1, R2); Huang et al., "The GAN is dead; long live the GAN!",
NeurIPS 2024 (the three together); Wang et al. (pix2pixHD), CVPR 2018 (matching of features).

What the discriminator sees, so that it cannot tell the two apart by their making alone: both deformations on the half
grid, which is the student's own, smoothed alike, and divided by the root mean square of the teacher's deformation of
the pair. With `images` it sees the pair too, as a conditional discriminator (Isola et al., CVPR 2017): whether a
deformation fits these images, not only whether it is one of the teacher's kind.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.network.flows import resize_flow
from ...core.sampling.filters import gaussian
from ..data.pairs import Pair
from .discriminator import DiscriminatorConfig

LEAK = 0.2
"""Slope of the leaky ReLU below 0, as in the sources."""
MIN_RMS_VOXELS = 0.1
"""Deformations of the teacher that are smaller than this are not enlarged to unit root mean square. Chosen."""


class RelativisticDiscriminator(nn.Module):
    """C: maps deformations on the half grid, in units of the teacher's, to one number each, without a bound.

    The convolutions are those of the published form, with leaky ReLU; a last one gives one channel, whose mean is C.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        widths = (5 if config.images else 3, *config.channels)
        self.layers = nn.ModuleList(nn.Conv3d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths))
        self.head = nn.Conv3d(config.channels[-1], 1, 1)

    def features(self, deformation: Tensor, images: Tensor) -> list[Tensor]:
        """The output of each layer for deformations (N, 3, d, h, w) and images (N, 2 or 0, d, h, w) of `prepare`."""
        outputs = [torch.cat([deformation, images], dim=1)]
        for layer in self.layers:
            outputs.append(F.leaky_relu(layer(outputs[-1]), LEAK))
        return outputs[1:]

    def judge(self, features: list[Tensor]) -> Tensor:
        """C of the deformations with these features, (N,)."""
        values: Tensor = self.head(features[-1]).flatten(1).mean(1)
        return values

    def forward(self, deformation: Tensor, images: Tensor) -> Tensor:
        """C of deformations and images, as for `features`: (N,)."""
        return self.judge(self.features(deformation, images))

    def prepare(self, pair: Pair, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bring deformations (N, 3, D, H, W), voxels, to one grid, smoothness and unit; and the images of the pair.

        Returns student's and teacher's deformation on the half grid, and the images there (none without `images`).
        """
        half = tuple(max(1, n // 2) for n in student.shape[2:])
        both = [gaussian(resize_flow(flow, half), self.config.smooth_voxels) for flow in (student, teacher.detach())]
        size = both[1].square().mean((1, 2, 3, 4), keepdim=True).sqrt().clamp(min=MIN_RMS_VOXELS)
        images = torch.cat([pair.fixed, pair.moving], dim=1) if self.config.images else pair.fixed[:, :0]
        small = (
            F.interpolate(images, size=half, mode="area")
            if self.config.images
            else images.new_zeros((len(images), 0, *half))
        )
        return both[0] / size, both[1] / size, small


def relativistic_student_loss(
    critic: RelativisticDiscriminator, pair: Pair, student: Tensor, teacher: Tensor
) -> Tensor:
    """The adversarial term of the student; the gradient reaches its deformation, but not the discriminator."""
    critic.requires_grad_(False)
    own, taught, images = critic.prepare(pair, student, teacher)
    own_features, taught_features = critic.features(own, images), critic.features(taught, images)
    loss = F.softplus(critic.judge(taught_features) - critic.judge(own_features)).mean()
    if critic.config.matching:
        differences = [F.l1_loss(a, b) for a, b in zip(own_features, taught_features, strict=True)]
        loss = loss + critic.config.matching * torch.stack(differences).mean()
    critic.requires_grad_(True)
    return loss


def relativistic_critic_loss(
    critic: RelativisticDiscriminator, pair: Pair, student: Tensor, teacher: Tensor
) -> dict[str, Tensor]:
    """The loss terms of the discriminator by name; their sum is minimized. No gradient reaches the deformations."""
    own, taught, images = critic.prepare(pair, student.detach(), teacher)
    own, taught = own.requires_grad_(), taught.detach().requires_grad_()
    own_value, taught_value = critic(own, images), critic(taught, images)
    gradients = torch.autograd.grad((own_value + taught_value).sum(), (own, taught), create_graph=True)
    squares = [gradient.flatten(1).square().sum(1) * own[0].numel() for gradient in gradients]
    penalty = critic.config.zero_penalty / 2 * torch.stack(squares).sum(0).mean()
    return {"critic": F.softplus(own_value - taught_value).mean(), "penalty": penalty}
