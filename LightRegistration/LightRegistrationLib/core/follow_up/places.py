"""The list of the places that changed between two scans of one person."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..deformation.jacobian import compute_corner_determinants
from ..geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ..geometry.transforms import AffineTransform, DisplacementField
from ..network.flow_conversion import Deformation
from ..result.result import ChangedPlace, ChangeKind
from .refinement import FollowUpRefinement
from .settings import FOLLOW_UP, FollowUpSettings
from .unmatched import TissueDifference


def list_changes(
    refinement: FollowUpRefinement, deformation: Deformation, field: DisplacementField, initial: AffineTransform
) -> tuple[ChangedPlace, ...]:
    """List what changed between two scans: places without a counterpart, then those whose volume changed most.

    field: of the deformation after the rigid alignment `initial`, fixed -> moving, RAS mm.
    """
    places, difference = refinement.find_unmatched(deformation, refinement.settings.listed)
    grid = refinement.images(1).geometry
    body = (difference.body[0, 0] > 0).numpy()
    return (
        *list_unmatched(places, difference, grid, refinement.settings),
        *list_volume_changes(field, initial, body, grid, refinement.settings),
    )


def list_unmatched(
    places: NDArray[np.int32],
    difference: TissueDifference,
    grid: Geometry,
    settings: FollowUpSettings = FOLLOW_UP,
) -> Iterator[ChangedPlace]:
    """List the places without a counterpart, the clearest first: those with the largest sum of deviations.

    The volume of a place ends where the difference falls to half of its height. places: as `find_unmatched` returns
    them, on `grid` (k, j, i).
    """
    deviations, intensity = difference.deviations[0, 0].numpy(), np.abs(difference.intensity[0, 0].numpy())
    sums = np.bincount(places.ravel(), weights=deviations.ravel())
    boxes = ndimage.find_objects(places)
    order = 1 + np.argsort(-np.abs(sums[1:]), kind="stable")
    for number in order[: settings.max_unmatched]:
        box = boxes[number - 1]
        mask, heights = places[box] == number, intensity[box]
        mask &= heights >= np.percentile(heights[mask], 90) / 2
        kind = ChangeKind.BRIGHTER if sums[number] > 0 else ChangeKind.DARKER
        yield ChangedPlace(kind, _find_middle(mask, box, grid), float(mask.sum() * grid.voxel_volume_mm3))


def list_volume_changes(
    field: DisplacementField,
    initial: AffineTransform,
    body: NDArray[np.bool_],
    grid: Geometry,
    settings: FollowUpSettings = FOLLOW_UP,
) -> Iterator[ChangedPlace]:
    """List the places whose volume the deformation changes most, the largest change first, at its strongest voxel.

    field: fixed -> moving, RAS mm. initial: its rigid part, which changes no volume. body: where there is tissue, on
    `grid` (k, j, i).
    """
    determinants = compute_corner_determinants(field).mean(0) / abs(np.linalg.det(initial.matrix[:3, :3]))
    cells = Geometry(determinants.shape, field.affine @ homogeneous(np.eye(3), (0.5, 0.5, 0.5)))
    inside = _sample_nearest(body, grid, cells)
    found = []
    for kind, sign in ((ChangeKind.LARGER, 1), (ChangeKind.SMALLER, -1)):
        is_changed = inside & (sign * np.log(np.maximum(determinants, 1e-6)) > settings.min_log_jacobian)
        places, count = ndimage.label(is_changed)
        changes: FloatArray = sign * (determinants - 1) * cells.voxel_volume_mm3
        gains = np.bincount(places.ravel(), weights=changes.ravel(), minlength=count + 1)
        boxes = ndimage.find_objects(places)
        for number in 1 + np.flatnonzero(gains[1:] >= settings.min_volume_change_mm3):
            box = boxes[number - 1]
            strength = np.where(places[box] == number, changes[box], -np.inf)
            strongest = np.argwhere(strength == strength.max())[0]
            position = _find_position(strongest, box, cells)
            found.append(ChangedPlace(kind, position, float(gains[number])))
    yield from sorted(found, key=lambda place: -place.volume_mm3)[: settings.max_volume_changes]


def _find_middle(mask: NDArray[np.bool_], box: tuple[slice, ...], grid: Geometry) -> tuple[float, float, float]:
    """Find the position, RAS mm, of the voxel of a place that is nearest to its center of mass."""
    indices = np.argwhere(mask)
    return _find_position(indices[np.linalg.norm(indices - indices.mean(0), axis=1).argmin()], box, grid)


def _find_position(index: NDArray[np.int64], box: tuple[slice, ...], grid: Geometry) -> tuple[float, float, float]:
    """Find the position, RAS mm, of a voxel (k, j, i) of a box."""
    whole = index + np.array([part.start for part in box], dtype=np.float64)
    x, y, z = apply_affine(grid.affine, whole[::-1])
    return float(x), float(y), float(z)


def _sample_nearest(mask: NDArray[np.bool_], grid: Geometry, target: Geometry) -> NDArray[np.bool_]:
    """Sample a mask (k, j, i) at the voxels of a grid with parallel axes; False outside."""
    indices: FloatArray = np.round(apply_affine(grid.inverse_affine, target.points_mm)).astype(int)[..., ::-1]
    is_inside = ((indices >= 0) & (indices < mask.shape)).all(-1)
    k, j, i = np.moveaxis(indices.clip(0, np.array(mask.shape) - 1), -1, 0)
    return np.asarray(mask[k, j, i] & is_inside)
