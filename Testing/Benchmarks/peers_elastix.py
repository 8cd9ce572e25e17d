"""elastix through itk-elastix: an affine stage, then B-splines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import itk
import SimpleITK as sitk
from peers import RunDefaults
from peers_fields import displacement_of

from LightRegistrationLib.core.geometry.transforms import DisplacementField


class Elastix(RunDefaults):
    """Both stages in one run of elastix; what the maps leave open is elastix' default."""

    def __init__(self, fixed: Path, moving: Path, threads: int, options: Mapping[str, Any]) -> None:
        self.fixed_file = fixed
        self.target, self.source = (itk.imread(str(file), itk.F) for file in (fixed, moving))
        self.parameters = itk.ParameterObject.New()
        for settings in (options["affine"], with_cells(options["bspline"], self.target, options["least_cells"])):
            self.parameters.AddParameterMap({key: value.split() for key, value in settings.items()})
        self.threads = threads
        # Loads the modules: a second that is not elastix'.
        self.method = itk.ElastixRegistrationMethod.New(self.target, self.source)

    def register(self) -> None:
        self.method.SetParameterObject(self.parameters)
        self.method.SetLogToConsole(False)
        self.method.SetNumberOfThreads(self.threads)
        self.method.UpdateLargestPossibleRegion()

    def field(self) -> DisplacementField:
        found: Any = itk.transformix_deformation_field(self.source, self.method.GetTransformParameterObject())
        return displacement_of(itk.array_from_image(found).astype(float), sitk.ReadImage(str(self.fixed_file)))


def with_cells(bspline: Mapping[str, str], image: Any, least: int) -> dict[str, str]:
    """The parameters with a final grid that has so many cells, or more, along each side of the image."""
    shortest_mm = min(n * s for n, s in zip(itk.size(image), itk.spacing(image), strict=True))
    spacing = min(float(bspline["FinalGridSpacingInPhysicalUnits"]), shortest_mm / least)
    return {**bspline, "FinalGridSpacingInPhysicalUnits": f"{spacing:.3f}"}
