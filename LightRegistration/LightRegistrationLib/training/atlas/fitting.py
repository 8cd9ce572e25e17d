"""Training of a small network that serves as a tool of the training: finite steps, and a state that outlives a kill."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import InputError
from ..state import load_state, write_state

logger = logging.getLogger(__name__)

LOG_EVERY = 50
CLIP = 1.0


@dataclass(frozen=True)
class Run:
    """Where a run keeps its state, so that a killed one goes on where it was, and how often it writes it.

    The folder has to exist. InputError where the state cannot be read or written.
    """

    state_file: Path
    minutes: float = 3.0


@dataclass
class Fit:
    """Steps of one network, its learning rate falling linearly to 0.

    name: what is trained, as the log and the errors say it. The state is that of network, optimizer and generator and
    the number of steps done.
    """

    name: str
    network: nn.Module
    optimizer: torch.optim.Optimizer
    rate: float
    steps: int
    generator: torch.Generator
    done: int = 0

    def run(self, step: Callable[[int], dict[str, float]], count: int, run: Run | None) -> None:
        """Take the steps that are left, each on one of `count` scans drawn at random.

        Raises InputError for a loss that is not finite.
        """
        if run is not None:
            self._resume(run.state_file)
        saved, first = time.monotonic(), self.done
        for number in range(first, self.steps):
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * (1 - number / self.steps)
            index = int(torch.randint(count, (), generator=self.generator))
            terms = self._checked(step, index, number)
            self.done = number + 1
            if self.done % LOG_EVERY == 0 or self.done == self.steps:
                logger.info("%s %d/%d: %s", self.name, self.done, self.steps, _text(terms))
            if run is not None and time.monotonic() - saved > 60 * run.minutes:
                self._save(run.state_file)
                saved = time.monotonic()
        if run is not None and self.done > first:
            self._save(run.state_file)

    def _checked(self, step: Callable[[int], dict[str, float]], index: int, number: int) -> dict[str, float]:
        try:
            return step(index)
        except FloatingPointError as error:
            raise InputError(f"{self.name}, step {number}: {error}; lower its learning rate.") from error

    def _parts(self) -> dict[str, Any]:
        return {"network": self.network, "optimizer": self.optimizer}

    def _save(self, path: Path) -> None:
        state = {name: part.state_dict() for name, part in self._parts().items()}
        write_state(state | {"generator": self.generator.get_state(), "step": self.done}, path)

    def _resume(self, path: Path) -> None:
        if not path.exists():
            return
        state = load_state(path)
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            self.generator.set_state(state["generator"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise InputError(f"{path}: this is not a state of the {self.name}; delete it.") from error
        self.done = state["step"]
        logger.info("%s: resumed at step %d", self.name, self.done)


def descend(optimizer: torch.optim.Optimizer, terms: dict[str, Tensor]) -> dict[str, float]:
    """Take a step down the sum of the terms; FloatingPointError, before a weight is changed, if it is not finite."""
    total = torch.stack(list(terms.values())).sum()
    values = {name: float(term.detach()) for name, term in terms.items()}
    optimizer.zero_grad()
    total.backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, CLIP)
    if not (torch.isfinite(total) and torch.isfinite(norm)):
        raise FloatingPointError(f"the loss or its gradient is not finite ({_text(values)})")
    optimizer.step()
    return values


def _text(terms: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
