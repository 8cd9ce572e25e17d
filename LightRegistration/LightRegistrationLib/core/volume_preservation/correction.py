"""Volume preservation: the deformation is made incompressible inside chosen structures and is unchanged far from them.

The corrected field is x -> phi(psi(x)), with phi the uncorrected field and psi the correction (`patch`).
"""

from __future__ import annotations

import numpy as np

from ..deformation.folding import repair_folding
from ..deformation.jacobian import compute_corner_determinants
from ..deformation.settings import DEFORMATION
from ..geometry.geometry import FloatArray, Geometry
from ..geometry.transforms import DisplacementField
from ..geometry.volume import Segmentation
from ..result.result import PreservedVolume
from .grid_refinement import choose_refinement, refine_field
from .grouping import CellRanges, group_structures
from .measures import StructureVolumes, compute_thickness_mm, estimate_counting_tolerance, measure_volumes
from .patch import Patch
from .region import Region, make_region
from .settings import VOLUME_PRESERVATION


def preserve_volumes(
    field: DisplacementField, structures: Segmentation, geometry: Geometry
) -> tuple[DisplacementField, tuple[PreservedVolume, ...]]:
    """Change a displacement field so that chosen structures have the volume that they have in the moving image.

    field: fixed -> moving, RAS mm, the affine part included, on a grid that covers the fixed volume. structures:
    segments of the moving volume, on its grid; the volume of each one is preserved. geometry: the fixed volume's.

    Returns the field, and for each segment how its volume changes with and without the correction, counted in voxels
    of `geometry`. The field has a finer grid if a structure spans less than three of its cells; it is the same object
    if nothing has to change. Parts of a structure outside the fixed volume are not counted; a structure that lies
    outside completely changes by -100 %. Raises InputError for a segment without voxels.
    """
    ranges = CellRanges.from_field(field, structures.geometry)
    boxes = [(group, ranges.find_box(group)) for group in group_structures(structures)]
    regions = [make_region(group, box, field) for group, box in boxes if box is not None]
    before = [region.measure_volumes(field, geometry) for region in regions]
    changed = [r for r, volumes in zip(regions, before, strict=True) if not r.is_rigid and volumes.moving.any()]
    if not changed:
        return field, _summarize(structures, regions, before, before)
    thickness_mm = _find_min_thickness_mm(structures, changed)
    factors = choose_refinement(field.geometry, thickness_mm, float(geometry.spacing_mm.min()))
    result = refine_field(field, factors)
    for region in changed:
        result = _correct_region(region.refine(factors), result, geometry)
    after = [region.refine(factors).measure_volumes(result, geometry) for region in regions]
    return result, _summarize(structures, regions, before, after)


def _find_min_thickness_mm(structures: Segmentation, regions: list[Region]) -> float:
    """Find the thickness of the smallest structure, without small pieces of a segment that is much larger elsewhere."""
    found = [
        (segment.name, thickness)
        for region in regions
        for segment, thickness in zip(region.group.segments, compute_thickness_mm(region.group), strict=True)
    ]
    largest = {s.name: max((d for name, d in found if name == s.name), default=0.0) for s in structures.segments}
    return min(d for name, d in found if d > VOLUME_PRESERVATION.min_piece_fraction * largest[name])


def _correct_region(region: Region, field: DisplacementField, view: Geometry) -> DisplacementField:
    """Return the field with the volumes of one region preserved."""
    settings = VOLUME_PRESERVATION
    grid = field.geometry
    reach = (region.compute_inner_mm(grid) + region.compute_margin_mm(grid)) / grid.spacing_mm[::-1] + 1
    box = region.box.grow(reach, grid.shape)
    inner_box = region.find_inner_box(grid).shift_into(box)
    patch = Patch(region, box.crop_field(field))
    tolerance = estimate_counting_tolerance(inner_box.crop_field(patch.make_field()), region.group, view)
    best, min_error = patch.psi, np.inf
    gains: FloatArray = np.ones(len(region.group.layers))
    last_errors: FloatArray = np.zeros(len(region.group.layers))
    for step in range(settings.max_steps + 1):
        current = patch.make_field()
        volumes = measure_volumes(inner_box.crop_field(current), region.group, view, exact=False)
        errors = volumes.compute_error(tolerance)
        error = float((np.abs(errors) - volumes.count_resolution).max())
        if step >= settings.uniform_steps and error < min_error:
            best, min_error = patch.psi, error
        if step == settings.max_steps or min_error < settings.volume_tolerance:
            break
        gains, last_errors = _adapt_gains(gains, last_errors, errors), errors
        patch.advance(current, gains * errors, make_uniform=step < settings.uniform_steps)
    patch.psi = best
    array = np.array(field.array)
    array[box.slices] = _repair_folding(patch.make_field()).array
    return DisplacementField(array, field.affine)


def _adapt_gains(gains: FloatArray, before: FloatArray, now: FloatArray) -> FloatArray:
    """Lengthen the steps of structures that respond weakly, as thin ones do, and shorten those that overshoot."""
    settings = VOLUME_PRESERVATION
    ratio = np.where(before == 0, 0.3, now / np.where(before == 0, 1, before))
    shorter = np.where(ratio < settings.overshoot, settings.gain_decrease, 1.0)
    factors = np.where(ratio > settings.weak_response, settings.gain_increase, shorter)
    return np.asarray((gains * factors).clip(settings.min_gain, settings.max_gain))


def _repair_folding(field: DisplacementField) -> DisplacementField:
    is_folded = compute_corner_determinants(field).min() < DEFORMATION.min_determinant
    return repair_folding(field)[0] if is_folded else field


def _summarize(
    structures: Segmentation, regions: list[Region], before: list[StructureVolumes], after: list[StructureVolumes]
) -> tuple[PreservedVolume, ...]:
    uncorrected, corrected = _compute_changes(regions, before), _compute_changes(regions, after)
    return tuple(
        PreservedVolume(s.name, uncorrected.get(s.name, -100.0), corrected.get(s.name, -100.0))
        for s in structures.segments
    )


def _compute_changes(regions: list[Region], volumes: list[StructureVolumes]) -> dict[str, float]:
    """Compute the change of each segment's counted volume in percent, over all regions with a piece of it."""
    sums: dict[str, FloatArray] = {}
    for region, volume in zip(regions, volumes, strict=True):
        for segment, *pair in zip(region.group.segments, volume.counted, volume.moving, strict=True):
            sums[segment.name] = sums.get(segment.name, np.zeros(2)) + pair
    return {name: float(100 * (counted / moving - 1)) for name, (counted, moving) in sums.items() if moving > 0}
