"""Analytic displacement fields, and volumes resampled by SimpleITK, to compare with."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine
from LightRegistrationLib.core.geometry.transforms import DisplacementField

from .geometries import make_geometry

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def nodes(geometry: Geometry) -> np.ndarray:
    k, j, i = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
    return apply_affine(geometry.affine, np.stack([i, j, k], -1))


def bending_field(geometry: Geometry, amplitude_mm: float = 6.0) -> DisplacementField:
    """A smooth analytic field on a grid a little larger than `geometry`, 4 mm nodes."""
    extent = np.ptp(geometry.corners_mm, axis=0)
    shape = tuple(int(np.ceil(e / 4)) + 6 for e in extent[::-1])
    grid = make_geometry(shape, (4, 4, 4), center_mm=tuple(geometry.center_mm))
    x = (nodes(grid) - geometry.center_mm) / 25
    waves = np.stack([np.sin(x[..., 1]) + 1, np.cos(x[..., 2]), np.sin(x[..., 0] + x[..., 1])], -1)
    return DisplacementField(amplitude_mm * waves, grid.affine)


def to_sitk(array: np.ndarray, affine: np.ndarray, *, vector: bool = False) -> sitk.Image:
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(array, isVector=vector)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def sitk_resample(volume, field: DisplacementField, geometry: Geometry, interpolator, background: float) -> np.ndarray:
    vectors = to_sitk(field.array * np.array([-1.0, -1.0, 1.0]), field.affine, vector=True)
    transform = sitk.DisplacementFieldTransform(sitk.Cast(vectors, sitk.sitkVectorFloat64))
    reference = to_sitk(np.zeros(geometry.shape, np.uint8), geometry.affine)
    result = sitk.Resample(to_sitk(*volume), reference, transform, interpolator, background)
    return sitk.GetArrayFromImage(result)
