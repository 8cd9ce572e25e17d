"""What is done for one scan in one iteration, in any process: align, register or warp it; the result is a folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from ...core.errors import FullDiskError, InputError
from ...core.geometry.geometry import Geometry
from ...core.geometry.transforms import AffineTransform
from ...core.geometry.volume import Volume
from ...core.result.settings import RegistrationSettings
from ..batch.task import load_registry
from ..files.stored_values import is_stored, load, store


@dataclass(frozen=True, eq=False)
class Job:
    """Work on one scan. folder: of its result. key: hash of all that it depends on, threads apart. scan: its folder."""

    name: str
    key: str
    folder: Path
    settings: RegistrationSettings
    scan: Path
    what: ClassVar[str] = "scan"

    def is_done(self) -> bool:
        """Whether the result is there."""
        return is_stored(self.folder, self.key)

    def with_threads(self, count: int) -> Self:
        """Return the same job on another number of threads."""
        return replace(self, settings=replace(self.settings, threads=count))

    def load_scan(self) -> Volume:
        """Return the scan, memory-mapped."""
        return replace(load(self.scan), name=self.name)

    def compute(self) -> tuple[Any, Mapping[str, Any]]:
        """Return the result, and a record of plain values. Raises InputError."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class AlignJob(Job):
    """Finds the affine transform from the first scan to another one. start: the folder of the first scan."""

    start: Path

    def compute(self) -> tuple[Any, Mapping[str, Any]]:
        """Return the AffineTransform; the record says whether the intensities have a unit."""
        from ...core.registration import align

        start = replace(load(self.start), name="the first scan")
        affine, intensity = align(start, self.load_scan(), self.settings, registry=load_registry())
        if self.scan == self.start:
            affine = AffineTransform.identity()
        return affine, {"has_unit": intensity.kind == "window"}


@dataclass(frozen=True, eq=False)
class RegisterJob(Job):
    """Finds the map from a template to a scan. template: its folder. grid: on which the map is sampled."""

    template: Path
    grid: Geometry

    def compute(self) -> tuple[Any, Mapping[str, Any]]:
        """Return the displacements (k, j, i, 3), mm."""
        from ...core.registration import register

        template = replace(load(self.template), name="the template")
        result = register(template, self.load_scan(), self.settings, registry=load_registry())
        points = self.grid.points_mm
        record = {
            "model": result.model,
            "warnings": list(result.warnings),
            "folding_percent": result.jacobian.percent_nonpositive,
        }
        return (result.field(points) - points).astype("float32"), record


@dataclass(frozen=True, eq=False)
class WarpJob(Job):
    """Brings a scan into the mean shape.

    grids: of the image, and of the maps. intensities: offset and gain. affine: the map from the mean shape to the scan,
    or None if it is composed: mean: the folder of the map from the mean shape to the template; map: that of the map
    from the template to the scan.
    """

    grids: tuple[Geometry, Geometry]
    intensities: tuple[float, float]
    affine: AffineTransform | None = None
    mean: Path | None = None
    map: Path | None = None

    def compute(self) -> tuple[Any, Mapping[str, Any]]:
        """Return the map from the mean shape to the scan, and the warped scan (k, j, i), NaN where it shows nothing."""
        from ...core.template.image import IntensityMap, warp_scan
        from ...core.template.shape import compose, make_affine_field
        from ...core.threads import limit_threads

        image, grid = self.grids
        with limit_threads(self.settings.threads):
            if self.affine is not None:
                field = make_affine_field(self.affine, grid)
            else:
                assert self.mean is not None
                assert self.map is not None
                field = compose(load(self.map), load(self.mean), image)
            return (field, warp_scan(self.load_scan(), field, image, IntensityMap(*self.intensities))), {}


def carry_out(job: Job) -> str | None:
    """Do a job in this process, and write its folder as a whole; returns the line of a failure, else None."""
    try:
        started = time.process_time()
        value, record = job.compute()
        seconds = {"cpu_seconds": round(time.process_time() - started, 3)}
        store(job.folder, job.key, value, {**record, **seconds})
    except FullDiskError:
        raise  # ends the command: no other scan could be written
    except InputError as error:
        return str(error)
    return None
