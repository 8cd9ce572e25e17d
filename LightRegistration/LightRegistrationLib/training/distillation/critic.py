"""The forms of the discriminator behind one interface, so that a configuration can choose one."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from ..data.pairs import Pair
from .aldk import KnowledgeConfig, adversarial_loss, discriminator_loss
from .discriminator import Discriminator, DiscriminatorConfig
from .relativistic import RelativisticDiscriminator, relativistic_critic_loss, relativistic_student_loss


class Critic(Protocol):
    """A discriminator with its two losses; deformations (N, 3, D, H, W), voxels of the pairs' grid."""

    @property
    def network(self) -> nn.Module:
        """The discriminator's network."""
        ...

    def compute_own_loss(self, pair: Pair, student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
        """The terms that the discriminator minimizes, by name; no gradient reaches the deformations."""
        ...

    def compute_student_loss(self, pair: Pair, student: Tensor, teacher: Tensor) -> Tensor:
        """The term that the student minimizes; no gradient reaches the discriminator."""
        ...


class PublishedCritic:
    """The form of the article (`distillation.aldk`)."""

    def __init__(self, config: DiscriminatorConfig, knowledge: KnowledgeConfig) -> None:
        self.network = Discriminator(config)
        self._knowledge = knowledge

    def compute_own_loss(self, pair: Pair, student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
        """See `discriminator_loss`."""
        return discriminator_loss(self.network, student, teacher, self._knowledge)

    def compute_student_loss(self, pair: Pair, student: Tensor, teacher: Tensor) -> Tensor:
        """See `adversarial_loss`."""
        return adversarial_loss(self.network, student, teacher)


class RelativisticCritic:
    """The form of `distillation.relativistic`."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        self.network = RelativisticDiscriminator(config)

    def compute_own_loss(self, pair: Pair, student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
        """See `relativistic_critic_loss`."""
        return relativistic_critic_loss(self.network, pair, student, teacher)

    def compute_student_loss(self, pair: Pair, student: Tensor, teacher: Tensor) -> Tensor:
        """See `relativistic_student_loss`."""
        return relativistic_student_loss(self.network, pair, student, teacher)


def make_critic(config: DiscriminatorConfig, knowledge: KnowledgeConfig) -> Critic:
    """Make the discriminator of a configuration, with its initial weights."""
    return PublishedCritic(config, knowledge) if config.form == "published" else RelativisticCritic(config)
