"""A program for test_distributed: trains with two processes; Fabric starts it again for the second one."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from LightRegistrationLib.core.network.cascade import CascadeConfig
from LightRegistrationLib.training.configuration import (
    DistillationConfig,
    DistillationStage,
    TeacherStage,
    TeacherTrainingConfig,
)
from LightRegistrationLib.training.distillation.aldk import KnowledgeConfig
from LightRegistrationLib.training.distillation.discriminator import DiscriminatorConfig
from LightRegistrationLib.training.distillation.teacher import NetworkTeacher, Teacher, TeacherConfig
from LightRegistrationLib.training.loop.hardware import Hardware, Processes
from LightRegistrationLib.training.loop.run import run_training
from LightRegistrationLib.training.trainers.distillation import DistillationTrainer
from LightRegistrationLib.training.trainers.teacher import TeacherTrainer

from .toy import SOURCES

SMALL = TeacherConfig(cascades=1, channels=1)


def teacher_trainer(output: Path, steps: int, processes: Processes | None) -> TeacherTrainer:
    stages = (TeacherStage(steps=steps, rate=1e-3),)
    config = TeacherTrainingConfig(name="t", seed=7, sources=SOURCES, stages=stages, teacher=SMALL)
    return TeacherTrainer(config, output, output, processes)


def student_trainer(output: Path, steps: int, processes: Processes | None) -> DistillationTrainer:
    """Two networks of which the first stage uses one, and a discriminator."""
    stages = (DistillationStage(steps=2), DistillationStage(steps=steps - 2, cascades=2))
    config = DistillationConfig(
        name="s",
        seed=7,
        sources=SOURCES,
        stages=stages,
        student=CascadeConfig(cascades=2, shared=False),
        knowledge=KnowledgeConfig(every=1),
        critic=DiscriminatorConfig(channels=(2, 2)),
        bfloat16=False,
    )
    torch.manual_seed(1)
    teacher = NetworkTeacher(Teacher(SMALL))
    return DistillationTrainer(config, teacher, output, output, processes)


class Started:
    """Stands for hardware whose processes run already."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    def start(self) -> Processes:
        return self.processes


def keep_gradients(output: Path, processes: Processes) -> None:
    """One step of a teacher; each process leaves its gradients."""
    trainer = teacher_trainer(output, 1, processes)
    trainer.run()
    torch.save([p.grad for p in trainer.teacher.parameters()], output / f"gradients_{processes.rank}.pt")


def keep_weights(output: Path, steps: int, processes: Processes) -> None:
    """Train the student, resuming if there is a state; each process leaves its weights."""
    trainer = student_trainer(output, steps, processes)
    trainer.resume()
    trainer.run()
    weights = [*trainer.student.parameters(), *trainer.discriminator.parameters()]
    torch.save([w.detach() for w in weights], output / f"weights_{processes.rank}.pt")


def main(output: Path) -> None:
    processes = Hardware(devices=2, threads=1).start()
    keep_gradients(output / "gradients", processes)
    keep_weights(output / "whole", 5, processes)
    keep_weights(output / "broken", 3, processes)
    keep_weights(output / "broken", 5, processes)
    summary = run_training(lambda p: teacher_trainer(output / "conducted", 1, p), Started(processes))
    print("done", summary.step)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
