"""All settings of the peers of the comparison: a peer is run again when they change."""

from __future__ import annotations

_COMMON = {
    "FixedInternalImagePixelType": "float",
    "MovingInternalImagePixelType": "float",
    "UseDirectionCosines": "true",
    "Registration": "MultiResolutionRegistration",
    "Interpolator": "LinearInterpolator",
    "ResampleInterpolator": "FinalBSplineInterpolator",
    "Resampler": "DefaultResampler",
    "FixedImagePyramid": "FixedSmoothingImagePyramid",
    "MovingImagePyramid": "MovingSmoothingImagePyramid",
    "Optimizer": "AdaptiveStochasticGradientDescent",
    "NumberOfResolutions": "4",
    "AutomaticParameterEstimation": "true",
    "ImageSampler": "RandomCoordinate",
    "NewSamplesEveryIteration": "true",
    "CheckNumberOfSamples": "true",
    "MaximumNumberOfSamplingAttempts": "8",
    "RandomSeed": "1",
    "HowToCombineTransforms": "Compose",
    "WriteResultImage": "false",
}
_AFFINE = {
    **_COMMON,
    "Transform": "AffineTransform",
    "AutomaticScalesEstimation": "true",
    "AutomaticTransformInitialization": "true",
    "AutomaticTransformInitializationMethod": "GeometricalCenter",
    "Metric": "AdvancedMattesMutualInformation",
    "NumberOfHistogramBins": "32",
    "MaximumNumberOfIterations": "500",
    "NumberOfSpatialSamples": "4096",
}
_BSPLINE = {
    **_COMMON,
    "Transform": "BSplineTransform",
    "Metric": "AdvancedNormalizedCorrelation",
    "FinalGridSpacingInPhysicalUnits": "10.0",
    "MaximumNumberOfIterations": "1000",
    "NumberOfSpatialSamples": "4096",
}
ELASTIX = {"affine": _AFFINE, "bspline": _BSPLINE, "least_cells": 7}
"""Parameter maps: values as in a parameter file, separated by spaces.

least_cells: the B-splines are finer than the map says where the shortest side of the volume has fewer of their cells:
a grid of 10 mm is too coarse for a crop of 35 mm (tried: 5 mm is better there than 10, at the price of folding)."""

SYN = {"type_of_transform": "SyN"}
SYN_CC = {**SYN, "syn_metric": "CC", "syn_sampling": 2, "reg_iterations": (100, 70, 50, 0)}
"""Arguments of `ants.registration`; what they leave open is its default."""

DEMONS = {
    "spacing_mm": 2.0,
    "blur_mm": 0.8,
    "histogram_bins": 256,
    "match_points": 15,
    "iterations": 60,
    "smoothing_voxels": 1.5,
}
