"""Trains a student with a teacher's deformations (ALDK): updates of the discriminator and of the student alternate."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.errors import InputError
from ...core.network.flows import resize_flow
from ..configuration import DistillationConfig, DistillationStage
from ..configuration_file import source_to_dict
from ..data.pairs import Mixture, Pair, select
from ..distillation.aldk import distance_loss
from ..distillation.critic import make_critic
from ..distillation.lesson import FieldTeacher, Lesson, hash_weights
from ..distillation.refinement_teacher import RefinementTeacher
from ..distillation.store import KnowledgeStore, StoredImages, Teach
from ..loop.hardware import Hardware, Processes
from ..loop.run import run_training
from ..loop.trainer import Trainer, make_generator, to_floats
from ..losses import RegistrationLoss
from ..monitoring.monitor import NO_MONITOR, Monitor, RunSummary
from .student import build_student
from .teachers import open_teacher

_STORE = 2**31
"""Distinguishes the random generators of stored pairs from those of the processes."""


class DistillationTrainer(Trainer[DistillationStage]):
    """Trains a student with a teacher of any kind.

    The state has student and discriminator, their optimizers, and the identity of the teacher.
    """

    config: DistillationConfig

    def __init__(
        self,
        config: DistillationConfig,
        teacher: FieldTeacher,
        data: Path,
        output: Path,
        processes: Processes | None = None,
        monitor: Monitor = NO_MONITOR,
        bfloat16: bool | None = None,
        store: Path | None = None,
    ) -> None:
        super().__init__(config, data, output, processes, monitor)
        self.bfloat16 = config.bfloat16 if bfloat16 is None else bfloat16
        self.identity = _TeacherIdentity(teacher.identity)
        self.teacher = teacher
        self.student, self.notes = build_student(config)
        self.parallel = self.processes.parallel(self.student, partly_used=not config.student.shared)
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-4)
        self.critic = make_critic(config.critic, config.knowledge)
        self.discriminator = self.critic.network.to(self.processes.device)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=config.critic.rate)
        self.store_folder = store
        self.store_seed = config.store.seed or config.seed
        self.store: KnowledgeStore | None = None
        if any(stage.refresh for stage in config.stages) and (store is None or config.teacher.kind != "refinement"):
            raise InputError(f"{config.name}: refresh in [[stage]] needs a store and [teacher] kind = 'refinement'.")
        if store is not None and config.store.pairs < config.batch:
            raise InputError(f"{config.name}: a store needs pairs, {config.batch} or more, in [store].")
        if store is not None:
            self.notes["store"] = f"{config.store.pairs} pairs, {config.store.resolution} resolution"

    def parts(self) -> dict[str, Any]:
        """Networks and optimizers by their key in the state file; `critic_optimizer` has its own, constant rate."""
        return {
            "teacher_identity": self.identity,
            "student": self.student,
            "optimizer": self.optimizer,
            "critic": self.discriminator,
            "critic_optimizer": self.discriminator_optimizer,
        }

    def start_stage(self, stage: DistillationStage, pairs: Mixture) -> None:
        """Check that the discriminator fits the grid, and fill the store if there is one; raises InputError."""
        shape = min(pairs.shapes, key=min)
        critic = self.config.critic
        if self.config.knowledge.kind == "adversarial" and min(shape) < critic.smallest_axis:
            raise InputError(
                f"{self.config.name}: the discriminator's {len(critic.channels)} layers need at least "
                f"{critic.smallest_axis} voxels along each axis, but the grid at {stage.spacing_mm} mm is "
                f"{shape}; give [critic] fewer channels."
            )
        if self.store_folder is not None:
            folder = self.store_folder / f"{stage.spacing_mm:g}mm"
            self.store = self._make_store(folder, stage, self.identity.values)
            self._fill(self.store, pairs, self.teacher.teach)
            if stage.refresh and not self.processes.any(self.is_stop_requested()):
                self._refresh_store(self.store, stage, pairs)

    def _make_store(
        self,
        folder: Path,
        stage: DistillationStage,
        teacher: Mapping[str, Any],
        images_of: KnowledgeStore | None = None,
    ) -> KnowledgeStore:
        identity = {
            "teacher": teacher,
            "sources": [source_to_dict(source) for source in self.config.sources],
            "seed": self.store_seed,
            "spacing_mm": stage.spacing_mm,
        }
        content = StoredImages(self.config.clean, self.config.uses_structures)
        return KnowledgeStore(folder, self.config.store, identity, content, images_of)

    def _fill(self, store: KnowledgeStore, pairs: Mixture, teach: Teach) -> None:
        """Fill and open a store; the processes share the work. Collective call."""
        self.processes.in_turn(store.claim)
        store.fill(
            lambda n: self.processes.move(pairs.draw(make_generator(self.store_seed, _STORE, n))),
            teach,
            self.processes.rank,
            self.processes.count,
            self.is_stop_requested,
        )
        if not self.processes.any(self.is_stop_requested()):
            store.open()
            cost = store.cpu_seconds + (store.images_of.cpu_seconds if store.images_of else 0.0)
            self.notes["store_cpu_seconds"] = f"{cost:.1f}"
            self.notes["untaught"] = f"{store.untaught} of {len(store.shapes)}"

    def _refresh_store(self, store: KnowledgeStore, stage: DistillationStage, pairs: Mixture) -> None:
        """Take the fields that are refined anew from the student as it was when the stage began. Collective call.

        They lie in a folder of the store that is named after that student. At the first step of the stage the state is
        written first, so that a run that is stopped meanwhile goes on with the same student.
        """
        assert isinstance(self.teacher, RefinementTeacher)
        begins = list(accumulate((s.steps for s in self.config.stages), initial=0))
        number = bisect_right(begins, self.step) - 1
        begins_now = self.step == begins[number]
        if begins_now:
            self.notes["refreshed_from"] = hash_weights(self.student)
            self.save()
        student = self.notes.get("refreshed_from", "")
        cascades = self.config.stages[number - 1].cascades if number else None
        identity = {**self.teacher.identity, "student": student, "cascades": cascades}
        refreshed = self._make_store(store.folder / f"refreshed-{student[:12]}", stage, identity, store)
        if begins_now:
            self._fill(refreshed, pairs, self.teacher.follow(self.student, cascades).teach)
        elif refreshed.is_complete:
            self._fill(refreshed, pairs, self.teacher.teach)
        else:
            raise InputError(
                f"{refreshed.folder}: the fields that this run was taught by are not complete; give the store that it "
                "began with, or another output folder to begin again."
            )
        self.store = refreshed

    def _draw_batch(self, pairs: Mixture) -> tuple[Pair, Lesson | None]:
        """A batch, and the teacher's lesson for it if there is a store."""
        if self.store is None:
            return self.draw(pairs, self.config.batch), None
        pair, lesson = self.store.draw(self.generator, self.config.batch)
        device = self.processes.device
        return self.processes.move(pair), Lesson(lesson.flow.to(device), lesson.is_taught.to(device))

    def train_step(self, pairs: Mixture, stage: DistillationStage) -> dict[str, float]:
        """One batch: update the discriminator if it is due, then the student; terms that are off are left out.

        Pairs that the teacher does not teach have the reconstruction term only.
        """
        pair, lesson = self._draw_batch(pairs)
        knowledge = self.config.knowledge
        flow, own_flow, predictions = self.predict_student_flow(pair, stage.cascades)
        self.require_finite("student's deformation", flow)  # sampling at NaN points can give a finite loss
        seen = pair if self.config.clean else replace(pair, fixed_clean=pair.fixed, moving_clean=pair.moving)
        loss = RegistrationLoss(stage.as_student_stage())
        similarity = loss.compute_similarity(seen, flow)
        terms = {"reconstruction": knowledge.gamma * torch.stack(list(similarity.values())).sum()}
        terms |= loss.compute_regularity(own_flow, predictions)
        discriminator_terms: dict[str, float] = {}
        if knowledge.uses_knowledge(self.step):
            taught = _leave_out_untaught(pair, flow, self.ask_teacher(pair) if lesson is None else lesson)
            if not self.processes.any(len(taught[1]) == 0):
                if knowledge.updates_discriminator(self.step):
                    discriminator_terms = self._update_discriminator(*taught)
                terms["knowledge"] = (1 - knowledge.gamma) * knowledge.weight * self._knowledge_loss(*taught)
        self.descend(self.optimizer, terms)
        return discriminator_terms | to_floats(terms)

    def predict_student_flow(self, pair: Pair, cascades: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        """phi_s, (N, 3, D, H, W), voxels of the pair's grid; the same on the grid of the head; the cascades' flows."""
        with torch.autocast(pair.fixed.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            layout = torch.channels_last_3d  # a fifth faster on CPUs
            fixed, moving = (image.to(memory_format=layout) for image in (pair.fixed, pair.moving))
            flow, predictions = self.parallel(fixed, moving, cascades)
        own = flow.float()
        return resize_flow(own, tuple(pair.fixed.shape[2:])), own, predictions

    def register(self, pair: Pair, stage: DistillationStage) -> Tensor:
        """The student's total flow on the grid of the pair."""
        flow, _ = self.student(pair.fixed, pair.moving, stage.cascades)
        return resize_flow(flow, tuple(pair.fixed.shape[2:]))

    def ask_teacher(self, pair: Pair) -> Lesson:
        """phi_t of pairs that are not stored; InputError if it is of another grid or not finite."""
        lesson = self.teacher.teach(pair)
        lesson.check(pair, f"{self.config.name}, step {self.step}")
        return lesson

    def _update_discriminator(self, pair: Pair, student: Tensor, teacher: Tensor) -> dict[str, float]:
        terms: dict[str, Tensor] = {}
        for _ in range(self.config.critic.updates):
            terms = self.critic.compute_own_loss(pair, student.detach(), teacher)
            self.descend(self.discriminator_optimizer, terms, clip=math.inf, average=True)
        return to_floats(terms)

    def _knowledge_loss(self, pair: Pair, student: Tensor, teacher: Tensor) -> Tensor:
        if self.config.knowledge.kind == "distance":
            return distance_loss(student, teacher)
        return self.critic.compute_student_loss(pair, student, teacher)


def _leave_out_untaught(pair: Pair, flow: Tensor, lesson: Lesson) -> tuple[Pair, Tensor, Tensor]:
    """The pairs of a batch that the teacher teaches, with the student's and the teacher's deformation."""
    chosen = lesson.is_taught
    if bool(chosen.all()):
        return pair, flow, lesson.flow
    return select(pair, chosen), flow[chosen], lesson.flow[chosen]


class _TeacherIdentity:
    """The identity of the teacher as part of the state: a run cannot be resumed with another teacher."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    def state_dict(self) -> dict[str, Any]:
        return self.values

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        # States of before there were several kinds of teachers hold the hash of a network alone.
        if {"kind": "network", **state} != self.values:
            raise ValueError("it was started with another teacher")


def distill(
    config: DistillationConfig,
    teacher: Path | None,
    data: Path,
    output: Path,
    *,
    store: Path | None = None,
    hardware: Hardware | None = None,
    monitor: Monitor = NO_MONITOR,
) -> RunSummary:
    """Train the student of a configuration with a teacher, or resume from the state in the output folder.

    teacher: what `open_teacher` needs for the kind of [teacher]. data: folder of the sources' files. output: folder for
    state.pt and log.jsonl; prepared data are cached in `cache` beside it. store: folder for the teacher's deformations;
    it is filled first with the number of pairs in [store], and all pairs are drawn from it; without a store the
    deformations of new pairs are computed in each step. Raises InputError for every failure; see `run_training`.
    """
    hardware = hardware or Hardware()
    bfloat16 = hardware.bfloat16(config.bfloat16)

    def build(processes: Processes) -> DistillationTrainer:
        opened = open_teacher(config.teacher, teacher)
        return DistillationTrainer(config, opened, data, output, processes, monitor, bfloat16, store)

    return run_training(build, hardware)
