"""ANTs SyN through ANTsPy."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ants
import numpy as np
import SimpleITK as sitk
from peers import RunDefaults
from peers_fields import displacement_of, lps_grid

from LightRegistrationLib.core.geometry.transforms import DisplacementField


class Ants(RunDefaults):
    """`ants.registration` with some options, its affine stage included."""

    def __init__(self, fixed: Path, moving: Path, options: Mapping[str, Any]) -> None:
        # The center of mass, where ANTs starts, means nothing if air counts -1000.
        self.target, self.source = (_from_zero(ants.image_read(str(file))) for file in (fixed, moving))
        self.options = options
        self.folder = tempfile.TemporaryDirectory()

    def register(self) -> None:
        prefix = str(Path(self.folder.name) / "found_")
        found = ants.registration(self.target, self.source, outprefix=prefix, **self.options)
        self.transforms = found["fwdtransforms"]

    def field(self) -> DisplacementField:
        """Of the point x + w(x) the affine image: the transforms pull the moving image in the order of their list."""
        warp_file, affine_file = self.transforms
        warp = sitk.ReadImage(warp_file, sitk.sitkVectorFloat64)
        affine = sitk.AffineTransform(sitk.ReadTransform(affine_file))
        _, points = lps_grid(warp)
        warped = points + sitk.GetArrayViewFromImage(warp)
        matrix, center = np.array(affine.GetMatrix()).reshape(3, 3), affine.GetCenter()
        moved = (warped - center) @ matrix.T + center + affine.GetTranslation()
        self.folder.cleanup()
        return displacement_of(moved - points, warp)


def _from_zero(image: Any) -> Any:
    return image - image.min()
