"""The part of a volume that was scanned: constant slices around it are padding and are cut off before any measurement.

Padding is left behind by canvases, resampling and exports (zeros, -1024, NaN). Counted as tissue, it would change the
image statistics, the overlap of two volumes and the similarity.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..geometry.geometry import homogeneous
from ..geometry.volume import Volume
from .settings import SAMPLING

Box = tuple[slice, slice, slice]


def find_field_of_view(volume: Volume) -> Box:
    """Find the box of voxels (k, j, i) that were scanned.

    Slices that hold one value only (or only NaN) are removed from all six sides. Where the body ends by itself, most of
    the outermost slice that is left is background: there a margin of background stays, so that the body's outline does.
    Padding of a few mm (not NaN) stays: scanners add it too, and its edge shows where the scan ends.
    """
    array = volume.array
    box = [slice(0, n) for n in array.shape]
    while any(_trim_side(array, box, axis, side) for axis in range(3) for side in (0, 1)):
        pass
    spacing = volume.geometry.spacing_mm[::-1]
    margins = np.ceil(SAMPLING.background_margin_mm / spacing).astype(int)
    box = [_add_margins(array, box, axis, int(margins[axis])) for axis in range(3)]
    box = [_keep_thin_padding(array, box, axis, float(spacing[axis])) for axis in range(3)]
    return box[0], box[1], box[2]


def crop_to_field_of_view(volume: Volume) -> Volume:
    """Return the scanned part of a volume; the volume itself if nothing surrounds it."""
    box = find_field_of_view(volume)
    if all(part == slice(0, n) for part, n in zip(box, volume.array.shape, strict=True)):
        return volume
    offset = np.array([part.start for part in box[::-1]], dtype=float)
    return replace(volume, array=volume.array[box], affine=volume.affine @ homogeneous(np.eye(3), offset))


def _trim_side(array: NDArray, box: list[slice], axis: int, side: int) -> bool:
    """Remove constant slices from one side of the box; returns whether there was one."""
    has_changed = False
    while box[axis].stop - box[axis].start > 1:
        index = box[axis].stop - 1 if side else box[axis].start
        if not _is_constant(_take(array, box, axis, index)):
            break
        box[axis] = slice(box[axis].start, index) if side else slice(index + 1, box[axis].stop)
        has_changed = True
    return has_changed


def _take(array: NDArray, box: list[slice], axis: int, index: int) -> NDArray:
    """Take a slice of the box perpendicular to an axis."""
    return array[tuple(index if a == axis else box[a] for a in range(3))]


def _is_constant(part: NDArray) -> bool:
    """Whether all values are the same, or all NaN; a few of them nearly always tell."""
    first = part.flat[0]
    for values in (part[::7, ::7], part):
        if not (np.isnan(values).all() if first != first else (values == first).all()):
            return False
    return True


def _add_margins(array: NDArray, box: list[slice], axis: int, margin: int) -> slice:
    """Widen the box along an axis where the body ends by itself."""
    start, stop, size = box[axis].start, box[axis].stop, array.shape[axis]
    if start > 0 and _ends_by_itself(_take(array, box, axis, start), _take(array, box, axis, start - 1)):
        start = max(0, start - margin)
    if stop < size and _ends_by_itself(_take(array, box, axis, stop - 1), _take(array, box, axis, stop)):
        stop = min(size, stop + margin)
    return slice(start, stop)


def _keep_thin_padding(array: NDArray, box: list[slice], axis: int, spacing_mm: float) -> slice:
    """Widen the box along an axis to the sides of the volume where little was cut off, unless that is NaN."""
    start, stop, size = box[axis].start, box[axis].stop, array.shape[axis]
    first, last = (array[tuple(index if a == axis else 0 for a in range(3))] for index in (0, size - 1))
    keep_first = start * spacing_mm < SAMPLING.min_padding_mm and first == first
    keep_last = (size - stop) * spacing_mm < SAMPLING.min_padding_mm and last == last
    return slice(0 if keep_first else start, size if keep_last else stop)


def _ends_by_itself(outermost: NDArray, removed: NDArray) -> bool:
    """Whether most of the outermost slice has the value of the padding beside it."""
    padding = removed.flat[0]
    is_padding = np.isnan(outermost) if padding != padding else outermost == padding
    return bool(is_padding.mean() >= SAMPLING.min_background_fraction)
