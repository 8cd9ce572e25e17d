"""deeds (2013) through the extension module of quantiphyse-deeds, on the fixed volume's grid."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import distribution
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.transforms import DisplacementField

from .fields import matrix_of, resampled_pair, voxels_then_affine
from .method import RunDefaults, Start


class Deeds(RunDefaults):
    """It has no affine stage: the moving volume is resampled onto the fixed grid, as loaded or through our affine."""

    def __init__(
        self, fixed: Path, moving: Path, threads: int, start: Start | None, options: Mapping[str, Any]
    ) -> None:
        self.deeds = _load_extension()
        self.target, self.source = (sitk.ReadImage(str(file), sitk.sitkFloat32) for file in (fixed, moving))
        self.options, self.matrix = options, matrix_of(start)
        self.add_time_of(start)

    def register(self) -> None:
        target, source = resampled_pair(self.target, self.source, self.matrix)
        # The arrays' first axis is i there.
        _, self.shift, _ = self.deeds.deedsReg(source.T, target.T, **self.options)

    def field(self) -> DisplacementField:
        """deeds' u lies along the second axis, v along the first one."""
        along_j, along_i, along_k = (np.asarray(component).T for component in self.shift)
        return voxels_then_affine(np.stack([along_k, along_j, along_i], axis=-1), self.matrix, self.target)


def _load_extension() -> Any:
    """Load the compiled module alone: the package around it needs the Qt of Quantiphyse."""
    package = distribution("quantiphyse-deeds")
    for file in package.files or ():
        if file.name.startswith("deeds_wrapper.") and file.suffix in (".so", ".pyd"):
            return _load(Path(str(package.locate_file(file))))
    raise InputError("quantiphyse-deeds is installed without its compiled module.")


def _load(file: Path) -> Any:
    spec = spec_from_file_location("quantiphyse_deeds.deeds_wrapper", file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file}: cannot be loaded.")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
