"""SimpleITK's diffeomorphic demons, started from our affine map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from LightRegistrationLib.core.geometry.transforms import DisplacementField

from .fields import itk_affine, matrix_of, warp_then_affine
from .method import RunDefaults, Start


class Demons(RunDefaults):
    """The affine stage is timed apart and added."""

    def __init__(
        self, fixed: Path, moving: Path, threads: int, start: Start | None, options: Mapping[str, Any]
    ) -> None:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        self.options = options
        self.images = [sitk.ReadImage(str(file), sitk.sitkFloat32) for file in (fixed, moving)]
        self.matrix = matrix_of(start)
        self.add_time_of(start)

    def register(self) -> None:
        chosen = self.options
        smooth = [sitk.SmoothingRecursiveGaussian(image, chosen["blur_mm"]) for image in self.images]
        self.target = sitk.Resample(smooth[0], coarse_grid(self.images[0], chosen["spacing_mm"]))
        source = sitk.Resample(smooth[1], self.target, itk_affine(self.matrix))
        source = sitk.HistogramMatching(source, self.target, chosen["histogram_bins"], chosen["match_points"], True)
        method = sitk.DiffeomorphicDemonsRegistrationFilter()
        method.SetNumberOfIterations(chosen["iterations"])
        method.SetStandardDeviations(chosen["smoothing_voxels"])
        self.found = method.Execute(self.target, source)

    def field(self) -> DisplacementField:
        return warp_then_affine(sitk.GetArrayViewFromImage(self.found), self.matrix, self.target)


def coarse_grid(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """Make an empty image over the same space with voxels of about this size."""
    size = [max(8, round(n * s / spacing_mm)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing([s * n / m for s, n, m in zip(image.GetSpacing(), image.GetSize(), size, strict=True)])
    grid.SetDirection(image.GetDirection())
    ratio = [n / m for n, m in zip(image.GetSize(), size, strict=True)]
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint([(r - 1) / 2 for r in ratio]))
    return grid
