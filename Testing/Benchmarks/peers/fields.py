"""From ITK's points and vectors (LPS) to displacement fields (RAS mm)."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField

from .method import Start

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def lps_grid(image: sitk.Image) -> tuple[NDArray, NDArray]:
    """Return the matrix (i, j, k, 1) -> LPS mm of an image, and its voxel centers (k, j, i, 3) LPS mm."""
    axes = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = homogeneous(axes, image.GetOrigin())
    return affine, Geometry(image.GetSize()[::-1], affine).points_mm


def displacement_of(vectors_lps: NDArray, grid: sitk.Image) -> DisplacementField:
    """Make a displacement field in RAS mm of vectors (k, j, i, 3) LPS mm on the grid of an image."""
    affine, _ = lps_grid(grid)
    return DisplacementField(vectors_lps @ TO_RAS[:3, :3], TO_RAS @ affine)


def warp_then_affine(warp_lps: NDArray, matrix_lps: NDArray, grid: sitk.Image) -> DisplacementField:
    """Compose x -> A(x + w(x)): w are vectors (k, j, i, 3) LPS mm on the grid of an image, A is a 4x4 matrix, LPS."""
    _, points = lps_grid(grid)
    return displacement_of(apply_affine(matrix_lps, points + warp_lps) - points, grid)


def matrix_of(start: Start | None) -> NDArray:
    """Return the affine map of a start, LPS; the identity if there is none."""
    return TO_RAS @ (start.transform if start else AffineTransform.identity()).matrix @ TO_RAS


def itk_affine(matrix_lps: NDArray) -> sitk.AffineTransform:
    """Make SimpleITK's transform of a 4x4 matrix, LPS."""
    return sitk.AffineTransform(matrix_lps[:3, :3].ravel().tolist(), matrix_lps[:3, 3].tolist())


def matrix_of_itk(affine: sitk.AffineTransform) -> NDArray:
    """Return the 4x4 matrix, LPS, of SimpleITK's transform, whatever its center."""
    linear, center = np.array(affine.GetMatrix()).reshape(3, 3), np.array(affine.GetCenter())
    return homogeneous(linear, np.array(affine.GetTranslation()) + center - linear @ center)


def resampled_pair(fixed: sitk.Image, moving: sitk.Image, matrix_lps: NDArray) -> tuple[NDArray, NDArray]:
    """Return both images as arrays (k, j, i) on the fixed grid; outside the moving image its least value is taken."""
    least = float(sitk.GetArrayViewFromImage(moving).min())
    on_fixed = sitk.Resample(moving, fixed, itk_affine(matrix_lps), sitk.sitkLinear, least)
    return sitk.GetArrayFromImage(fixed), sitk.GetArrayFromImage(on_fixed)


def voxels_then_affine(shift_kji: NDArray, matrix_lps: NDArray, grid: sitk.Image) -> DisplacementField:
    """Compose x -> A(x + w(x)): w in voxels of the grid, (k, j, i, 3) with components k, j, i; A 4x4, LPS."""
    affine, _ = lps_grid(grid)
    return warp_then_affine(shift_kji[..., ::-1] @ affine[:3, :3].T, matrix_lps, grid)
