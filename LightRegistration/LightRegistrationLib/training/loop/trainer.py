"""The base of all trainers: stages, learning rate, log, validation, and exact resume, in one or several processes."""

from __future__ import annotations

import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch
from torch import Tensor, nn

from ...core.errors import InputError
from ..configuration import RunConfig, StageT
from ..configuration_file import config_to_dict, find_changed_settings
from ..data.pairs import Mixture, Pair
from ..monitoring.monitor import NO_MONITOR, Monitor, RunSummary
from ..monitoring.validation import ValidationPair, draw_validation_pairs, validate
from ..sources import SourceConfig, open_mixture
from ..state import first_line, load_state, write_state
from .hardware import Hardware, Processes

logger = logging.getLogger(__name__)


class Trainer(ABC, Generic[StageT]):
    """Runs the stages of a configuration; the whole state is one file, state.pt in the output folder.

    data: folder of the sources' files. output: folder for the state and the log; prepared data are cached beside it.
    processes: the processes of the run; None for this process only. With several processes, each draws its own pairs,
    the gradients are averaged (a step uses the pairs of all processes), and the first process writes the files.
    A subclass builds its networks in its constructor (the seed is set before), returns from `parts` everything that
    has a state_dict, and takes one step in `train_step`. `notes` are written to the state and later to the model card;
    they record what the run started from.
    """

    log_every = 50

    def __init__(
        self,
        config: RunConfig[StageT],
        data: Path,
        output: Path,
        processes: Processes | None = None,
        monitor: Monitor = NO_MONITOR,
    ) -> None:
        self.config = config
        self.data = data
        self.output = output
        self.processes = processes or Hardware().start()
        self.is_stop_requested = monitor.is_stop_requested
        self.monitor = monitor if self.processes.is_first else NO_MONITOR
        torch.manual_seed(config.seed)
        self.generator = make_generator(config.seed, self.processes.rank)
        self.step = 0
        self.resumed_at = 0
        self.seconds = self.cpu_seconds = 0.0
        self.notes: dict[str, str] = {}
        self.latest: dict[str, float] = {}
        self._validation_pairs: tuple[ValidationPair, ...] = ()
        self._saved_at = self._validated_at = time.monotonic()
        output.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """Networks and optimizers by their key in the state file."""

    @abstractmethod
    def start_stage(self, stage: StageT, pairs: Mixture) -> None:
        """Prepare a stage that draws from these pairs."""

    @abstractmethod
    def train_step(self, pairs: Mixture, stage: StageT) -> dict[str, float]:
        """Take one step; returns the loss terms by name, for the log."""

    @abstractmethod
    def register(self, pair: Pair, stage: StageT) -> Tensor:
        """The total flow (N, 3, D, H, W) that the current network predicts for a pair, voxels of the pair's grid."""

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the optimizer with the key `optimizer`, which the stages schedule."""
        for group in self.parts()["optimizer"].param_groups:
            group["lr"] = rate

    @property
    def state_file(self) -> Path:
        """The file of the resumable state."""
        return self.output / "state.pt"

    def save(self) -> None:
        """Write the state, in the first process, with the random generators of all processes. Collective call.

        Raises InputError if it cannot be written.
        """
        generators = self.processes.gather(self.generator.get_state())
        self._saved_at = time.monotonic()
        if not self.processes.is_first:
            return
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts().items()} | {
            "generator": generators[0].clone(),
            "step": self.step,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "config": json.dumps(config_to_dict(self.config)),
            "notes": self.notes,
        }
        if self.processes.count > 1:
            state["generators"] = generators
        write_state(state, self.state_file)
        self.monitor.record_checkpoint(self.step, self.state_file)

    def resume(self) -> bool:
        """Continue from the saved state; returns whether there was one.

        Raises InputError if the file is damaged or belongs to another configuration or to other networks.
        """
        if not self.state_file.exists():
            return False
        state = load_state(self.state_file)
        self._check_settings(state)
        try:
            for name, part in self.parts().items():
                part.load_state_dict(state[name])
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{self.state_file}: this state is not one of configuration '{self.config.name}' as it is now "
                f"({first_line(error)}); choose another output folder."
            ) from error
        self.step, self.seconds, self.cpu_seconds = state["step"], state["seconds"], state.get("cpu_seconds", 0.0)
        self.notes |= state.get("notes", {})
        self.resumed_at = self.step
        self._resume_generator(state)
        logger.info("resumed at step %d", self.step)
        return True

    def _check_settings(self, state: Mapping[str, Any]) -> None:
        name, changed = find_changed_settings(self.config, json.loads(state.get("config", "{}")))
        if name != self.config.name:
            raise InputError(
                f"{self.state_file}: this is the state of a run of '{name}', not of '{self.config.name}'; choose "
                "another output folder."
            )
        if changed and self.processes.is_first:
            logger.warning("%s: changed since it was written: %s", self.state_file, ", ".join(changed))

    def _resume_generator(self, state: Mapping[str, Any]) -> None:
        saved = state.get("generators", state["generator"][None])
        if len(saved) == self.processes.count:
            self.generator.set_state(saved[self.processes.rank].clone())
            return
        self.generator = make_generator(self.config.seed, self.processes.rank, self.step)
        if self.processes.is_first:
            logger.warning(
                "%s was written by %d processes and is resumed by %d: its pairs differ from an uninterrupted run",
                *(self.state_file, len(saved), self.processes.count),
            )

    def run(self) -> RunSummary:
        """Train all stages that are not done yet, or until a stop is requested; then save the state."""
        stages, first = self.config.stages, 0
        planned = sum(stage.steps for stage in stages)
        self.monitor.start_run(self.config.name, self.step, planned)
        for number, stage in enumerate(stages, start=1):
            last = first + stage.steps
            if self.step < last:
                self.monitor.start_stage(number, len(stages), first, last, stage.spacing_mm)
                if not self._run_stage(stage, first, last):
                    break
            first = last
        self.save()
        return RunSummary(
            self.config.name, self.step, planned, self.seconds, self.state_file, self.resumed_at, self.latest
        )

    def _run_stage(self, stage: StageT, first: int, last: int) -> bool:
        """Take the remaining steps of a stage; returns whether the run continues with the next one."""
        pairs = self.open(self.config.sources, stage)
        self.start_stage(stage, pairs)
        if self.processes.any(self.is_stop_requested()):
            return False
        self._draw_validation_pairs(stage, pairs)
        self._validate(stage)
        terms: list[dict[str, float]] = []
        while self.step < last:
            started, cpu_started = time.monotonic(), time.process_time()
            rate = stage.final_rate + (stage.rate - stage.final_rate) * (1 - (self.step - first) / stage.steps)
            self.set_rate(rate)
            terms.append(self.train_step(pairs, stage))
            self.step += 1
            self.seconds += time.monotonic() - started
            self.cpu_seconds += time.process_time() - cpu_started
            self.monitor.record_step(self.step, terms[-1], rate)
            if self.step % self.log_every == 0 or self.step == last:
                self._log(terms, rate)
                terms = []
            if self.processes.any(self.is_stop_requested()):
                return False
            if self.processes.any(_is_due(self._saved_at, self.config.checkpoint_minutes)):
                self.save()
            if self._is_validation_due() or self.step == last:
                self._validate(stage)
        return True

    def open(self, sources: tuple[SourceConfig, ...], stage: StageT) -> Mixture:
        """Open sources on the grid of a stage. Collective call."""
        cache = self.output.parent / "cache"
        return self.processes.in_turn(lambda: open_mixture(sources, self.data, cache, stage.spacing_mm))

    def draw(self, pairs: Mixture, count: int = 1) -> Pair:
        """Draw pairs with the generator of this process and move them to its device."""
        return self.processes.move(pairs.draw(self.generator, count))

    def _draw_validation_pairs(self, stage: StageT, pairs: Mixture) -> None:
        if self.config.validate_minutes <= 0 and not self.config.validate_steps:
            return
        if self.config.validation:
            pairs = self.open(self.config.validation, stage)
        if self.monitor is not NO_MONITOR:
            self._validation_pairs = draw_validation_pairs(pairs, self.config.seed, self.config.validation_pairs)

    def _is_validation_due(self) -> bool:
        every = self.config.validate_steps
        return _is_due(self._validated_at, self.config.validate_minutes) or (every > 0 and self.step % every == 0)

    def _validate(self, stage: StageT) -> None:
        """Register the validation pairs for the monitor; the pairs drawn in training do not depend on it."""
        if self._validation_pairs:
            result = validate(self._validation_pairs, lambda pair: self.register(self.processes.move(pair), stage))
            self.monitor.record_validation(self.step, result)
        self._validated_at = time.monotonic()

    def descend(
        self,
        optimizer: torch.optim.Optimizer,
        terms: Mapping[str, Tensor],
        clip: float = 1.0,
        average: bool = False,
    ) -> None:
        """Take one optimizer step that minimizes the sum of the terms. Collective call.

        clip: limit of the gradient norm. average: average the gradients over the processes here, for a network that
        was not made parallel. Raises FloatingPointError, before a weight changes, if the sum or its gradient is not
        finite.
        """
        total = torch.stack(list(terms.values())).sum()
        values = ", ".join(f"{name} {float(value.detach()):g}" for name, value in terms.items())
        self.require_finite("loss", total, values)
        optimizer.zero_grad()
        total.backward()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if average:
            self.processes.average_gradients(parameters)
        self.require_finite("gradient", nn.utils.clip_grad_norm_(parameters, clip), values)
        optimizer.step()

    def require_finite(self, what: str, tensor: Tensor, details: str = "") -> None:
        """Raise FloatingPointError, naming the step, if the tensor of any process has non-finite values. Collective."""
        if self.processes.any(not bool(torch.isfinite(tensor).all())):
            raise FloatingPointError(
                f"The {what} is not finite at step {self.step}" + (f": {details}" if details else "")
            )

    def _log(self, steps: list[dict[str, float]], rate: float) -> None:
        names = dict.fromkeys(name for terms in steps for name in terms)
        line: dict[str, float] = {"step": self.step, "seconds": round(self.seconds, 1), "rate": rate}
        for name in names:
            values = [terms[name] for terms in steps if name in terms]
            line[name] = float(f"{sum(values) / len(values):.5g}")
        self.latest = {name: line[name] for name in names}
        if self.processes.is_first:
            _append(self.output / "log.jsonl", json.dumps(line))
            logger.info("%s", line)


def to_floats(terms: Mapping[str, Tensor]) -> dict[str, float]:
    """The loss terms as Python numbers."""
    return {name: float(value.detach()) for name, value in terms.items()}


def make_generator(seed: int, *path: int) -> torch.Generator:
    """The random generator of a process or an item, named by `path`; an empty or zero path gives that of the seed."""
    if not any(path):
        return torch.Generator().manual_seed(seed)
    return torch.Generator().manual_seed(int(np.random.SeedSequence((seed, *path)).generate_state(1)[0]))


def _is_due(since: float, minutes: float) -> bool:
    return minutes > 0 and time.monotonic() - since > 60 * minutes


def _append(file: Path, line: str) -> None:
    try:
        with file.open("a", encoding="utf-8") as log:
            log.write(line + "\n")
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror}); free disk space and run again.") from error
