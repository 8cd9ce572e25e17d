"""The product's own methods: no registration, the affine stage, the student without and with refinement."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from LightRegistrationLib.core.geometry.geometry import FloatArray, Geometry
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.result.progress import ProgressUpdate, Stage
from LightRegistrationLib.training.evaluation.files import read_volume

from .method import RunDefaults, Start


class Unregistered(RunDefaults):
    """The volumes as they were loaded."""

    def __init__(
        self, fixed: Path, moving: Path, threads: int, start: Start | None, options: Mapping[str, Any]
    ) -> None:
        self.geometry = read_volume(fixed).geometry

    def register(self) -> None:
        pass

    def field(self) -> DisplacementField:
        return affine_field(AffineTransform.identity(), self.geometry)


class Product(RunDefaults):
    """The product's registration, its models loaded before, as in the panel's worker."""

    def __init__(
        self, fixed: Path, moving: Path, threads: int, start: Start | None, options: Mapping[str, Any]
    ) -> None:
        # Imported here, since no peer's process may contain torch.
        from LightRegistrationLib.core.models.registry import ModelRegistry
        from LightRegistrationLib.core.registration import register
        from LightRegistrationLib.core.result.settings import RegistrationSettings

        self.target, self.source = read_volume(fixed), read_volume(moving)
        self.registry = ModelRegistry()
        for name in self.registry.names():
            self.registry.load(name)
        self.settings = RegistrationSettings(threads=threads, refine=options["refine"])
        self.run = register
        self.stages: list[tuple[Stage, float, float]] = []

    def register(self) -> None:
        self.result = self.run(
            self.target, self.source, self.settings, registry=self.registry, progress=self._note_stage
        )
        self.model, self.weights, self.warnings = self.result.model, self.result.weights_sha256, self.result.warnings

    def _note_stage(self, update: ProgressUpdate) -> None:
        self.stages.append((update.stage, time.perf_counter(), time.process_time()))

    def field(self) -> DisplacementField:
        return self.result.field


def affine_stage(fixed: Path, moving: Path, threads: int) -> Start:
    """Run the affine stage as the product does, timed from its start to that of the next stage."""
    product = Product(fixed, moving, threads, None, {"refine": "none"})
    product.register()
    names = [name for name, _, _ in product.stages]
    first = names.index(Stage.INITIAL_ALIGNMENT)
    after = next(n for n in range(first, len(names)) if names[n] != Stage.INITIAL_ALIGNMENT)
    started, ended = product.stages[first], product.stages[after]
    return Start(product.result.initial, ended[1] - started[1], ended[2] - started[2])


class AffineOnly(RunDefaults):
    """The affine stage alone; it was timed within the product's own registration."""

    def __init__(
        self, fixed: Path, moving: Path, threads: int, start: Start | None, options: Mapping[str, Any]
    ) -> None:
        self.geometry = read_volume(fixed).geometry
        self.found_start = affine_stage(fixed, moving, threads)
        self.add_time_of(self.found_start)

    def register(self) -> None:
        pass

    def field(self) -> DisplacementField:
        return affine_field(self.found_start.transform, self.geometry)


def affine_field(transform: AffineTransform, geometry: Geometry) -> DisplacementField:
    """Sample an affine map as displacements on a grid."""
    points: FloatArray = geometry.points_mm
    return DisplacementField(transform(points) - points, geometry.affine)
