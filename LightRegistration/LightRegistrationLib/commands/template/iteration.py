"""The iterations: the affine mean, then each template from the one before; each is a folder that appears as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.geometry.geometry import Geometry, apply_affine
from ...core.geometry.transforms import AffineTransform, DisplacementField
from ...core.geometry.volume import Volume
from ...core.result.settings import RefinementPreset, RegistrationSettings
from ...core.template.grid import choose_field_grid, choose_spacing_mm, choose_template_grid
from ...core.template.image import (
    ImageMean,
    IntensityMap,
    find_foreground,
    measure_change_percent,
    measure_gradient_energy,
)
from ...core.template.shape import MeanStretch, ShapeMean, invert_mean
from ..files.stored_values import is_stored, load, read_record, store
from .group import Group, make_key
from .jobs import AlignJob, RegisterJob, WarpJob
from .pool import RunJobs

_MEAN_FOLDER = ".mean"
_DIGITS = 5

OnFraction = Callable[[float, str], None]
"""Called with the fraction of an iteration that is done, and what is being done."""


@dataclass(frozen=True, eq=False)
class Iteration:
    """A finished iteration. number 0: the affine mean. folder: of the mean image. record: see `_finish`."""

    number: int
    folder: Path
    image: Volume
    record: dict[str, Any]

    @property
    def intensities(self) -> list[tuple[float, float]]:
        """Offset and gain of each scan."""
        return [(offset, gain) for offset, gain in self.record["intensities"]]


@dataclass(frozen=True, eq=False)
class Workplace:
    """Where and how the iterations are made. key: of the group and the settings. folder: for what is made."""

    group: Group
    settings: RegistrationSettings
    spacing_mm: float | None
    key: str
    folder: Path
    run_jobs: RunJobs

    def get_folder(self, number: int) -> Path:
        """Return the folder of an iteration."""
        return self.folder / f"{number:02d}"

    def get_parts_folder(self, number: int) -> Path:
        """Return the folder of what is made of each scan in an iteration."""
        return self.folder / f"{number:02d}.scans"

    def make_key(self, number: int, *parts: str) -> str:
        """Return the key of an iteration, or of a part of it."""
        return make_key([self.key, number, *parts])

    def discard_parts(self, number: int) -> None:
        """Remove what was made of each scan in an iteration."""
        shutil.rmtree(self.get_parts_folder(number), ignore_errors=True)

    def find(self, number: int) -> Iteration | None:
        """Return an iteration that is finished; None if it is not."""
        folder = self.get_folder(number)
        if not is_stored(folder, self.make_key(number)):
            return None
        return Iteration(number, folder, load(folder), read_record(folder))


def make_affine_mean(work: Workplace, on_fraction: OnFraction) -> Iteration:
    """Average the scans after affine alignment to the first one, in the mean of their sizes and stretches."""
    scans, start = work.group.scans, work.group.scans[work.group.start]
    jobs = [
        AlignJob(s.scan.name, key, folder, _align_settings(work), s.folder, start.folder)
        for s, key, folder in _name_jobs(work, 0, "affine")
    ]
    work.run_jobs(jobs, lambda done: on_fraction(0.5 * done / len(jobs), f"aligning, {done} of {len(jobs)}"))
    affines: list[AffineTransform] = [load(job.folder) for job in jobs]
    center = np.array(start.center_mm)
    mean = MeanStretch.average(affines, center)
    to_scans = [mean.compose(affine) for affine in affines]
    corners = [
        affine.inverse()(scan.grid.corners_mm.reshape(-1, 3)) for affine, scan in zip(to_scans, scans, strict=True)
    ]
    spacing = work.spacing_mm or choose_spacing_mm([scan.grid for scan in scans])
    image = choose_template_grid(corners, start.grid.affine, spacing)
    has_unit = all(read_record(job.folder)["has_unit"] for job in jobs)
    levels = [IntensityMap() if has_unit else scan.intensities for scan in scans]
    warps = [
        WarpJob(
            s.scan.name, key, folder, work.settings, s.folder, (image, choose_field_grid(image)),
            (level.offset, level.gain), affine,
        )
        for (s, key, folder), affine, level in zip(_name_jobs(work, 0, "warped"), to_scans, levels, strict=True)
    ]  # fmt: skip
    sizes = [abs(np.linalg.det(affine.matrix[:3, :3])) ** (1 / 3) for affine in to_scans]
    record = {
        "intensities": [(level.offset, level.gain) for level in levels],
        "has_unit": has_unit,
        "update_rms_mm": None,
        "sizes": [round(float(size), _DIGITS) for size in sizes],
    }
    return _finish(work, 0, image, warps, record, None, lambda part: on_fraction(0.5 + 0.5 * part, "averaging"))


def _align_settings(work: Workplace) -> RegistrationSettings:
    return replace(work.settings, refine=RefinementPreset.NONE)


def improve(work: Workplace, before: Iteration, on_fraction: OnFraction) -> Iteration:
    """Register the template to all scans, and average them in the mean of their shapes."""
    number = before.number + 1
    image = before.image.geometry
    warps, record = prepare_maps(work, before, lambda part, what: on_fraction(0.85 * part, what))
    return _finish(
        work, number, image, warps, record, before, lambda part: on_fraction(0.85 + 0.15 * part, "averaging")
    )


def prepare_maps(work: Workplace, before: Iteration, on_fraction: OnFraction) -> tuple[list[WarpJob], dict[str, Any]]:
    """Register the template to all scans and find their mean shape.

    Returns the jobs that compose the maps from the mean shape to the scans, and what is known of the iteration.
    """
    number, image = before.number + 1, before.image.geometry
    grid = choose_field_grid(image)
    jobs = [
        RegisterJob(s.scan.name, key, folder, work.settings, s.folder, before.folder, grid)
        for s, key, folder in _name_jobs(work, number, "map")
    ]
    work.run_jobs(jobs, lambda done: on_fraction(0.95 * done / len(jobs), f"registering, {done} of {len(jobs)}"))
    mean = ShapeMean(grid, _find_foreground_nodes(before.image, grid))
    sizes = [mean.add(load(job.folder)) for job in jobs]
    shape = mean.compute()
    inverse = work.get_parts_folder(number) / _MEAN_FOLDER
    store(inverse, work.make_key(number, "mean"), invert_mean(shape, image), {})
    warps = [
        WarpJob(s.scan.name, key, folder, work.settings, s.folder, (image, grid), levels, mean=inverse, map=job.folder)
        for (s, key, folder), levels, job in zip(
            _name_jobs(work, number, "warped"), before.intensities, jobs, strict=True
        )
    ]
    records = [read_record(job.folder) for job in jobs]
    record = {
        "intensities": before.record["intensities"],
        "has_unit": before.record["has_unit"],
        "update_rms_mm": round(mean.measure_rms_mm(shape), _DIGITS),
        "sizes": [round(size, _DIGITS) for size in sizes],
        "registrations": [{name: own[name] for name in own if name != "key"} for own in records],
    }
    return warps, record


def iterate_maps(jobs: Sequence[WarpJob]) -> Iterator[DisplacementField]:
    """Yield the map from the mean shape to each scan, one at a time."""
    for job in jobs:
        yield load(job.folder)[0]


def _finish(
    work: Workplace,
    number: int,
    grid: Geometry,
    warps: Sequence[WarpJob],
    record: dict[str, Any],
    before: Iteration | None,
    on_part: Callable[[float], None],
) -> Iteration:
    """Warp all scans and average them.

    record: the intensities of the scans, whether they have a unit, how far the template before was from the mean shape,
    the sizes of the scans, and what is known of the registrations. Added are the gradient energy of the mean in its
    foreground, by how much it differs there from the one before, and the seconds.
    """
    work.run_jobs(warps, lambda done: on_part(done / len(warps)))
    warping_s = sum(read_record(job.folder)["cpu_seconds"] for job in warps)
    mean = ImageMean(grid.shape)
    for job in warps:
        mean.add(load(job.folder)[1])
    array = mean.compute()
    foreground = find_foreground(array)
    energy = measure_gradient_energy(array, foreground, float(grid.spacing_mm[0]))
    change = None if before is None else round(measure_change_percent(before.image.array, array, foreground), _DIGITS)
    folder = work.get_folder(number)
    image = Volume(array, grid.affine, "template")
    store(
        folder,
        work.make_key(number),
        image,
        {**record, "gradient_energy": energy, "change_percent": change, "warping_cpu_seconds": warping_s},
    )
    return Iteration(number, folder, load(folder), read_record(folder))


def _name_jobs(work: Workplace, number: int, kind: str) -> list[tuple[Any, str, Path]]:
    """Return each scan with the key and the folder of its part."""
    parts = work.get_parts_folder(number)
    return [
        (read, work.make_key(number, kind, read.content), parts / f"{read.scan.name}.{kind}")
        for read in work.group.scans
    ]


def _find_foreground_nodes(image: Volume, grid: Geometry) -> NDArray[np.bool_]:
    """Find the nodes of a grid (k, j, i) in the body that an image shows; the nodes are voxels of the image."""
    is_body = find_foreground(image.array)
    indices = np.rint(apply_affine(image.geometry.inverse_affine, grid.points_mm)).astype(int)[..., ::-1]
    is_inside = np.asarray(((indices >= 0) & (indices < image.array.shape)).all(-1))
    k, j, i = np.moveaxis(np.where(is_inside[..., None], indices, 0), -1, 0)
    return np.asarray(is_inside & is_body[k, j, i])
