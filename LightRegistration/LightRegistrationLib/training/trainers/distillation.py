"""Train a student by a teacher's deformations (ALDK): two optimizers, critic and student, in turn."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.errors import InputError
from ...core.network.flows import resize_flow
from ..configuration import DistillationConfig, DistillationStage, source_to_dict
from ..data.pairs import Mixture, Pair
from ..distillation.aldk import adversarial_loss, discriminator_loss, distance_loss
from ..distillation.discriminator import Discriminator
from ..distillation.store import KnowledgeStore
from ..distillation.teacher import Teacher, TeacherConfig
from ..loop.hardware import Hardware, Processes
from ..loop.run import run_training
from ..loop.trainer import Trainer, make_generator, to_floats
from ..losses import diffusion
from ..monitoring.monitor import NO_MONITOR, Monitor, RunSummary
from ..state import load_state
from .student import new_student
from .teacher import reconstruction

_STORE = 2**31
"""Tells the generators of stored pairs from those of the processes."""


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

    def __init__(
        self,
        config: DistillationConfig,
        teacher: Teacher,
        data: Path,
        output: Path,
        processes: Processes | None = None,
        monitor: Monitor = NO_MONITOR,
        bfloat16: bool | None = None,
        store: Path | None = None,
    ) -> None:
        super().__init__(config, data, output, processes, monitor)
        self.bfloat16 = config.bfloat16 if bfloat16 is None else bfloat16
        self.identity = _TeacherIdentity(teacher)
        self.teacher = teacher.to(self.processes.device)
        self.student, self.notes = new_student(config)
        self.parallel = self.processes.parallel(self.student, partly_used=not config.student.shared)
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-4)
        self.critic = Discriminator(config.critic).to(self.processes.device)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=config.critic.rate)
        self.store_folder = store
        self.store: KnowledgeStore | None = None
        if store is not None and config.store.pairs < config.batch:
            raise InputError(f"{config.name}: a store needs pairs, {config.batch} or more, in [store].")
        if store is not None:
            self.notes["store"] = f"{config.store.pairs} pairs, {config.store.resolution} resolution"

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
        """Check that the critic fits the grid, and fill the store where there is one; raises InputError."""
        shape = min(pairs.shapes, key=min)
        if self.config.knowledge.kind == "adversarial" and min(shape) < self.config.critic.smallest_axis:
            raise InputError(
                f"{self.config.name}: the critic's {len(self.config.critic.channels)} layers need at least "
                f"{self.config.critic.smallest_axis} voxels along each axis, but the grid at {stage.spacing_mm} mm is "
                f"{shape}; give [critic] fewer channels."
            )
        if self.store_folder is not None:
            self.store = self._opened_store(self.store_folder / f"{stage.spacing_mm:g}mm", stage, pairs)

    def _opened_store(self, folder: Path, stage: DistillationStage, pairs: Mixture) -> KnowledgeStore:
        """The store of a stage's grid, with all its pairs; together. The processes share the work."""
        identity = {
            "teacher": self.identity.sha256,
            "sources": [source_to_dict(source) for source in self.config.sources],
            "seed": self.config.seed,
            "spacing_mm": stage.spacing_mm,
        }
        store = KnowledgeStore(folder, self.config.store, identity, self.config.clean)
        self.processes.in_turn(store.claim)
        store.fill(
            lambda n: self.processes.move(pairs.draw(make_generator(self.config.seed, _STORE, n))),
            self.teach,
            self.processes.rank,
            self.processes.count,
            self.is_stop_requested,
        )
        if not self.processes.any(self.is_stop_requested()):
            store.open()
        return store

    def _drawn(self, pairs: Mixture) -> tuple[Pair, Tensor | None]:
        """A batch, and its deformations where a store knows them."""
        if self.store is None:
            return self.draw(pairs, self.config.batch), None
        pair, taught = self.store.draw(self.generator, self.config.batch)
        return self.processes.move(pair), taught.to(self.processes.device)

    def train_step(self, pairs: Mixture, stage: DistillationStage) -> dict[str, float]:
        """One batch: an update of the critic if it is due, then one of the student; terms that are off are left out."""
        pair, taught = self._drawn(pairs)
        knowledge = self.config.knowledge
        flow, predictions = self.deform(pair, stage.cascades)
        self.require_finite("student's deformation", flow)  # a sampler takes NaN for a place and its loss stays finite
        terms = {"reconstruction": knowledge.gamma * reconstruction(pair, flow, self.config.clean, stage.window)}
        if stage.smoothness:
            smoothness = torch.stack([diffusion(p) for p in predictions]).mean()
            terms["smoothness"] = stage.smoothness * smoothness
        seen: dict[str, float] = {}
        if knowledge.uses_knowledge(self.step):
            taught = self.teach(pair) if taught is None else taught
            if knowledge.updates_discriminator(self.step):
                seen = self._train_critic(flow.detach(), taught)
            terms["knowledge"] = (1 - knowledge.gamma) * self._knowledge(flow, taught)
        self.descend(self.optimizer, terms)
        return seen | to_floats(terms)

    def deform(self, pair: Pair, cascades: int) -> tuple[Tensor, list[Tensor]]:
        """phi_s, (N, 3, D, H, W) in voxels of the pair's grid whatever the student's head, and its cascades' output."""
        with torch.autocast(pair.fixed.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            flow, predictions = self.parallel(pair.fixed, pair.moving, cascades)
        return resize_flow(flow.float(), tuple(pair.fixed.shape[2:])), predictions

    def register(self, pair: Pair, stage: DistillationStage) -> Tensor:
        """The student's flow on the grid of the pair."""
        flow, _ = self.student(pair.fixed, pair.moving, stage.cascades)
        return resize_flow(flow, tuple(pair.fixed.shape[2:]))

    def teach(self, pair: Pair) -> Tensor:
        """phi_t, (N, 3, D, H, W) in voxels of the pair's grid."""
        with torch.no_grad():
            flow: Tensor = self.teacher(pair.fixed, pair.moving).flow
        return flow

    def _train_critic(self, student: Tensor, taught: Tensor) -> dict[str, float]:
        terms = discriminator_loss(self.critic, student, taught, self.config.knowledge)
        self.descend(self.critic_optimizer, terms, clip=math.inf, average=True)
        return to_floats(terms)

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
            digest.update(tensor.contiguous().cpu().numpy().tobytes())
        self.sha256 = digest.hexdigest()

    def state_dict(self) -> dict[str, str]:
        return {"sha256": self.sha256}

    def load_state_dict(self, state: dict[str, str]) -> None:
        if state["sha256"] != self.sha256:
            raise ValueError("it was begun with another teacher")


def distill(
    config: DistillationConfig,
    teacher: Path,
    data: Path,
    output: Path,
    *,
    store: Path | None = None,
    hardware: Hardware | None = None,
    monitor: Monitor = NO_MONITOR,
) -> RunSummary:
    """Train the student of a configuration by a teacher, or go on where the state in the output folder stopped.

    teacher: state.pt of its training. data: folder that the sources' files are in. output: gets state.pt and log.jsonl;
    `cache` is made beside it. store: folder for the teacher's deformations, filled first with as many pairs as [store]
    says and drawn from then; without it they are computed on the fly, of ever new pairs. Raises InputError for all that
    is wrong; see `run_training`.
    """
    hardware = hardware or Hardware()
    bfloat16 = hardware.bfloat16(config.bfloat16)

    def build(processes: Processes) -> DistillationTrainer:
        return DistillationTrainer(config, load_teacher(teacher), data, output, processes, monitor, bfloat16, store)

    return run_training(build, hardware)
