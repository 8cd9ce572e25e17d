"""elastix through itk-elastix: an affine stage, then B-splines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import itk
import numpy as np
import SimpleITK as sitk

from LightRegistrationLib.core.geometry.transforms import DisplacementField

from .fields import displacement_of, matrix_of
from .method import RunDefaults, Start

Parameters = Mapping[str, list[str]]


class Elastix(RunDefaults):
    """Both stages in one run of elastix, or the B-splines after our affine map; the rest is elastix' default."""

    def __init__(
        self, fixed: Path, moving: Path, threads: int, start: Start | None, options: Mapping[str, Any]
    ) -> None:
        self.fixed_file = fixed
        self.target, self.source = (itk.imread(str(file), itk.F) for file in (fixed, moving))
        bspline = with_cells(options["bspline"], self.target, options["least_cells"])
        stages = [bspline] if start else [options["affine"], bspline]
        self.parameters = itk.ParameterObject.New()
        for settings in stages:
            self.parameters.AddParameterMap({key: value.split() for key, value in settings.items()})
        self.start = affine_parameters(start, self.target) if start else None
        self.threads = threads
        self.add_time_of(start)
        # Loads the modules: a second that is not elastix'.
        self.method = itk.ElastixRegistrationMethod.New(self.target, self.source)

    def register(self) -> None:
        self.method.SetParameterObject(self.parameters)
        if self.start is not None:
            self.method.SetInitialTransformParameterObject(parameter_object(self.start))
        self.method.SetLogToConsole(False)
        self.method.SetNumberOfThreads(self.threads)
        self.method.UpdateLargestPossibleRegion()

    def field(self) -> DisplacementField:
        transform = self.method.GetTransformParameterObject()
        if self.start is not None:
            bspline = dict(transform.GetParameterMap(transform.GetNumberOfParameterMaps() - 1))
            transform = parameter_object(self.start, bspline)
        found: Any = itk.transformix_deformation_field(self.source, transform)
        return displacement_of(itk.array_from_image(found).astype(float), sitk.ReadImage(str(self.fixed_file)))


def parameter_object(*maps: Parameters) -> Any:
    """Make elastix' object of a chain of transforms, the first one applied first."""
    result = itk.ParameterObject.New()
    for values in maps:
        result.AddParameterMap(values)
    return result


def affine_parameters(start: Start, grid: Any) -> Parameters:
    """Write an affine map as elastix' parameters of a transform on the grid of an image."""
    matrix = matrix_of(start)
    direction = np.asarray(itk.array_from_matrix(grid.GetDirection())).T.ravel()
    values: dict[str, Any] = {
        "Transform": ["AffineTransform"],
        "TransformParameters": [*matrix[:3, :3].ravel(), *matrix[:3, 3]],
        "NumberOfParameters": [12],
        "CenterOfRotationPoint": [0, 0, 0],
        "InitialTransformParameterFileName": ["NoInitialTransform"],
        "HowToCombineTransforms": ["Compose"],
        "FixedImageDimension": [3],
        "MovingImageDimension": [3],
        "FixedInternalImagePixelType": ["float"],
        "MovingInternalImagePixelType": ["float"],
        "Size": itk.size(grid),
        "Index": [0, 0, 0],
        "Spacing": itk.spacing(grid),
        "Origin": itk.origin(grid),
        "Direction": direction,
        "UseDirectionCosines": ["true"],
    }
    return {key: [v if isinstance(v, str) else repr(_number(v)) for v in own] for key, own in values.items()}


def _number(value: Any) -> int | float:
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def with_cells(bspline: Mapping[str, str], image: Any, least: int) -> dict[str, str]:
    """Make the final grid so fine that it has this many cells, or more, along each side of the image."""
    shortest_mm = min(n * s for n, s in zip(itk.size(image), itk.spacing(image), strict=True))
    spacing = min(float(bspline["FinalGridSpacingInPhysicalUnits"]), shortest_mm / least)
    return {**bspline, "FinalGridSpacingInPhysicalUnits": f"{spacing:.3f}"}
