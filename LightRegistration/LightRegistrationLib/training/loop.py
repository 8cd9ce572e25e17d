"""What all trainers share: stages, learning rate, log, exact resume, and a state that a killed run leaves intact."""

from __future__ import annotations

import argparse
import json
import logging
import pickle
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor, nn

from ..core.errors import InputError
from .configuration import RunConfig, StageT
from .pairs import Mixture
from .sources import open_mixture

logger = logging.getLogger(__name__)


class Trainer(ABC, Generic[StageT]):
    """Runs the stages of a configuration; the whole state lives in one file, state.pt in the output folder.

    data: folder that the sources' files are in. output: folder for the state and the log; prepared data are cached
    beside it.
    A subclass builds its networks in its constructor (the seed is set before), names in `parts` what has a state_dict,
    and says in `train_step` what a step is.
    """

    log_every = 50

    def __init__(self, config: RunConfig[StageT], data: Path, output: Path) -> None:
        self.config = config
        self.data = data
        self.output = output
        torch.manual_seed(config.seed)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step = 0
        self.seconds = 0.0
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

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the optimizer that the stages schedule."""
        for group in self.parts()["optimizer"].param_groups:
            group["lr"] = rate

    @property
    def state_file(self) -> Path:
        """Where the resumable state is kept."""
        return self.output / "state.pt"

    def save(self) -> None:
        """Write the state aside and move it into place, so that a killed run or a full disk leaves the last one intact.

        Raises InputError if it cannot be written.
        """
        state = {name: part.state_dict() for name, part in self.parts().items()} | {
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
            "config": json.dumps(asdict(self.config)),
        }
        partial = self.state_file.with_suffix(".partial")
        try:
            torch.save(state, partial)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            raise InputError(
                f"{partial}: the state after step {self.step} cannot be written ({_first_line(error)}); "
                f"{self.state_file.name} still holds the one before. Make room and run the command again."
            ) from error
        partial.replace(self.state_file)

    def resume(self) -> bool:
        """Continue where the saved state stopped; returns whether there was one.

        Raises InputError if the file is damaged or belongs to other networks than the configuration's.
        """
        if not self.state_file.exists():
            return False
        state = load_state(self.state_file)
        try:
            for name, part in self.parts().items():
                part.load_state_dict(state[name])
            self.generator.set_state(state["generator"])
            self.step, self.seconds = state["step"], state["seconds"]
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{self.state_file}: this state is not one of configuration '{self.config.name}' as it is now "
                f"({_first_line(error)}); choose another output folder."
            ) from error
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

    def _run_stage(self, stage: StageT, first: int, last: int) -> None:
        pairs = open_mixture(self.config.sources, self.data, self.output.parent / "cache", stage.spacing_mm)
        self.start_stage(stage, pairs)
        saved = time.monotonic()
        seen: list[dict[str, float]] = []
        for step in range(self.step, last):
            started = time.monotonic()
            rate = stage.final_rate + (stage.rate - stage.final_rate) * (1 - (step - first) / stage.steps)
            self.set_rate(rate)
            seen.append(self.train_step(pairs, stage))
            self.step = step + 1
            self.seconds += time.monotonic() - started
            if self.step % self.log_every == 0 or self.step == last:
                self._log(seen, rate)
                seen = []
            if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self.save()
                saved = time.monotonic()

    def descend(self, optimizer: torch.optim.Optimizer, terms: Mapping[str, Tensor], clip: float = 1.0) -> None:
        """Take a step of an optimizer down the sum of the terms, the gradient's norm cut to `clip`.

        Raises FloatingPointError, before a weight is changed, if the sum or its gradient is not finite.
        """
        total = torch.stack(list(terms.values())).sum()
        values = ", ".join(f"{name} {float(value.detach()):g}" for name, value in terms.items())
        self.require_finite("loss", total, values)
        optimizer.zero_grad()
        total.backward()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.require_finite("gradient", nn.utils.clip_grad_norm_(parameters, clip), values)
        optimizer.step()

    def require_finite(self, what: str, tensor: Tensor, details: str = "") -> None:
        """Raise FloatingPointError that names the step if a tensor holds anything that is not finite."""
        if not torch.isfinite(tensor).all():
            raise FloatingPointError(
                f"The {what} is not finite at step {self.step}" + (f": {details}" if details else "")
            )

    def _log(self, seen: list[dict[str, float]], rate: float) -> None:
        names = dict.fromkeys(name for terms in seen for name in terms)
        line: dict[str, float] = {"step": self.step, "seconds": round(self.seconds, 1), "rate": rate}
        for name in names:
            values = [terms[name] for terms in seen if name in terms]
            line[name] = float(f"{sum(values) / len(values):.5g}")
        with (self.output / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        logger.info("%s", line)


def load_state(path: Path) -> dict[str, Any]:
    """Read a state file of any trainer; InputError if it is missing or damaged."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; give the state.pt of a training run.") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: this is not a readable training state ({_first_line(error)}).") from error
    return state


def values_of(terms: Mapping[str, Tensor]) -> dict[str, float]:
    """The terms of a loss as numbers."""
    return {name: float(value.detach()) for name, value in terms.items()}


def training_arguments(description: str) -> argparse.ArgumentParser:
    """The command line that all trainers have."""
    parser = argparse.ArgumentParser(description=f"{description}; run again with the same arguments to resume.")
    parser.add_argument("config", type=Path, help="TOML configuration, for example configs/brain-mri.toml")
    parser.add_argument("--data", type=Path, required=True, help="folder that the sources' files are in")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the state and the log; the cache is beside"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser


def conduct(arguments: argparse.Namespace, build: Callable[[], Trainer[Any]]) -> None:
    """Build a trainer, resume it and train; what is wrong is one line on stderr and exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    try:
        trainer = build()
        trainer.resume()
        trainer.run()
    except (InputError, FloatingPointError) as error:
        sys.exit(str(error))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
