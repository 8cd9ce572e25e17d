"""ALDK, adversarial learning with distilling knowledge: the losses of the student and of the discriminator.

Source: Tran et al., IEEE TMI 2022, section III. The article gives one sum,

    L_adv = gamma l_rec + (1 - gamma) l_dis,
    l_dis = |D(phi_s) - D(phi_t)|^2 + lambda (|grad D(phi_hat)| - 1)^2,   phi_hat = beta phi_t + (1 - beta) phi_s,

but has two networks. If both minimized it, the first term would teach the discriminator to see no difference. Here
each network has its own loss and its own optimizer:

- The discriminator minimizes D(phi_s) - D(phi_t) + lambda (|grad D(phi_hat)| - 1)^2, where D is the mean of its
  features M. This raises D on the teacher's deformations and lowers it on the student's. The difference is not squared:
  the square has no gradient where the two values are equal, which is the case before training, and no preferred sign.
  The penalty trains the discriminator only; phi_hat is its input data. It keeps the slope of D with respect to a
  deformation near 1, so that the gradient for the student neither vanishes nor explodes. The slope is measured against
  the root mean square of a deformation in voxels, because a D between 0 and 1 can have slope 1 in this unit. It cannot
  with the plain norm over all 3 D H W numbers (the whole range of D corresponds to some hundred units); then the
  penalty cannot be satisfied and the student gets no gradient (measured: 1e-9 of the gradient of l_rec).
- The student minimizes gamma l_rec + (1 - gamma) |M(phi_s) - M(phi_t)|^2 / C with the discriminator fixed, where M is
  the vector of its C channel means. (With the sum over the channels instead of the mean, this term is a hundred times
  larger than l_rec.) The square pulls M(phi_s) to M(phi_t) of the same pair. It does not depend on the sign of D, so it
  does not matter that the article calls the teacher's deformations, not the student's, the generated data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .discriminator import Discriminator

KNOWLEDGE_KINDS = ("none", "distance", "adversarial")
Scorer = Callable[[Tensor], Tensor]
"""Maps deformations (N, 3, D, H, W), voxels, to one number each, (N,), as a `Discriminator` does."""


@dataclass(frozen=True)
class KnowledgeConfig:
    """What the student learns from the teacher, and at which steps.

    kind: `none` (l_rec only), `distance` (plain distillation, mean squared distance to phi_t) or `adversarial` (ALDK);
    nothing else differs between the three, so that they can be compared. gamma, beta, penalty (lambda): see the module.
    weight: a further factor of the knowledge term, 1 as published; less lets l_rec lead, whatever gamma is.
    every, until: the knowledge term is on at every `every`-th step before step `until`; at other steps only gamma l_rec
    is minimized. critic_every: number of student updates by the adversarial term for one update of the discriminator,
    1 or more; in the article the student is updated more often.
    """

    kind: str = "adversarial"
    gamma: float = 0.3
    beta: float = 0.1
    penalty: float = 0.1
    every: int = 3
    until: int = 8000
    critic_every: int = 2
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KNOWLEDGE_KINDS:
            raise ValueError(f"kind has to be one of {', '.join(KNOWLEDGE_KINDS)}, got {self.kind!r}")
        if not (0 <= self.gamma <= 1 and 0 <= self.beta <= 1):
            raise ValueError(f"gamma and beta have to be in [0, 1], got {self.gamma} and {self.beta}")
        if self.weight < 0:
            raise ValueError(f"weight has to be 0 or more, got {self.weight}")
        if self.every < 1 or self.critic_every < 1:
            raise ValueError(f"every and critic_every have to be 1 or more, got {self.every} and {self.critic_every}")

    def uses_knowledge(self, step: int) -> bool:
        """Whether the knowledge term is on at a step (from 0)."""
        return self.kind != "none" and step < self.until and step % self.every == 0

    def updates_discriminator(self, step: int) -> bool:
        """Whether the discriminator is updated at a step (from 0)."""
        return (
            self.kind == "adversarial" and self.uses_knowledge(step) and (step // self.every) % self.critic_every == 0
        )


def reconstruction_loss(warped: Tensor, fixed: Tensor) -> Tensor:
    """l_rec = 1 - Pearson correlation over the whole grid, mean over the batch; images (N, C, D, H, W); 0 is best."""
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (warped, fixed))
    variances = a.square().mean(1) * b.square().mean(1)
    return (1 - (a * b).mean(1) / torch.sqrt(variances + 1e-12)).mean()


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Plain distillation: mean squared difference of deformations (N, 3, D, H, W), voxels^2."""
    return F.mse_loss(student, teacher)


def adversarial_loss(discriminator: Discriminator, student: Tensor, teacher: Tensor) -> Tensor:
    """The adversarial term of the student: mean of (M(phi_s) - M(phi_t))^2 over pairs and channels.

    Deformations (N, 3, D, H, W), voxels. The gradient reaches phi_s, but not the discriminator.
    """
    discriminator.requires_grad_(False)
    difference = discriminator.features(student) - discriminator.features(teacher.detach())
    discriminator.requires_grad_(True)
    return difference.square().mean()


def gradient_penalty(discriminator: Scorer, student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """Mean of (slope - 1)^2 at phi_hat; differentiable with respect to the parameters of the discriminator.

    The slope is the change of D when the deformation changes by 1 voxel (root mean square) along the gradient: the norm
    of the gradient with respect to all n = 3 D H W numbers, times the square root of n.
    """
    mixed = (beta * teacher + (1 - beta) * student).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(mixed).sum(), mixed, create_graph=True)
    slope = torch.linalg.vector_norm(gradient.flatten(1), dim=1) * math.sqrt(mixed[0].numel())
    return (slope - 1).square().mean()


def discriminator_loss(
    discriminator: Scorer, student: Tensor, teacher: Tensor, config: KnowledgeConfig
) -> dict[str, Tensor]:
    """The loss terms of the discriminator by name; their sum is minimized.

    Deformations (N, 3, D, H, W), voxels; no gradient reaches them. The names are keys of the log.
    """
    difference = discriminator(student.detach()).mean() - discriminator(teacher.detach()).mean()
    penalty = gradient_penalty(discriminator, student, teacher, config.beta)
    return {"critic": difference, "penalty": config.penalty * penalty}
