"""From files to an atlas and what is learned for it: scans aligned affinely to the atlas, transforms cached."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ...core.affine.stage import align_affine
from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray, Geometry
from ...core.geometry.volume import Segmentation, Volume
from ...core.network.flows import sample
from ...core.network.grid import compute_affine_coordinates, compute_network_grid, shrink
from ...core.network.intensity import IntensityNormalization
from ...core.network.settings import GridSettings
from ...core.sampling.warping import warp_segmentation
from ..data.scans import read_image
from ..state import first_line
from .learning import AtlasTransforms, LearningSettings, learn_transforms
from .networks import AlignedScan, Atlas

logger = logging.getLogger(__name__)

METHOD = 1
"""To be raised when a change of the code makes the transforms in a cache outdated."""


@dataclass(frozen=True)
class AtlasFiles:
    """The labeled image, its label map, and the unlabeled scans."""

    image: Path
    labels: Path
    scans: tuple[Path, ...]

    @classmethod
    def find(cls, data: Path, atlas: str, atlas_labels: str, scans: str, skip: str) -> AtlasFiles:
        """Look for the files below the data folder; InputError names the key whose files are missing."""
        image, labels = data / atlas, data / atlas_labels
        for key, path in (("atlas", image), ("atlas_labels", labels)):
            if not path.is_file():
                raise InputError(f"{path}: there is no such file; check the key '{key}' of the source.")
        skipped = {image, labels, *(data.glob(skip) if skip else ())}
        found = tuple(path for path in sorted(data.glob(scans)) if path not in skipped)
        if len(found) < 2:
            raise InputError(f"{data}: {len(found)} files match scans = '{scans}'; an atlas needs at least two scans.")
        return cls(image, labels, found)


@dataclass(frozen=True, eq=False)
class PreparedAtlas:
    """The atlas on its training grid, the label values to use, and what is known of n scans.

    views: (n, 1, D, H, W), booleans, where each scan and the atlas have voxels. Raises ValueError for fewer than two
    scans, views of another number or shape, or no structure.
    """

    atlas: Atlas
    structures: tuple[int, ...]
    spacing_mm: float
    transforms: AtlasTransforms
    views: Tensor

    def __post_init__(self) -> None:
        count = len(self.transforms.flows)
        if count < 2 or not self.structures:
            raise ValueError(f"an atlas needs two scans and a structure, got {count} and {len(self.structures)}")
        if self.views.shape != (count, 1, *self.atlas.shape):
            raise ValueError(f"views have to be {(count, 1, *self.atlas.shape)}, got {tuple(self.views.shape)}")


def prepare_atlas(
    files: AtlasFiles,
    rule: IntensityNormalization,
    settings: LearningSettings,
    structures: Sequence[int],
    cache: Path,
    spacing_mm: float,
) -> PreparedAtlas:
    """Bring everything onto an isotropic grid around the atlas and learn the transforms, or take them from the cache.

    Beyond the field of view of an image its outermost voxels are repeated, and nothing is matched there: an edge would
    be taken for anatomy, and g would bend the atlas to where the scans end.
    structures: label values; all that the atlas shows if empty. The spacing may grow by up to 6 %. Raises InputError
    that names the file.
    """
    image = _read(files.image)
    grid = compute_network_grid(image.geometry, GridSettings(spacing_mm=spacing_mm, min_voxels=1))
    tensor, view = _on_grid(image, grid, np.eye(4), rule)
    labels, shown = _labels(files.labels, grid, structures)
    atlas = Atlas(tensor, labels)
    folder = cache / f"atlas_{_key(files, rule, settings, spacing_mm)}"
    file = folder / "transforms.safetensors"
    if not file.exists():
        aligned = [_aligned(path, image, grid, rule) for path in files.scans]
        scans = [AlignedScan(scan, inside & view) for scan, inside in aligned]
        _make(folder)
        learned = learn_transforms(atlas, scans, settings, folder)
        _save(learned, torch.cat([scan.view for scan in scans]), file)
    transforms, views = _load(file)
    return PreparedAtlas(atlas, shown, float(grid.spacing_mm[0]), transforms, views)


def _read(path: Path) -> Volume:
    volume = read_image(path)
    if (volume.array == volume.array.flat[0]).all():
        raise InputError(f"{path}: all voxels have the same value; leave this image out.")
    return volume


def _labels(path: Path, grid: Geometry, structures: Sequence[int]) -> tuple[Tensor, tuple[int, ...]]:
    """The label map on the grid, (1, 1, D, H, W), and the values to use."""
    volume = read_image(path)
    labels = warp_segmentation(Segmentation.from_labels(volume.array, volume.affine, str(path)), None, grid)
    array = labels.layers[0].astype(np.int32)
    shown = sorted(set(np.unique(array).tolist()) - {0})
    missing = [value for value in structures if value not in shown]
    if missing or not shown:
        what = f"the label values {missing[:8]}" if missing else "any structure"
        raise InputError(f"{path}: it does not show {what} where the atlas is; check the file and 'structures'.")
    return torch.from_numpy(array)[None, None], tuple(sorted(structures) or shown)


def _aligned(path: Path, atlas: Volume, grid: Geometry, rule: IntensityNormalization) -> tuple[Tensor, Tensor]:
    """A scan on the atlas's grid, and where it has voxels."""
    volume = _read(path)
    try:
        matrix = align_affine(atlas, volume, rule).transform.matrix
    except InputError as error:
        raise InputError(f"{path}: cannot be aligned to the atlas. {error}") from error
    return _on_grid(volume, grid, matrix, rule)


def _on_grid(volume: Volume, grid: Geometry, matrix: FloatArray, rule: IntensityNormalization) -> tuple[Tensor, Tensor]:
    """A volume where the matrix (4x4, RAS mm) takes the grid, (1, 1, D, H, W) in [0, 1], and its field of view."""
    shrunk = shrink(volume, float(grid.spacing_mm[0]), rule)
    coordinates = compute_affine_coordinates(grid, shrunk.geometry, matrix)
    inside = sample(torch.ones_like(shrunk.tensor), coordinates, padding="zeros") > 0.5
    return sample(shrunk.tensor, coordinates), inside


def _key(files: AtlasFiles, rule: IntensityNormalization, settings: LearningSettings, spacing_mm: float) -> str:
    """A hash of all that the transforms depend on; of the settings only those of learning."""
    learning = {f.name: getattr(settings, f.name) for f in fields(LearningSettings)}
    contents = [_sha256(path) for path in (files.image, files.labels, *files.scans)]
    text = json.dumps([METHOD, learning, asdict(rule), spacing_mm, contents], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: this folder cannot be made ({error.strerror}).") from error


def _save(transforms: AtlasTransforms, views: Tensor, path: Path) -> None:
    """Write aside and move into place, so that whoever finds the file finds it whole."""
    partial = path.with_suffix(f".partial{os.getpid()}")
    try:
        partial.write_bytes(save({"flows": transforms.flows, "changes": transforms.changes, "views": views}))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({first_line(error)}); free disk space and run again.") from error


def _load(path: Path) -> tuple[AtlasTransforms, Tensor]:
    """The transforms and the fields of view of the scans."""
    try:
        tensors = load_file(path)
        transforms, views = AtlasTransforms(tensors["flows"], tensors["changes"]), tensors["views"]
    except (OSError, KeyError, SafetensorError) as error:
        raise InputError(f"{path}: this file is damaged; delete it and it is made anew.") from error
    logger.info("transforms of %d scans in %s", len(views), path)
    return transforms, views
