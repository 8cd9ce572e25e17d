"""Aligns label maps by the centers of the structures that they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...core.geometry.geometry import FloatArray, apply_affine, homogeneous

MIN_LANDMARKS = 3
"""Number of points that define a rotation with scaling; an affine map needs one more."""
_CUT_SHARE = 0.3
"""A structure is cut if its section at the end of the volume is larger than this share of its largest section; chosen,
not measured."""


def structure_centers(labels: NDArray[np.int32], affine: FloatArray, landmarks: Sequence[int]) -> FloatArray:
    """Centers of structures, (n, 3) RAS mm; NaN for a structure that is missing or cut by an end of the volume."""
    boxes = ndimage.find_objects(labels, max_label=max(landmarks))
    centers = np.full((len(landmarks), 3), np.nan)
    for n, value in enumerate(landmarks):
        box = boxes[value - 1]
        if box is None:
            continue
        mask = labels[box] == value
        if not _is_cut(mask, box, labels.shape):
            start = np.array([part.start for part in box])
            centers[n] = apply_affine(affine, (ndimage.center_of_mass(mask) + start)[None, ::-1])[0]
    return centers


def _is_cut(mask: NDArray[np.bool_], box: Sequence[slice], shape: tuple[int, ...]) -> bool:
    """Whether a structure has a large section at an end of the volume; a complete structure has a small one at most."""
    for axis, (part, size) in enumerate(zip(box, shape, strict=True)):
        sections = mask.sum(tuple({0, 1, 2} - {axis}))
        ends = [sections[0]] * (part.start == 0) + [sections[-1]] * (part.stop == size)
        if ends and max(ends) > _CUT_SHARE * sections.max():
            return True
    return False


def structure_sizes(
    labels: NDArray[np.int32], affine: FloatArray, landmarks: Sequence[int], centers: FloatArray
) -> FloatArray:
    """Natural logarithm of the volumes of structures in mm3, (n,); NaN where the center is NaN."""
    counts = np.bincount(labels.ravel(), minlength=max(landmarks) + 1)[list(landmarks)]
    volumes = np.maximum(counts, 1) * abs(np.linalg.det(affine[:3, :3]))
    return np.where(np.isnan(centers[:, 0]), np.nan, np.log(volumes))


def fit_affine(source: FloatArray, target: FloatArray, rigidity_mm2: float = 0.0) -> FloatArray:
    """Least-squares 4x4 affine that maps source points (n, 3) to target points (n, 3); rows with NaN are left out.

    rigidity_mm2: weight of the squared difference between its matrix and that of the best rotation with scaling. With
    MIN_LANDMARKS points the result is the rotation with scaling, with one or two points a translation.
    """
    shared = ~(np.isnan(source) | np.isnan(target)).any(1)
    source, target = source[shared], target[shared]
    source_mean, target_mean = source.mean(0), target.mean(0)
    x, y = source - source_mean, target - target_mean
    similar = _similarity(x, y) if len(x) >= MIN_LANDMARKS else np.eye(3)
    if len(x) <= MIN_LANDMARKS:
        matrix = similar
    elif rigidity_mm2:
        matrix = np.linalg.solve(x.T @ x + rigidity_mm2 * np.eye(3), x.T @ y + rigidity_mm2 * similar.T).T
    else:
        matrix = np.linalg.lstsq(x, y, rcond=None)[0].T
    return homogeneous(matrix, target_mean - matrix @ source_mean)


def _similarity(x: FloatArray, y: FloatArray) -> FloatArray:
    """The rotation with scaling that best maps centered points x to y (Umeyama, 1991)."""
    left, values, right = np.linalg.svd(y.T @ x)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return np.asarray((left * signs) @ right * (values @ signs) / np.square(x).sum())


def count_shared(centers: FloatArray, other: FloatArray) -> int:
    """Number of landmarks that both have."""
    return int((~np.isnan(centers[:, 0]) & ~np.isnan(other[:, 0])).sum())


def template_centers(centers: Sequence[FloatArray], rigidity_mm2: float = 0.0, rounds: int = 5) -> FloatArray:
    """Mean centers after affine alignment, centered at 0 mm: (n, 3), NaN for a landmark that no subject has.

    The iteration starts from the subject with the most landmarks. The template has the mean size and orientation of the
    subjects.
    """
    most_complete = max(centers, key=lambda c: count_shared(c, c))
    template = most_complete - np.nanmean(most_complete, 0)
    for _ in range(rounds):
        maps = [fit_affine(c, template, rigidity_mm2) for c in centers]
        aligned = np.stack([apply_affine(m, c) for m, c in zip(maps, centers, strict=True)])
        sizes = np.array([np.cbrt(1 / np.linalg.det(m[:3, :3])) for m in maps])
        mean_linear = np.mean([m[:3, :3] * size for m, size in zip(maps, sizes, strict=True)], axis=0)
        left, _, right = np.linalg.svd(mean_linear)
        template = (_mean(aligned) * sizes.mean()) @ (left @ right)
        template = template - np.nanmean(template, axis=0)
    return template


def _mean(aligned: FloatArray) -> FloatArray:
    """Mean over subjects (axis 0), ignoring NaN; NaN where all are NaN."""
    present = ~np.isnan(aligned)
    count = present.sum(0)
    return np.where(count > 0, np.where(present, aligned, 0).sum(0) / np.maximum(count, 1), np.nan)


def residuals(source: FloatArray, target: FloatArray, matrix: FloatArray) -> FloatArray:
    """Distances (m,) mm between the shared landmarks after a 4x4 map."""
    shared = ~(np.isnan(source) | np.isnan(target)).any(1)
    return np.asarray(np.linalg.norm(apply_affine(matrix, source[shared]) - target[shared], axis=1))
