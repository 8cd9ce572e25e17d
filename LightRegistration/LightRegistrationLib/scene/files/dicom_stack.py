"""Order DICOM slices by their positions, and check that they are one evenly spaced stack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.geometry.geometry import homogeneous

_TOLERANCE = 0.1
"""Steps between slices may differ by this share of the slice distance."""
_MAX_DRIFT = 0.5
"""Slices may lie this share of the slice distance off an even stack."""
_AXES_TOLERANCE = 1e-3
_RIGHT_ANGLE_TOLERANCE = 0.02
"""The lengths and the right angle of the axes may be off by rounding. Chosen."""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class SlicePlanes:
    """The planes of n slices in the patient's space, LPS mm.

    positions: (n, 3) centers of the first voxels. axes: (n, 6) directions along a row, then along a column. spacing:
    (n, 2) distances between rows, then between columns. size: (n, 2) columns and rows. path: for messages.
    """

    path: Path
    positions: NDArray[np.float64]
    axes: NDArray[np.float64]
    spacing: NDArray[np.float64]
    size: NDArray[np.float64]


def order_slices(planes: SlicePlanes) -> list[int]:
    """Return the slices' numbers in spatial order; raises InputError if they are not one evenly spaced stack."""
    path = planes.path
    _check_planes(planes)
    axes = planes.axes[0]
    normal = np.cross(axes[:3], axes[3:])
    order = np.argsort(planes.positions @ normal, kind="stable")
    if len(order) == 1:
        return [0]
    positions = planes.positions[order]
    steps = np.diff(positions, axis=0)
    along = steps @ normal
    distance = float(np.median(along))
    if along.min() < _TOLERANCE * distance or distance <= 0:
        raise InputError(
            f"{path}: the DICOM series has several slices at one position (copies, echoes, times); keep one of each."
        )
    if np.abs(along - distance).max() > _TOLERANCE * distance:
        raise InputError(
            f"{path}: the slices of the DICOM series are {along.min():.2f} to {along.max():.2f} mm apart; "
            "add the missing ones, or resample the series evenly first."
        )
    if np.linalg.norm(steps - np.outer(along, normal), axis=1).max() > _TOLERANCE * distance:
        raise InputError(
            f"{path}: the DICOM slices are tilted against the stack axis (gantry tilt); correct that first."
        )
    drift = np.linalg.norm(positions - _fit_line(positions), axis=1).max()
    if drift > _MAX_DRIFT * distance:
        raise InputError(
            f"{path}: the slices of the DICOM series lie up to {drift:.2f} mm off an evenly spaced stack; "
            "resample the series evenly first."
        )
    return [int(number) for number in order]


def compute_affine(planes: SlicePlanes, order: list[int]) -> NDArray[np.float64]:
    """Compute the 4x4 matrix (i, j, k, 1) -> RAS mm of two or more slices in this order."""
    fitted = _fit_line(planes.positions[order])
    rows, columns = planes.spacing[0]
    i, j = planes.axes[0][:3] * columns, planes.axes[0][3:] * rows
    matrix = np.stack([i, j, fitted[1] - fitted[0]], axis=1)
    return np.asarray(homogeneous(_LPS_TO_RAS @ matrix, _LPS_TO_RAS @ fitted[0]), dtype=np.float64)


def _fit_line(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return evenly spaced positions (n, 3) from the first to the last one."""
    return np.linspace(positions[0], positions[-1], len(positions))


def _check_planes(planes: SlicePlanes) -> None:
    path = planes.path
    different_sizes = np.unique(planes.size, axis=0)
    if len(different_sizes) > 1:
        named = " and ".join(f"{int(columns)} x {int(rows)}" for columns, rows in different_sizes[:2])
        raise InputError(f"{path}: the DICOM series holds slices of different sizes ({named}); keep one stack.")
    rows, columns = planes.axes[:, :3], planes.axes[:, 3:]
    products = np.stack([(rows * rows).sum(1) - 1, (columns * columns).sum(1) - 1, (rows * columns).sum(1)])
    if not np.abs(products).max() <= _RIGHT_ANGLE_TOLERANCE:
        raise InputError(
            f"{path}: the orientation of the DICOM slices is damaged (it needs two axes of length 1 at right angles); "
            "repair the headers."
        )
    if not planes.spacing.min() > 0:
        raise InputError(f"{path}: the pixel spacing of the DICOM slices is not above 0; repair the headers.")
    if np.abs(planes.axes - planes.axes[0]).max() > _AXES_TOLERANCE:
        raise InputError(f"{path}: the DICOM series holds slices of several orientations; keep one stack.")
    change = np.abs(planes.spacing / planes.spacing[0] - 1).max()
    if not change * planes.size.max() < 0.5:
        low, high = planes.spacing.min(), planes.spacing.max()
        raise InputError(
            f"{path}: the slices of the DICOM series differ in their pixel spacing ({low:g} to {high:g} mm); "
            "keep those with one spacing."
        )
