"""What all trainers share: stages, learning rate, log, validation, exact resume, one process or several."""

from __future__ import annotations

import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch
from torch import Tensor, nn

from ...core.errors import InputError
from ..configuration import RunConfig, StageT, config_to_dict, find_changed_settings
from ..data.pairs import Mixture, Pair
from ..monitoring.monitor import NO_MONITOR, Monitor, RunSummary
from ..monitoring.validation import ValidationPair, validate, validation_pairs
from ..sources import SourceConfig, open_mixture
from ..state import first_line, load_state, write_state
from .hardware import Hardware, Processes

logger = logging.getLogger(__name__)


class Trainer(ABC, Generic[StageT]):
    """Runs the stages of a configuration; the whole state lives in one file, state.pt in the output folder.

    data: folder that the sources' files are in. output: folder for the state and the log; prepared data are cached
    beside it. processes: this one by itself if None; with several, each draws its own pairs, the gradients are
    averaged (a step sees the pairs of all), and the first one writes.
    A subclass builds its networks in its constructor (the seed is set before), names in `parts` what has a state_dict,
    and says in `train_step` what a step is. `notes` are kept in the state for the card of the model: what the run began
    with.
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
        self.seconds = 0.0
        self.notes: dict[str, str] = {}
        self.latest: dict[str, float] = {}
        self._kept: tuple[ValidationPair, ...] = ()
        self._saved_at = self._validated_at = time.monotonic()
        output.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """Networks and optimizers by their key in the state file."""

    @abstractmethod
    def start_stage(self, stage: StageT, pairs: Mixture) -> None:
        """Get ready for a stage that draws from these pairs."""

    @abstractmethod
    def train_step(self, pairs: Mixture, stage: StageT) -> dict[str, float]:
        """Take one step; the terms of the losses by name, for the log."""

    @abstractmethod
    def register(self, pair: Pair, stage: StageT) -> Tensor:
        """The whole flow (N, 3, D, H, W) of a pair as the network sees it now, voxels of the pair's grid."""

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the optimizer that the stages schedule."""
        for group in self.parts()["optimizer"].param_groups:
            group["lr"] = rate

    @property
    def state_file(self) -> Path:
        """Where the resumable state is kept."""
        return self.output / "state.pt"

    def save(self) -> None:
        """Write the state; the first process does, with the generators of all; together. Raises InputError."""
        generators = self.processes.gather(self.generator.get_state())
        self._saved_at = time.monotonic()
        if not self.processes.is_first:
            return
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts().items()} | {
            "generator": generators[0].clone(),
            "step": self.step,
            "seconds": self.seconds,
            "config": json.dumps(config_to_dict(self.config)),
            "notes": self.notes,
        }
        if self.processes.count > 1:
            state["generators"] = generators
        write_state(state, self.state_file)
        self.monitor.checkpoint(self.step, self.state_file)

    def resume(self) -> bool:
        """Continue where the saved state stopped; returns whether there was one.

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
        self.step, self.seconds = state["step"], state["seconds"]
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
        known = state.get("generators", state["generator"][None])
        if len(known) == self.processes.count:
            self.generator.set_state(known[self.processes.rank].clone())
            return
        self.generator = make_generator(self.config.seed, self.processes.rank, self.step)
        if self.processes.is_first:
            logger.warning(
                "%s was written by %d processes and goes on with %d: the pairs are others than in an unbroken run",
                *(self.state_file, len(known), self.processes.count),
            )

    def run(self) -> RunSummary:
        """Train through all stages that are not done yet, or until a stop is wanted; the state is saved."""
        stages, first = self.config.stages, 0
        planned = sum(stage.steps for stage in stages)
        self.monitor.begin(self.config.name, self.step, planned)
        for number, stage in enumerate(stages, start=1):
            last = first + stage.steps
            if self.step < last:
                self.monitor.stage_start(number, len(stages), first, last, stage.spacing_mm)
                if not self._run_stage(stage, first, last):
                    break
            first = last
        self.save()
        return RunSummary(
            self.config.name, self.step, planned, self.seconds, self.state_file, self.resumed_at, self.latest
        )

    def _run_stage(self, stage: StageT, first: int, last: int) -> bool:
        """Take the steps of a stage that are left; returns whether the run goes on."""
        pairs = self.open(self.config.sources, stage)
        self.start_stage(stage, pairs)
        if self.processes.any(self.is_stop_requested()):
            return False
        self._keep_validation_pairs(stage, pairs)
        self._validate(stage)
        seen: list[dict[str, float]] = []
        while self.step < last:
            started = time.monotonic()
            rate = stage.final_rate + (stage.rate - stage.final_rate) * (1 - (self.step - first) / stage.steps)
            self.set_rate(rate)
            seen.append(self.train_step(pairs, stage))
            self.step += 1
            self.seconds += time.monotonic() - started
            self.monitor.step(self.step, seen[-1], rate)
            if self.step % self.log_every == 0 or self.step == last:
                self._log(seen, rate)
                seen = []
            if self.processes.any(self.is_stop_requested()):
                return False
            if self.processes.any(self._due(self._saved_at, self.config.checkpoint_minutes)):
                self.save()
            if self._due(self._validated_at, self.config.validate_minutes) or self.step == last:
                self._validate(stage)
        return True

    def open(self, sources: tuple[SourceConfig, ...], stage: StageT) -> Mixture:
        """Open sources on the grid of a stage; together."""
        cache = self.output.parent / "cache"
        return self.processes.in_turn(lambda: open_mixture(sources, self.data, cache, stage.spacing_mm))

    def draw(self, pairs: Mixture, count: int = 1) -> Pair:
        """Draw pairs from this process's generator, to its device."""
        return self.processes.move(pairs.draw(self.generator, count))

    def _due(self, since: float, minutes: float) -> bool:
        return minutes > 0 and time.monotonic() - since > 60 * minutes

    def _keep_validation_pairs(self, stage: StageT, pairs: Mixture) -> None:
        if self.config.validate_minutes <= 0:
            return
        if self.config.validation:
            pairs = self.open(self.config.validation, stage)
        if self.monitor is not NO_MONITOR:
            self._kept = validation_pairs(pairs, self.config.seed)

    def _validate(self, stage: StageT) -> None:
        """Register the validation pairs for the monitor; what is drawn in training does not depend on it."""
        if self._kept:
            result = validate(self._kept, lambda pair: self.register(self.processes.move(pair), stage))
            self.monitor.validation(self.step, result)
        self._validated_at = time.monotonic()

    def descend(
        self,
        optimizer: torch.optim.Optimizer,
        terms: Mapping[str, Tensor],
        clip: float = 1.0,
        average: bool = False,
    ) -> None:
        """Take a step of an optimizer down the sum of the terms, the gradient's norm cut to `clip`; together.

        average: for a network that was not made parallel, whose gradients are averaged over the processes here.
        Raises FloatingPointError, before a weight is changed, if the sum or its gradient is not finite.
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
        """Raise FloatingPointError that names the step if a tensor of any process is not all finite; together."""
        if self.processes.any(not bool(torch.isfinite(tensor).all())):
            raise FloatingPointError(
                f"The {what} is not finite at step {self.step}" + (f": {details}" if details else "")
            )

    def _log(self, seen: list[dict[str, float]], rate: float) -> None:
        names = dict.fromkeys(name for terms in seen for name in terms)
        line: dict[str, float] = {"step": self.step, "seconds": round(self.seconds, 1), "rate": rate}
        for name in names:
            values = [terms[name] for terms in seen if name in terms]
            line[name] = float(f"{sum(values) / len(values):.5g}")
        self.latest = {name: line[name] for name in names}
        if self.processes.is_first:
            _append(self.output / "log.jsonl", json.dumps(line))
            logger.info("%s", line)


def run_training(build: Callable[[Processes], Trainer[Any]], hardware: Hardware) -> RunSummary:
    """Start the processes, build the trainer in each, resume and run it; returns in the first process alone.

    Raises InputError for all that is wrong, a loss that is not finite included. The other processes end here, in
    silence where all of them found the same, since the first one speaks for them.
    """
    processes = hardware.start()
    done = False
    try:
        trainer = build(processes)
        processes.in_turn(trainer.resume)
        summary = _run(trainer)
        done = True
    finally:
        processes.close(done)
    if not processes.is_first:
        raise SystemExit(0)
    return summary


def _run(trainer: Trainer[Any]) -> RunSummary:
    file = trainer.state_file
    try:
        return trainer.run()
    except FloatingPointError as error:
        if not trainer.processes.is_first:
            raise SystemExit(0) from error
        raise InputError(f"{error}; {_what_is_left(file)}. Lower the learning rate, or look at the data.") from error
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"The device has too little memory ({first_line(error)}); {_what_is_left(file)}. Take a larger spacing_mm."
        ) from error


def _what_is_left(state_file: Path) -> str:
    if not state_file.exists():
        return f"no state was written to {state_file} yet"
    return f"{state_file} holds the state after step {load_state(state_file)['step']}"


def to_floats(terms: Mapping[str, Tensor]) -> dict[str, float]:
    """The terms of a loss as numbers."""
    return {name: float(value.detach()) for name, value in terms.items()}


def make_generator(seed: int, *path: int) -> torch.Generator:
    """The generator of one process, or of one item; the first process has that of the seed itself."""
    if not any(path):
        return torch.Generator().manual_seed(seed)
    return torch.Generator().manual_seed(int(np.random.SeedSequence((seed, *path)).generate_state(1)[0]))


def _append(file: Path, line: str) -> None:
    try:
        with file.open("a", encoding="utf-8") as log:
            log.write(line + "\n")
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror}); make room and run again.") from error
