"""From what ITK's tools give back to displacement fields: LPS to RAS."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LightRegistrationLib.core.geometry.geometry import Geometry, homogeneous
from LightRegistrationLib.core.geometry.transforms import DisplacementField

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def lps_grid(image: sitk.Image) -> tuple[NDArray, NDArray]:
    """The matrix (i, j, k, 1) -> LPS mm of an image, and its voxel centers (k, j, i, 3) LPS mm."""
    axes = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = homogeneous(axes, image.GetOrigin())
    return affine, Geometry(image.GetSize()[::-1], affine).points_mm


def displacement_of(vectors_lps: NDArray, grid: sitk.Image) -> DisplacementField:
    """Vectors (k, j, i, 3) LPS mm on the grid of an image, as a displacement field in RAS mm."""
    affine, _ = lps_grid(grid)
    return DisplacementField(vectors_lps @ TO_RAS[:3, :3], TO_RAS @ affine)
