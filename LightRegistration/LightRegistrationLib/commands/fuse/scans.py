"""Reads labeled scans; their voxels are then kept in files, so that memory does not grow with their number."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.geometry.volume import Segmentation, Volume
from ...core.label_fusion.structures import LabelList, Structures, unify_structures
from ...core.sampling.warping import warp_segmentation
from ...scene.files.file_checks import OnWarning
from ...scene.files.segmentation_loading import read_segmentation
from ...scene.files.volume_loading import load_volume
from ...scene.nodes.removal import remove_new_nodes
from ...scene.nodes.segmentations import SegmentStyles, merge_layers, read_styles
from ...scene.nodes.volumes import volume_from_node
from ..register.inputs import check_right_angles
from .request import Atlas

NO_COMMON_STRUCTURE = "none of its structures is in another scan of the list; do equal names or values mean the same?"
OnScan = Callable[[int], None]
"""Called with the number of scans that have been read."""


@dataclass(frozen=True, eq=False)
class LabeledScan:
    """An atlas whose voxels are memory-mapped; its labels have one layer. digests: of the image and of the labels."""

    atlas: Atlas
    image: Volume
    labels: Segmentation
    digests: tuple[str, str]


@dataclass(frozen=True, eq=False)
class LabeledScans:
    """All scans, their structures, and the colors of these."""

    scans: tuple[LabeledScan, ...]
    structures: Structures
    styles: SegmentStyles

    def number_labels(self, index: int) -> Segmentation:
        """Return the labels of a scan as numbers of `structures`."""
        return self.structures.number_labels(index, self.scans[index].labels)

    def number_labels_on_image(self, index: int) -> NDArray:
        """Return the labels of a scan as numbers (k, j, i) on the grid of its volume."""
        labels, grid = self.number_labels(index), self.scans[index].image.geometry
        return (labels if labels.geometry.matches(grid) else warp_segmentation(labels, None, grid)).layers[0]

    def list_shown(self, index: int) -> NDArray[np.bool_]:
        """Return which structures a scan has, booleans (structures,)."""
        shown = np.zeros(len(self.structures.segments), bool)
        shown[np.array(self.structures.numbers[index], int) - 1] = True
        return shown

    def find_strangers(self) -> list[int]:
        """Find the scans none of whose structures another one has."""
        shown = np.array([self.list_shown(index) for index in range(len(self.scans))])
        is_shared = shown.sum(0) > 1
        return [index for index, own in enumerate(shown) if not is_shared[own].any()]

    def list_warnings(self, target: Volume | None = None) -> list[str]:
        """Return a line for each scan none of whose structures another one has, and for equal images.

        target: the volume that gets labels.
        """
        lines = [f"{self.scans[index].atlas.labels}: {NO_COMMON_STRUCTURE}" for index in self.find_strangers()]
        lines += [f"{first} and {second} are the same image; it counts twice." for first, second in self._list_equal()]
        if target is not None:
            own = hash_voxels(target.array)
            names = [scan.atlas.name for scan in self.scans if scan.digests[0] == own]
            lines += [f"The target is the image of the atlas {name}, whose labels it gets back." for name in names]
        return lines

    def _list_equal(self) -> list[tuple[str, str]]:
        pairs = combinations(self.scans, 2)
        return [(a.atlas.name, b.atlas.name) for a, b in pairs if a.digests[0] == b.digests[0]]


def read_target(scene: Any, path: Path, on_warning: OnWarning) -> Volume:
    """Read the volume that gets labels. Raises InputError, naming the file."""
    with remove_new_nodes(scene):
        volume = volume_from_node(load_volume(scene, path, on_warning=on_warning))
        check_right_angles(volume, path, "target")
        return replace(volume, array=np.array(volume.array), name=path.name)


def read_scans(
    scene: Any, atlases: Sequence[Atlas], folder: Path, on_warning: OnWarning, on_scan: OnScan
) -> LabeledScans:
    """Read all scans and write their voxels into the folder. Raises InputError, naming the file, for a mistake."""
    scans: list[LabeledScan] = []
    styles: SegmentStyles = {}
    for number, atlas in enumerate(atlases):
        with remove_new_nodes(scene):
            scans.append(_read_scan(scene, atlas, folder / str(number), styles, on_warning))
        on_scan(number + 1)
    _check_repeated(scans)
    lists = [LabelList(str(scan.atlas.labels), scan.labels.segments) for scan in scans]
    return LabeledScans(tuple(scans), unify_structures(lists), styles)


def _check_repeated(scans: Sequence[LabeledScan]) -> None:
    """Raise InputError for an image that is listed twice with the same labels, under other names or paths."""
    for first, second in combinations(scans, 2):
        if first.digests == second.digests:
            raise InputError(
                f"{first.atlas.name} and {second.atlas.name} are the same image with the same labels, which would "
                "count twice; leave one out."
            )


def hash_voxels(array: NDArray) -> str:
    """Return a hash of voxels."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _read_scan(scene: Any, atlas: Atlas, folder: Path, styles: SegmentStyles, on_warning: OnWarning) -> LabeledScan:
    folder.mkdir()
    image = volume_from_node(load_volume(scene, atlas.image, on_warning=on_warning))
    labels, node = read_segmentation(scene, atlas.labels, on_warning=on_warning)
    if node is None and not labels.geometry.matches(image.geometry):
        raise InputError(
            f"{atlas.labels}: the label map is not on the grid of its volume, {atlas.image.name}; resample it first "
            "(light-registration apply, or another program)."
        )
    if node is not None:
        for name, style in read_styles(node).items():
            styles.setdefault(name, style)
    if len(labels.layers) > 1:
        on_warning(f"{atlas.labels}: structures overlap; where they do, the later one is used.")
        labels = merge_layers(labels)
    return LabeledScan(
        atlas,
        replace(image, array=map_array(image.array, folder / "image.npy"), name=atlas.name),
        replace(labels, layers=(map_array(labels.layers[0], folder / "labels.npy"),), name=str(atlas.labels)),
        (hash_voxels(image.array), hash_voxels(labels.layers[0])),
    )


def map_array(array: NDArray, path: Path) -> NDArray:
    """Write an array to a file and return it memory-mapped. Raises OSError if it cannot be written."""
    try:
        np.save(path, array)
    except OSError as error:
        if error.errno is not None:
            raise
        # NumPy says only how much of it was written.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    return np.asarray(np.load(path, mmap_mode="r"))
