"""Greedy through picsl-greedy: an affine stage, then the deformable one; both on local normalized correlation."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from picsl_greedy import Greedy3D

from LightRegistrationLib.core.geometry.transforms import DisplacementField

from .fields import TO_RAS, warp_then_affine
from .method import RunDefaults, Start


class Greedy(RunDefaults):
    """Two calls of Greedy, or from our affine map the second one alone."""

    def __init__(
        self, fixed: Path, moving: Path, threads: int, start: Start | None, options: Mapping[str, Any]
    ) -> None:
        self.target, self.source = (sitk.ReadImage(str(file), sitk.sitkFloat32) for file in (fixed, moving))
        self.common = f"-threads {threads} -V 0 -i target source"
        self.options = options
        self.folder = tempfile.TemporaryDirectory()
        self.matrix_file = Path(self.folder.name) / "affine.mat"
        self.has_start = start is not None
        if start is not None:
            np.savetxt(self.matrix_file, start.transform.matrix, fmt="%.17g")
        self.add_time_of(start)

    def register(self) -> None:
        if not self.has_start:
            self._run(f"{self.options['affine']} -o {self.matrix_file}")
        self.warp = self._run(f"{self.options['deformable']} -it {self.matrix_file} -o warp", warp=None)["warp"]

    def _run(self, options: str, **outputs: None) -> Any:
        greedy = Greedy3D()
        greedy.execute(f"{self.common} {options}", target=self.target, source=self.source, **outputs)
        return greedy

    def field(self) -> DisplacementField:
        """Of the point x + w(x) the affine image, as `greedy -r warp affine` pulls."""
        matrix = TO_RAS @ np.loadtxt(self.matrix_file) @ TO_RAS
        self.folder.cleanup()
        return warp_then_affine(sitk.GetArrayFromImage(self.warp).astype(float), matrix, self.target)
