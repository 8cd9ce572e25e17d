"""Measures the time of functions from outside, so that the measured code contains no timers."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_PACKAGE = __name__.split(".")[0]


@dataclass
class Span:
    """A step of a run: wall and CPU seconds (of all threads), number of calls, and the steps inside it."""

    name: str
    wall: float = 0.0
    cpu: float = 0.0
    calls: int = 0
    parts: dict[str, Span] = field(default_factory=dict)

    def part(self, name: str) -> Span:
        """Return the step of this name inside this one; it is made if it is missing."""
        return self.parts.setdefault(name, Span(name))

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Span]]:
        """Yield all steps inside with their depth, in the order in which they started."""
        for part in self.parts.values():
            yield depth, part
            yield from part.walk(depth + 1)

    def total(self, name: str) -> Span:
        """Return the sum over all steps of a name, at any depth."""
        found = [part for _, part in self.walk() if part.name == name]
        return Span(name, sum(p.wall for p in found), sum(p.cpu for p in found), sum(p.calls for p in found))


class Trace:
    """Collects the steps of one run: stages, one after another, and timed functions inside them."""

    def __init__(self) -> None:
        self.root = Span("run")
        self._open = [self.root]
        self._stage: Any = None
        self._stage_name: str | None = None
        self._thread = threading.get_ident()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a block as a step inside the running one."""
        span = self._open[-1].part(name)
        self._open.append(span)
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            span.wall += time.perf_counter() - wall
            span.cpu += time.process_time() - cpu
            span.calls += 1
            self._open.pop()

    def enter(self, stage: str | None) -> None:
        """Start a stage, unless it is running already, and end the previous one; None: end it and start none."""
        if stage is not None and stage == self._stage_name:
            return
        if self._stage is not None:
            self._stage.__exit__(None, None, None)
        self._stage_name = stage
        self._stage = None if stage is None else self.step(stage)
        if self._stage is not None:
            self._stage.__enter__()

    @contextmanager
    def time_functions(
        self, functions: Mapping[str, str], without_parts: frozenset[str] = frozenset()
    ) -> Iterator[None]:
        """Measure functions during a block.

        functions: `module:function` or `module:class.method` inside this package -> name of the step. without_parts:
        names of steps whose inner steps are not measured.
        """
        undo: list[Callable[[], None]] = []
        try:
            for path, name in functions.items():
                undo += _replace(path, functools.partial(self._wrap, name, without_parts))
            yield
        finally:
            for step in reversed(undo):
                step()

    def _wrap(self, name: str, without_parts: frozenset[str], function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread or self._open[-1].name in without_parts:
                return function(*arguments, **named)
            with self.step(name):
                return function(*arguments, **named)

        return timed


def _replace(path: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> list[Callable[[], None]]:
    """Replace a function in all modules of the package that imported it; returns the calls that undo this."""
    module_name, _, name = path.partition(":")
    owner = importlib.import_module(f"{_PACKAGE}.{module_name}")
    *classes, attribute = name.split(".")
    for part in classes:
        owner = getattr(owner, part)
    original = getattr(owner, attribute)
    replacement = make(original)
    holders = [owner] if classes else [m for key, m in list(sys.modules.items()) if key.split(".")[0] == _PACKAGE]
    undo: list[Callable[[], None]] = []
    for holder in holders:
        for key in [key for key, value in vars(holder).items() if value is original]:
            setattr(holder, key, replacement)
            undo.append(functools.partial(setattr, holder, key, original))
    return undo
