"""The product's own methods: nothing, the affine stage, the student without and with refinement."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from peers import RunDefaults

from LightRegistrationLib.core.geometry.geometry import FloatArray, Geometry
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.result.progress import ProgressUpdate, Stage
from LightRegistrationLib.training.evaluation.files import read_volume


class Unregistered(RunDefaults):
    """The volumes as they were loaded."""

    def __init__(self, fixed: Path) -> None:
        self.geometry = read_volume(fixed).geometry

    def register(self) -> None:
        pass

    def field(self) -> DisplacementField:
        return affine_field(AffineTransform.identity(), self.geometry)


class Product(RunDefaults):
    """The product's registration, its models loaded before, as in the panel's worker."""

    def __init__(self, fixed: Path, moving: Path, threads: int, refine: str) -> None:
        # Here, since no peer shall carry torch.
        from LightRegistrationLib.core.models.registry import ModelRegistry
        from LightRegistrationLib.core.registration import register
        from LightRegistrationLib.core.result.settings import RegistrationSettings

        self.target, self.source = read_volume(fixed), read_volume(moving)
        self.registry = ModelRegistry()
        for name in self.registry.names():
            self.registry.load(name)
        self.settings = RegistrationSettings(threads=threads, refine=refine)
        self.run = register
        self.stages: list[tuple[Stage, float, float]] = []

    def register(self) -> None:
        self.result = self.run(
            self.target, self.source, self.settings, registry=self.registry, progress=self._stage_starts
        )
        self.model, self.weights, self.warnings = self.result.model, self.result.weights_sha256, self.result.warnings

    def _stage_starts(self, update: ProgressUpdate) -> None:
        self.stages.append((update.stage, time.perf_counter(), time.process_time()))

    def field(self) -> DisplacementField:
        return self.result.field


@dataclass(frozen=True)
class AffineStage:
    """What the affine stage of the product found, and what it took."""

    initial: AffineTransform
    seconds: float
    cpu_seconds: float


def affine_stage(fixed: Path, moving: Path, threads: int) -> AffineStage:
    """The affine stage as the product runs it, timed from its start to that of the next one."""
    product = Product(fixed, moving, threads, "none")
    product.register()
    names = [name for name, _, _ in product.stages]
    first = names.index(Stage.INITIAL_ALIGNMENT)
    after = next(n for n in range(first, len(names)) if names[n] != Stage.INITIAL_ALIGNMENT)
    started, ended = product.stages[first], product.stages[after]
    return AffineStage(product.result.initial, ended[1] - started[1], ended[2] - started[2])


class AffineOnly(RunDefaults):
    """The affine stage alone; it was timed within the product's own registration."""

    def __init__(self, fixed: Path, moving: Path, threads: int) -> None:
        self.geometry = read_volume(fixed).geometry
        self.files, self.threads = (fixed, moving), threads
        stage = affine_stage(fixed, moving, threads)
        self.initial, self.seconds, self.cpu_seconds = stage.initial, stage.seconds, stage.cpu_seconds

    def register(self) -> None:
        pass

    def field(self) -> DisplacementField:
        return affine_field(self.initial, self.geometry)


def affine_field(transform: AffineTransform, geometry: Geometry) -> DisplacementField:
    """An affine map as displacements on a grid."""
    points: FloatArray = geometry.points_mm
    return DisplacementField(transform(points) - points, geometry.affine)
