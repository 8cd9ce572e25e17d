"""What a method of the comparison is: how it is named, set, started and run on a pair."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField

OUR_AFFINE, OWN_AFFINE, AS_LOADED = "our affine stage", "own affine stage", "as loaded"


@dataclass(frozen=True, eq=False)
class Start:
    """The affine stage of the product: the map fixed -> moving, RAS mm, and the seconds that it took."""

    transform: AffineTransform
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def digest(self) -> str:
        """SHA-256 of the matrix: the result of a method that starts here depends on it."""
        return hashlib.sha256(self.transform.matrix.tobytes()).hexdigest()


class Run(Protocol):
    """One method on one pair. Making it imports and reads; `register` is what is timed; `field` comes after that.

    seconds, cpu_seconds: what is added to the time of `register`. model, weights, warnings: of the product's own
    methods; weights: their hash. found_start: the affine stage, of the run that is nothing else.
    """

    seconds: float
    cpu_seconds: float
    model: str
    weights: str
    warnings: tuple[str, ...]
    found_start: Start | None

    def register(self) -> None:
        """Do the work."""

    def field(self) -> DisplacementField:
        """Return the whole deformation, affine stage included, fixed -> moving, RAS mm."""


class RunDefaults:
    """The attributes of a run that has nothing to add."""

    seconds = cpu_seconds = 0.0
    model = weights = ""
    warnings: tuple[str, ...] = ()
    found_start: Start | None = None

    def add_time_of(self, start: Start | None) -> None:
        """Count the seconds of the affine stage into this run."""
        if start is not None:
            self.seconds, self.cpu_seconds = start.seconds, start.cpu_seconds


Make = Callable[[Path, Path, int, Start | None], Run]


@dataclass(frozen=True)
class ComparedMethod:
    """A method of the comparison.

    settings: how it is set, for the reader. start: where it begins. options: all of its settings, by which it runs.
    package, version: the distribution that it needs, exactly. is_ours: whether it is the product itself.
    make: fixed file, moving file, threads, start -> Run; imports what it needs, so that no other method pays for it.
    """

    title: str
    settings: str
    start: str
    make: Make
    options: Mapping[str, Any] = field(default_factory=dict)
    package: str = ""
    version: str = ""
    is_ours: bool = False

    @property
    def needs_start(self) -> bool:
        """Whether it is given the affine map of the product."""
        return self.start == OUR_AFFINE and not self.is_ours

    def check_package(self) -> None:
        """Raise InputError unless its package is installed in its version: another version may find something else."""
        if not self.package:
            return
        try:
            found = importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found != self.version:
            wanted = f"{self.package}=={self.version}"
            raise InputError(f'{self.title} needs {wanted}, found {found}: pip install ".[benchmarks]".')
