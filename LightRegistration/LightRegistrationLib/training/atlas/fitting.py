"""Trains the auxiliary networks of an atlas, with a state from which an interrupted training resumes exactly."""

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
"""Limit of the gradient norm; chosen, not measured."""


@dataclass(frozen=True)
class CheckpointSettings:
    """State file of a training, and the interval in which it is written. The folder has to exist."""

    state_file: Path
    minutes: float = 3.0


@dataclass
class Fit:
    """Training of one network; the learning rate decreases linearly to 0.

    name: of the trained transform, for log and errors. The state has network, optimizer, generator and the number of
    steps done.
    """

    name: str
    network: nn.Module
    optimizer: torch.optim.Optimizer
    rate: float
    steps: int
    generator: torch.Generator
    done: int = 0

    def run(self, step: Callable[[int], dict[str, float]], count: int, checkpoints: CheckpointSettings | None) -> None:
        """Take the remaining steps, each on one of `count` scans drawn at random.

        Raises InputError for a loss that is not finite, or a state that cannot be read or written.
        """
        if checkpoints is not None:
            self._resume(checkpoints.state_file)
        saved, first = time.monotonic(), self.done
        for number in range(first, self.steps):
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * (1 - number / self.steps)
            index = int(torch.randint(count, (), generator=self.generator))
            terms = self._take_step(step, index, number)
            self.done = number + 1
            if self.done % LOG_EVERY == 0 or self.done == self.steps:
                logger.info("%s %d/%d: %s", self.name, self.done, self.steps, _format_terms(terms))
            if checkpoints is not None and time.monotonic() - saved > 60 * checkpoints.minutes:
                self._save(checkpoints.state_file)
                saved = time.monotonic()
        if checkpoints is not None and self.done > first:
            self._save(checkpoints.state_file)

    def _take_step(self, step: Callable[[int], dict[str, float]], index: int, number: int) -> dict[str, float]:
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
            raise InputError(f"{path}: this is no state of the {self.name}; delete it.") from error
        self.done = state["step"]
        logger.info("%s: resumed at step %d", self.name, self.done)


def descend(optimizer: torch.optim.Optimizer, terms: dict[str, Tensor]) -> dict[str, float]:
    """Take one optimizer step that minimizes the sum of the terms; returns the terms as numbers.

    Raises FloatingPointError, before a weight changes, if the sum or its gradient is not finite.
    """
    total = torch.stack(list(terms.values())).sum()
    values = {name: float(term.detach()) for name, term in terms.items()}
    optimizer.zero_grad()
    total.backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, CLIP)
    if not (torch.isfinite(total) and torch.isfinite(norm)):
        raise FloatingPointError(f"the loss or its gradient is not finite ({_format_terms(values)})")
    optimizer.step()
    return values


def _format_terms(terms: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
