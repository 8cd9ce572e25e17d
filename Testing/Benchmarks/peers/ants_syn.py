"""ANTs SyN through ANTsPy."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ants
import SimpleITK as sitk

from LightRegistrationLib.core.geometry.transforms import DisplacementField

from .fields import itk_affine, matrix_of, matrix_of_itk, warp_then_affine
from .method import RunDefaults, Start


class Ants(RunDefaults):
    """`ants.registration` with some options: its affine stage included, or from our affine map."""

    def __init__(
        self, fixed: Path, moving: Path, threads: int, start: Start | None, options: Mapping[str, Any]
    ) -> None:
        # The center of mass, where ANTs starts, means nothing if air counts -1000.
        self.target, self.source = (_from_zero(ants.image_read(str(file))) for file in (fixed, moving))
        self.options = dict(options)
        self.folder = tempfile.TemporaryDirectory()
        if start is not None:
            file = str(Path(self.folder.name) / "start.mat")
            sitk.WriteTransform(itk_affine(matrix_of(start)), file)
            self.options["initial_transform"] = file
        self.add_time_of(start)

    def register(self) -> None:
        prefix = str(Path(self.folder.name) / "found_")
        found = ants.registration(self.target, self.source, outprefix=prefix, **self.options)
        self.transforms = found["fwdtransforms"]

    def field(self) -> DisplacementField:
        """Of the point x + w(x) the affine image: the transforms pull the moving image in the order of their list."""
        warp_file, affine_file = self.transforms
        warp = sitk.ReadImage(warp_file, sitk.sitkVectorFloat64)
        matrix = matrix_of_itk(sitk.AffineTransform(sitk.ReadTransform(affine_file)))
        self.folder.cleanup()
        return warp_then_affine(sitk.GetArrayViewFromImage(warp), matrix, warp)


def _from_zero(image: Any) -> Any:
    return image - image.min()
