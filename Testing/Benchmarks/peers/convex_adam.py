"""ConvexAdam on MIND features, on the fixed volume's grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch
from convexAdam.convex_adam_MIND import convex_adam_pt

from LightRegistrationLib.core.geometry.transforms import DisplacementField

from .fields import matrix_of, resampled_pair, voxels_then_affine
from .method import RunDefaults, Start


class ConvexAdam(RunDefaults):
    """It has no affine stage: the moving volume is resampled onto the fixed grid, as loaded or through our affine."""

    def __init__(
        self, fixed: Path, moving: Path, threads: int, start: Start | None, options: Mapping[str, Any]
    ) -> None:
        torch.set_num_threads(threads)
        self.target, self.source = (sitk.ReadImage(str(file), sitk.sitkFloat32) for file in (fixed, moving))
        self.options, self.matrix = options, matrix_of(start)
        self.add_time_of(start)

    def register(self) -> None:
        arrays = resampled_pair(self.target, self.source, self.matrix)
        self.shift = convex_adam_pt(*arrays, dtype=torch.float32, device=torch.device("cpu"), **self.options)

    def field(self) -> DisplacementField:
        return voxels_then_affine(self.shift, self.matrix, self.target)
