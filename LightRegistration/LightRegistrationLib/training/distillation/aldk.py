"""ALDK, adversarial learning with distilling knowledge: what the critic and what the student minimize.

Source: Tran et al., IEEE TMI 2022, section III. The article writes one sum,

    L_adv = gamma l_rec + (1 - gamma) l_dis,
    l_dis = |D(phi_s) - D(phi_t)|^2 + lambda (|grad D(phi_hat)| - 1)^2,   phi_hat = beta phi_t + (1 - beta) phi_s,

and means two players. Minimized by both at once its first term would teach the critic to see no difference at all.
Here each player has its own loss and its own optimizer:

- The critic minimizes  D(phi_s) - D(phi_t) + lambda (|grad D(phi_hat)| - 1)^2,  D the mean of its features M. It raises
  D on the teacher's deformations and lowers it on the student's. The difference is not squared: the square has no slope
  where the two values meet, which is where an untrained critic starts, and no preferred sign. The penalty is on the
  critic alone, phi_hat is data to it: its work is to keep the critic's slope with respect to a deformation near 1, so
  that the student is led by a slope that neither dies nor explodes. The slope is measured against the root mean square
  of a deformation, in voxels: a critic whose value lies between 0 and 1 can have slope 1 then. Against the plain norm,
  the sum over all 3 D H W numbers, it cannot (the whole range of D is passed within some hundred units), the penalty is
  out of reach and the student feels nothing (measured: 1e-9 of the gradient of l_rec).
- The student minimizes  gamma l_rec + (1 - gamma) |M(phi_s) - M(phi_t)|^2 / C  with the critic held still, M the vector
  of its C channels' means. (The sum over the channels instead of their mean drowns l_rec a hundredfold.) The square
  pulls M(phi_s) up to M(phi_t) of the same pair and not beyond. The critic's sign does not matter to it, so that it is
  of no consequence that the article calls the teacher's deformations, not the student's, the attacking data.
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
Critic = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class KnowledgeConfig:
    """What the student learns from the teacher, and when.

    kind: `none` (l_rec alone), `distance` (plain distillation, mean squared distance to phi_t) or `adversarial` (ALDK);
    everything else is the same for the three, so that they can be compared. gamma, beta, penalty (lambda): see the
    module. every, until: the knowledge term is on at each `every`-th step before step `until`, off elsewhere, where
    gamma l_rec remains. critic_every: one update of the critic for so many updates of the student by the adversarial
    term, 1 or more; the article wants the student updated more often.
    """

    kind: str = "adversarial"
    gamma: float = 0.3
    beta: float = 0.1
    penalty: float = 0.1
    every: int = 3
    until: int = 8000
    critic_every: int = 2

    def __post_init__(self) -> None:
        if self.kind not in KNOWLEDGE_KINDS:
            raise ValueError(f"kind has to be one of {', '.join(KNOWLEDGE_KINDS)}, got {self.kind!r}")
        if not (0 <= self.gamma <= 1 and 0 <= self.beta <= 1):
            raise ValueError(f"gamma and beta have to be in [0, 1], got {self.gamma} and {self.beta}")
        if self.every < 1 or self.critic_every < 1:
            raise ValueError(f"every and critic_every have to be 1 or more, got {self.every} and {self.critic_every}")

    def uses_knowledge(self, step: int) -> bool:
        """Whether the knowledge term is on at a step (from 0)."""
        return self.kind != "none" and step < self.until and step % self.every == 0

    def updates_discriminator(self, step: int) -> bool:
        """Whether the critic is updated at a step (from 0)."""
        return (
            self.kind == "adversarial" and self.uses_knowledge(step) and (step // self.every) % self.critic_every == 0
        )


def reconstruction_loss(warped: Tensor, fixed: Tensor) -> Tensor:
    """l_rec = 1 - Pearson correlation over the whole grid, (N, C, D, H, W) each, mean over the batch; 0 is the best."""
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (warped, fixed))
    variances = a.square().mean(1) * b.square().mean(1)
    return (1 - (a * b).mean(1) / torch.sqrt(variances + 1e-12)).mean()


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Plain distillation: mean squared difference of deformations (N, 3, D, H, W), voxels^2."""
    return F.mse_loss(student, teacher)


def adversarial_loss(critic: Discriminator, student: Tensor, teacher: Tensor) -> Tensor:
    """The student's term, mean of (M(phi_s) - M(phi_t))^2 over pairs and channels.

    Its gradient reaches phi_s and leaves the critic alone.
    """
    critic.requires_grad_(False)
    difference = critic.features(student) - critic.features(teacher.detach())
    critic.requires_grad_(True)
    return difference.square().mean()


def gradient_penalty(critic: Critic, student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """Mean of (slope - 1)^2 at phi_hat; differentiable with respect to the critic's parameters.

    The slope is the change of D for a change of the deformation by 1 voxel root mean square along the gradient: the
    norm of the gradient with respect to all n = 3 D H W numbers, times the root of n.
    """
    mixed = (beta * teacher + (1 - beta) * student).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    slope = torch.linalg.vector_norm(gradient.flatten(1), dim=1) * math.sqrt(mixed[0].numel())
    return (slope - 1).square().mean()


def discriminator_loss(critic: Critic, student: Tensor, teacher: Tensor, config: KnowledgeConfig) -> dict[str, Tensor]:
    """The critic's terms by name; their sum is minimized. Deformations (N, 3, D, H, W), voxels; both are data here."""
    difference = critic(student.detach()).mean() - critic(teacher.detach()).mean()
    penalty = gradient_penalty(critic, student, teacher, config.beta)
    return {"critic": difference, "penalty": config.penalty * penalty}
