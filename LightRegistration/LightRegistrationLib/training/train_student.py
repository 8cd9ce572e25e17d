"""Train a student on synthesized pairs; saves its whole state every few minutes and resumes from it exactly."""

from __future__ import annotations

import argparse
import json
import logging
import time
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.cascade import CascadeConfig, RecursiveCascade
from ..core.errors import InputError
from .label_maps import prepare
from .losses import RegistrationLoss
from .synthesis import PairSynthesizer, SynthesisConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A stretch of training: how many steps, at which grid, with how many cascades, from which to which rate."""

    steps: int
    spacing_mm: int = 3
    cascades: int = 1
    rate: float = 1e-3
    final_rate: float = 1e-3
    smoothness: float = 1.0
    tissue: float = 0.5
    window: int = 7
    unfold: float = 0.0


@dataclass(frozen=True)
class TrainingConfig:
    """All that determines a training run."""

    name: str
    seed: int
    label_maps: str
    stages: tuple[Stage, ...]
    student: CascadeConfig = field(default_factory=CascadeConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    card: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, Any] = field(default_factory=dict)
    intensity: dict[str, Any] = field(default_factory=dict)
    bfloat16: bool = True
    checkpoint_minutes: float = 3.0


def load_config(path: Path) -> TrainingConfig:
    """Read a TOML configuration; an unknown key raises InputError that names file and key."""
    values: dict[str, Any] = tomllib.loads(path.read_text())
    try:
        values["stages"] = tuple(Stage(**stage) for stage in values.pop("stage"))
        values["student"] = CascadeConfig(**values.pop("student", {}))
        values["synthesis"] = SynthesisConfig(**values.pop("synthesis", {}))
        return TrainingConfig(**values)
    except (TypeError, KeyError) as error:
        raise InputError(f"{path}: {error}") from error


class StudentTrainer:
    """Runs the stages of a configuration; the state (weights, optimizer, generator, step) lives in one file."""

    def __init__(self, config: TrainingConfig, data: Path, output: Path) -> None:
        self.config = config
        self.output = output
        self.label_maps = sorted(data.glob(config.label_maps))
        torch.manual_seed(config.seed)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.student = RecursiveCascade(config.student).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-3)
        self.step = 0
        self.seconds = 0.0
        output.mkdir(parents=True, exist_ok=True)

    @property
    def state_file(self) -> Path:
        """Where the resumable state is kept."""
        return self.output / "state.pt"

    def save(self) -> None:
        """Write the state aside and move it into place, so that a killed run leaves the last one intact."""
        state = {
            "student": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
            "config": json.dumps(asdict(self.config)),
        }
        partial = self.state_file.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.state_file)

    def resume(self) -> bool:
        """Continue where the saved state stopped; returns whether there was one."""
        if not self.state_file.exists():
            return False
        state = torch.load(self.state_file, weights_only=True)
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step, self.seconds = state["step"], state["seconds"]
        logger.info("resumed at step %d", self.step)
        return True

    def run(self) -> None:
        """Train through all stages that are not done yet."""
        first = 0
        for stage in self.config.stages:
            last = first + stage.steps
            if self.step < last:
                self._run_stage(stage, first, last)
            first = last
        self.save()

    def _run_stage(self, stage: Stage, first: int, last: int) -> None:
        fractions = prepare(self.label_maps, stage.spacing_mm, self.output.parent / "cache")
        fractions = fractions[..., : fractions.shape[-3] // 16 * 16, : fractions.shape[-2] // 16 * 16, :]
        pairs = PairSynthesizer(fractions, stage.spacing_mm, self.config.synthesis, self.generator)
        loss = RegistrationLoss(stage.window, stage.tissue, stage.smoothness, stage.unfold)
        saved = time.monotonic()
        totals: dict[str, float] = {}
        for step in range(self.step, last):
            started = time.monotonic()
            progress = (step - first) / stage.steps
            rate = stage.final_rate + (stage.rate - stage.final_rate) * (1 - progress)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            for name, value in self._step(pairs, loss, stage.cascades).items():
                totals[name] = totals.get(name, 0.0) + value
            self.step = step + 1
            self.seconds += time.monotonic() - started
            if self.step % 50 == 0:
                self._log({name: value / 50 for name, value in totals.items()}, rate)
                totals = {}
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self.save()
                saved = time.monotonic()

    def _step(self, pairs: PairSynthesizer, loss: RegistrationLoss, cascades: int) -> dict[str, float]:
        pair = pairs.draw()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.config.bfloat16):
            flow, predictions = self.student(pair.fixed, pair.moving, cascades)
        terms: dict[str, Tensor] = loss(pair, flow.float(), predictions)
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"The loss is not finite at step {self.step}: {terms}")
        self.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        return {name: float(value.detach()) for name, value in terms.items()}

    def _log(self, terms: dict[str, float], rate: float) -> None:
        line = {"step": self.step, "seconds": round(self.seconds, 1), "rate": rate} | {
            name: round(value, 5) for name, value in terms.items()
        }
        with (self.output / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        logger.info("%s", line)


def main() -> None:
    """Command line: train or resume the student of a configuration."""
    parser = argparse.ArgumentParser(description="Train a student; run again with the same arguments to resume.")
    parser.add_argument("config", type=Path, help="TOML configuration, for example configs/brain-mri.toml")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the label maps")
    parser.add_argument("--output", type=Path, required=True, help="folder for the state, the log and the cache")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    trainer = StudentTrainer(load_config(arguments.config), arguments.data, arguments.output)
    trainer.resume()
    trainer.run()


if __name__ == "__main__":
    main()
