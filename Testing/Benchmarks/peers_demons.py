"""SimpleITK's diffeomorphic demons, started from our affine map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from peers import RunDefaults
from peers_fields import TO_RAS, displacement_of, lps_grid
from peers_own import affine_stage

from LightRegistrationLib.core.geometry.transforms import DisplacementField


class Demons(RunDefaults):
    """The affine stage is timed apart and added."""

    def __init__(self, fixed: Path, moving: Path, threads: int, options: Mapping[str, Any]) -> None:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        self.options = options
        self.images = [sitk.ReadImage(str(file), sitk.sitkFloat32) for file in (fixed, moving)]
        stage = affine_stage(fixed, moving, threads)
        self.start, self.seconds, self.cpu_seconds = stage.initial, stage.seconds, stage.cpu_seconds

    def register(self) -> None:
        chosen = self.options
        lps = TO_RAS @ self.start.matrix @ TO_RAS
        affine = sitk.AffineTransform(lps[:3, :3].ravel().tolist(), lps[:3, 3].tolist())
        smooth = [sitk.SmoothingRecursiveGaussian(image, chosen["blur_mm"]) for image in self.images]
        self.target = sitk.Resample(smooth[0], coarse_grid(self.images[0], chosen["spacing_mm"]))
        source = sitk.Resample(smooth[1], self.target, affine)
        source = sitk.HistogramMatching(source, self.target, chosen["histogram_bins"], chosen["match_points"], True)
        method = sitk.DiffeomorphicDemonsRegistrationFilter()
        method.SetNumberOfIterations(chosen["iterations"])
        method.SetStandardDeviations(chosen["smoothing_voxels"])
        self.found = method.Execute(self.target, source)

    def field(self) -> DisplacementField:
        _, points = lps_grid(self.target)
        moved = self.start((points + sitk.GetArrayViewFromImage(self.found)) @ TO_RAS[:3, :3]) @ TO_RAS[:3, :3]
        return displacement_of(moved - points, self.target)


def coarse_grid(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """An empty image over the same space with voxels of about this size."""
    size = [max(8, round(n * s / spacing_mm)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing([s * n / m for s, n, m in zip(image.GetSpacing(), image.GetSize(), size, strict=True)])
    grid.SetDirection(image.GetDirection())
    ratio = [n / m for n, m in zip(image.GetSize(), size, strict=True)]
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint([(r - 1) / 2 for r in ratio]))
    return grid
