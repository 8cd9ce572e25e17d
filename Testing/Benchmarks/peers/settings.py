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
_CC = {"syn_metric": "CC", "syn_sampling": 2, "reg_iterations": (100, 70, 50, 0)}
SYN_CC = {**SYN, **_CC}
SYN_FROM_START = {"type_of_transform": "SyNOnly"}
SYN_CC_FROM_START = {**SYN_FROM_START, **_CC}
"""Arguments of `ants.registration`; what they leave open is its default."""

GREEDY = {
    "affine": "-a -dof 12 -ia-image-centers -m NCC 2x2x2 -n 100x50x10",
    "deformable": "-m NCC 2x2x2 -n 100x50x10",
}
"""Options of the two calls of `greedy`."""

CONVEX_ADAM = {
    "mind_r": 1,
    "mind_d": 2,
    "lambda_weight": 1.25,
    "grid_sp": 6,
    "disp_hw": 4,
    "selected_niter": 80,
    "selected_smooth": 0,
    "grid_sp_adam": 2,
    "ic": True,
}
"""Arguments of `convex_adam_pt`: its defaults, written down."""

DEEDS = {"alpha": 2, "randsamp": 50, "levels": 5}
"""Arguments of `deedsReg`: its defaults, written down."""

DEMONS = {
    "spacing_mm": 2.0,
    "blur_mm": 0.8,
    "histogram_bins": 256,
    "match_points": 15,
    "iterations": 60,
    "smoothing_voxels": 1.5,
}
