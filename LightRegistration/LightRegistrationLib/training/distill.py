"""Train a student by a teacher's deformations (ALDK): two optimizers, critic and student, in turn."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.flows import resize_flow
from .aldk import adversarial_loss, critic_loss, distance_loss
from .configuration import DistillationConfig, DistillationStage, load_config_as
from .discriminator import Discriminator
from .loop import Trainer, conduct, load_state, training_arguments, values_of
from .losses import diffusion
from .pairs import Mixture, Pair
from .teacher import Teacher, TeacherConfig
from .train_student import new_student
from .train_teacher import reconstruction


def load_teacher(state_file: Path) -> Teacher:
    """The teacher of a training state, frozen; InputError if the file holds none."""
    state = load_state(state_file)
    if "teacher" not in state or "config" not in state:
        raise InputError(f"{state_file}: this state holds no teacher; give the state.pt of a teacher's training.")
    settings = json.loads(state["config"])["teacher"]
    teacher = Teacher(TeacherConfig(**settings))
    teacher.load_state_dict(state["teacher"])
    return teacher.eval().requires_grad_(False)


class DistillationTrainer(Trainer[DistillationStage]):
    """Trains a student by a teacher; the state holds both players, both optimizers and which teacher it was."""

    config: DistillationConfig

    def __init__(self, config: DistillationConfig, teacher: Teacher, data: Path, output: Path) -> None:
        super().__init__(config, data, output)
        self.teacher = teacher
        self.student = new_student(config)
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-4)
        self.critic = Discriminator(config.critic)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=config.critic.rate)
        self.identity = _TeacherIdentity(teacher)

    def parts(self) -> dict[str, Any]:
        """Networks and optimizers by their key in the state file; `critic_optimizer` keeps its own, constant rate."""
        return {
            "teacher_identity": self.identity,
            "student": self.student,
            "optimizer": self.optimizer,
            "critic": self.critic,
            "critic_optimizer": self.critic_optimizer,
        }

    def start_stage(self, stage: DistillationStage, pairs: Mixture) -> None:
        """Check that the critic fits the grid; InputError if not."""
        shape = min(pairs.shapes, key=min)
        if self.config.knowledge.kind == "adversarial" and min(shape) < self.config.critic.smallest_axis:
            raise InputError(
                f"{self.config.name}: the critic's {len(self.config.critic.channels)} layers need at least "
                f"{self.config.critic.smallest_axis} voxels along each axis, but the grid at {stage.spacing_mm} mm is "
                f"{shape}; give [critic] fewer channels."
            )

    def train_step(self, pairs: Mixture, stage: DistillationStage) -> dict[str, float]:
        """One batch: an update of the critic if it is due, then one of the student; terms that are off are left out."""
        pair = pairs.draw(self.generator, self.config.batch)
        knowledge = self.config.knowledge
        flow, predictions = self.deform(pair, stage.cascades)
        self.require_finite("student's deformation", flow)  # a sampler takes NaN for a place and its loss stays finite
        terms = {"reconstruction": knowledge.gamma * reconstruction(pair, flow, self.config.clean)}
        if stage.smoothness:
            smoothness = torch.stack([diffusion(p) for p in predictions]).mean()
            terms["smoothness"] = stage.smoothness * smoothness
        seen: dict[str, float] = {}
        if knowledge.teaches(self.step):
            taught = self.teach(pair)
            if knowledge.trains_critic(self.step):
                seen = self._train_critic(flow.detach(), taught)
            terms["knowledge"] = (1 - knowledge.gamma) * self._knowledge(flow, taught)
        self.descend(self.optimizer, terms)
        return seen | values_of(terms)

    def deform(self, pair: Pair, cascades: int) -> tuple[Tensor, list[Tensor]]:
        """phi_s, (N, 3, D, H, W) in voxels of the pair's grid whatever the student's head, and its cascades' output."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.config.bfloat16):
            flow, predictions = self.student(pair.fixed, pair.moving, cascades)
        return resize_flow(flow.float(), tuple(pair.fixed.shape[2:])), predictions

    def teach(self, pair: Pair) -> Tensor:
        """phi_t, (N, 3, D, H, W) in voxels of the pair's grid."""
        with torch.no_grad():
            flow: Tensor = self.teacher(pair.fixed, pair.moving).flow
        return flow

    def _train_critic(self, student: Tensor, taught: Tensor) -> dict[str, float]:
        terms = critic_loss(self.critic, student, taught, self.config.knowledge)
        self.descend(self.critic_optimizer, terms, clip=math.inf)
        return values_of(terms)

    def _knowledge(self, student: Tensor, taught: Tensor) -> Tensor:
        if self.config.knowledge.kind == "distance":
            return distance_loss(student, taught)
        return adversarial_loss(self.critic, student, taught)


class _TeacherIdentity:
    """Keeps a resumed run from going on with another teacher than it began with."""

    def __init__(self, teacher: Teacher) -> None:
        digest = hashlib.sha256()
        for name, tensor in teacher.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        self.sha256 = digest.hexdigest()

    def state_dict(self) -> dict[str, str]:
        return {"sha256": self.sha256}

    def load_state_dict(self, state: dict[str, str]) -> None:
        if state["sha256"] != self.sha256:
            raise ValueError("it was begun with another teacher")


def main() -> None:
    """Command line: train or resume the student of a configuration by a teacher."""
    parser = training_arguments("Train a student by a teacher (ALDK)")
    parser.add_argument("--teacher", type=Path, required=True, help="state.pt of the teacher's training")
    arguments = parser.parse_args()
    conduct(
        arguments,
        lambda: DistillationTrainer(
            load_config_as(arguments.config, DistillationConfig),
            load_teacher(arguments.teacher),
            arguments.data,
            arguments.output,
        ),
    )


if __name__ == "__main__":
    main()
