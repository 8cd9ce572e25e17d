"""Transforms applied to a volume, a label map, a segmentation or a 4-D series."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.files.nifti_series import SeriesWriter, count_frames, iterate_frames, read_timing
from ...core.geometry.geometry import Geometry
from ...core.geometry.transforms import DisplacementField
from ...core.geometry.volume import Segmentation, Volume
from ...core.sampling.coordinates import PointMap
from ...core.sampling.resampling import resample_segmentation, resample_volume
from ...core.sampling.settings import Interpolation
from ...core.threads import limit_threads
from ...scene.files.file_checks import OnWarning
from ...scene.files.messages import capture_messages
from ...scene.files.saving import save_node, save_segmentation
from ...scene.files.segmentation_loading import load_segmentation
from ...scene.files.sequences import list_series_surplus
from ...scene.files.volume_loading import load_volume
from ...scene.nodes.removal import remove_new_nodes
from ...scene.nodes.segmentations import segmentation_from_node, segmentation_node_from_segmentation
from ...scene.nodes.transform_chain import TransformChain
from ...scene.nodes.volumes import volume_from_node, volume_node_from_volume
from .chain import check_inverse, check_reach, load_chain, load_reference, sample_grid
from .request import SEGMENTATION_SUFFIX, ApplyRequest

_SLAB_SLICES = 8
"""So many slices in the middle of a volume tell whether it is a label map."""


def apply_to_image(scene: Any, request: ApplyRequest, target: Path, on_warning: OnWarning) -> None:
    """Resample the input on the reference's grid and write it to `target`. Raises InputError."""
    chain = load_chain(scene, request, on_warning)
    geometry = load_reference(scene, request, on_warning)
    assert geometry is not None
    work = _Resampling(scene, request, chain, geometry, on_warning)
    with limit_threads(request.threads):
        if request.input.name.lower().endswith(SEGMENTATION_SUFFIX) or _is_segmentation(target):
            work.write_segmentation(target)
        elif count_frames(request.input) > 1:
            work.write_series(target)
        else:
            work.write_volume(request.input, target)


def _is_segmentation(path: Path) -> bool:
    return path.name.lower().endswith(SEGMENTATION_SUFFIX)


class _Resampling:
    """One input that is brought to the reference's grid."""

    def __init__(
        self, scene: Any, request: ApplyRequest, chain: TransformChain, geometry: Geometry, on_warning: OnWarning
    ) -> None:
        self._scene, self._request, self._chain, self._geometry = scene, request, chain, geometry
        self._on_warning = on_warning
        with capture_messages():
            check_reach(chain, request, sample_grid(geometry), "points of the reference", on_warning)
        self._point_map: DisplacementField | PointMap = chain.find_field() or chain.map_points
        if any(link.is_inverted for link in chain.links):
            with capture_messages():
                mapped = chain.map_points(sample_grid(geometry))
                check_inverse(chain, mapped, "points of the reference", on_warning)

    def write_volume(self, path: Path, target: Path) -> None:
        """Resample one volume; path: its file, the input or a frame of it."""
        interpolation = self._request.interpolation or Interpolation.LINEAR
        moving = self._load(path)
        if self._request.interpolation is None and _looks_like_labels(moving):
            self._on_warning(
                f"{self._request.input}: looks like a label map, but was interpolated linearly; add --interpolation "
                "nearest or label-smooth."
            )
        self._check_overlap(moving.geometry)
        with capture_messages():
            result = resample_volume(moving, self._point_map, self._geometry, interpolation)
        save_node(volume_node_from_volume(self._scene, result, "result"), target)

    def _load(self, path: Path) -> Volume:
        """Load a volume; errors and warnings name the input."""

        def name_input(line: str) -> str:
            return line.replace(str(path), str(self._request.input))

        try:
            node = load_volume(
                self._scene, path, may_be_constant=True, on_warning=lambda line: self._on_warning(name_input(line))
            )
        except InputError as error:
            raise InputError(name_input(str(error))) from error
        node.SetName(str(self._request.input))
        return volume_from_node(node)

    def write_series(self, target: Path) -> None:
        """Resample each frame of a 4-D series, one at a time."""
        if not target.name.lower().endswith((".nii", ".nii.gz")):
            raise InputError(f"{self._request.output}: a 4-D series is written as .nii or .nii.gz.")
        frames = count_frames(self._request.input)
        for line in list_series_surplus(self._request.input):
            self._on_warning(f"{self._request.input}: {line}.")
        with tempfile.TemporaryDirectory(prefix="light-registration-", dir=target.parent) as folder:
            source, result = Path(folder) / "frame.nii", Path(folder) / "result.nii"
            with SeriesWriter(target, read_timing(self._request.input), frames) as writer:
                for frame in iterate_frames(self._request.input, source):
                    with remove_new_nodes(self._scene):
                        self.write_volume(frame, result)
                    writer.append(result)

    def write_segmentation(self, target: Path) -> None:
        """Resample a segmentation; names and label values stay."""
        interpolation = self._request.interpolation or Interpolation.NEAREST
        if interpolation == Interpolation.LINEAR:
            raise InputError(f"{self._request.input}: labels are not interpolated linearly; use nearest, label-smooth.")
        node = load_segmentation(self._scene, self._request.input, on_warning=self._on_warning)
        moving = segmentation_from_node(node)
        self._check_overlap(moving.geometry)
        with capture_messages():
            result = resample_segmentation(moving, self._point_map, self._geometry, interpolation)
        save_segmentation(segmentation_node_from_segmentation(self._scene, result, "result", node), target)

    def _check_overlap(self, moving: Geometry) -> None:
        if not moving.contains(self._chain.map_points(sample_grid(self._geometry))).any():
            self._on_warning(
                f"{self._request.input}: no part of it comes to lie in the reference; check the order of the "
                "transforms, and which of them has to be inverted."
            )


def _looks_like_labels(volume: Volume) -> bool:
    """Tell whether the middle slices of a volume hold labels."""
    start = max(0, volume.array.shape[0] // 2 - _SLAB_SLICES // 2)
    try:
        labels = Segmentation.from_labels(volume.array[start : start + _SLAB_SLICES], volume.affine)
    except InputError:  # fractions, or a scan
        return False
    return bool(labels.segments)
