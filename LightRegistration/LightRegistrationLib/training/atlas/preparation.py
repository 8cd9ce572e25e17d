"""Prepares an atlas: reads its files, aligns the scans to it, learns the transforms, and caches them."""

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
from ...core.files.plain_file import hash_file
from ...core.geometry.geometry import FloatArray, Geometry
from ...core.geometry.volume import Segmentation, Volume
from ...core.network.flows import sample
from ...core.network.grid import compute_affine_coordinates, compute_network_grid, shrink
from ...core.network.intensity import IntensityNormalization
from ...core.network.settings import GridSettings
from ...core.sampling.warping import warp_segmentation
from ..data.image_files import read_image
from ..state import first_line
from .learning import AtlasTransforms, LearningSettings, learn_transforms
from .networks import AlignedScan, Atlas

logger = logging.getLogger(__name__)

METHOD = 1
"""Part of the key of a cache: to be raised when a change of the code gives other transforms."""


@dataclass(frozen=True)
class AtlasFiles:
    """The labeled image, its label map, and the unlabeled scans."""

    image: Path
    labels: Path
    scans: tuple[Path, ...]

    @classmethod
    def find(cls, data: Path, atlas: str, atlas_labels: str, scans: str, skip: str) -> AtlasFiles:
        """Find the files below the data folder; InputError names the key whose files are missing."""
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
    """The atlas on its training grid, the label values to use, and the transforms of n scans.

    fields_of_view: (n, 1, D, H, W), booleans, where both the scan and the atlas have voxels. Raises ValueError for
    fewer than two scans, fields of view of another number or shape, or no structure.
    """

    atlas: Atlas
    structures: tuple[int, ...]
    spacing_mm: float
    transforms: AtlasTransforms
    fields_of_view: Tensor

    def __post_init__(self) -> None:
        count = len(self.transforms.flows)
        if count < 2 or not self.structures:
            raise ValueError(f"an atlas needs two scans and a structure, got {count} and {len(self.structures)}")
        expected = (count, 1, *self.atlas.shape)
        if self.fields_of_view.shape != expected:
            raise ValueError(f"fields_of_view has to be {expected}, got {tuple(self.fields_of_view.shape)}")


def prepare_atlas(
    files: AtlasFiles,
    normalization: IntensityNormalization,
    settings: LearningSettings,
    structures: Sequence[int],
    cache: Path,
    spacing_mm: float,
) -> PreparedAtlas:
    """Resample all images to an isotropic grid around the atlas and learn the transforms, or read them from the cache.

    Outside the field of view of an image its outermost voxels are repeated, and the losses are not computed there:
    otherwise g would treat the border as anatomy and deform the atlas to fit it.
    structures: label values; all of the atlas if empty. The spacing of the grid is up to 6 % larger than requested.
    Raises InputError that names the file.
    """
    image = _read_scan(files.image)
    grid = compute_network_grid(image.geometry, GridSettings(spacing_mm=spacing_mm, min_voxels=1))
    tensor, field_of_view = _resample(image, grid, np.eye(4), normalization)
    labels, values = _read_labels(files.labels, grid, structures)
    atlas = Atlas(tensor, labels)
    folder = cache / f"atlas_{_key(files, normalization, settings, spacing_mm)}"
    file = folder / "transforms.safetensors"
    if not file.exists():
        _make_folder(folder)
        aligned = [_align(path, image, grid, normalization) for path in files.scans]
        scans = [AlignedScan(scan, inside & field_of_view) for scan, inside in aligned]
        learned = learn_transforms(atlas, scans, settings, folder)
        _save(learned, torch.cat([scan.field_of_view for scan in scans]), file)
    transforms, fields_of_view = _load(file)
    return PreparedAtlas(atlas, values, float(grid.spacing_mm[0]), transforms, fields_of_view)


def _read_scan(path: Path) -> Volume:
    volume = read_image(path)
    if (volume.array == volume.array.flat[0]).all():
        raise InputError(f"{path}: all voxels have the same value; leave this image out.")
    return volume


def _read_labels(path: Path, grid: Geometry, structures: Sequence[int]) -> tuple[Tensor, tuple[int, ...]]:
    """The label map on the grid, (1, 1, D, H, W), and the values to use."""
    volume = read_image(path)
    labels = warp_segmentation(Segmentation.from_labels(volume.array, volume.affine, str(path)), None, grid)
    array = labels.layers[0].astype(np.int32)
    present = sorted(set(np.unique(array).tolist()) - {0})
    missing = [value for value in structures if value not in present]
    if missing or not present:
        what = f"the label values {missing[:8]}" if missing else "any structure"
        raise InputError(f"{path}: it does not have {what} on the grid of the atlas; check the file and 'structures'.")
    return torch.from_numpy(array)[None, None], tuple(sorted(structures) or present)


def _align(path: Path, atlas: Volume, grid: Geometry, normalization: IntensityNormalization) -> tuple[Tensor, Tensor]:
    """A scan on the grid of the atlas, and its field of view; see `_resample`."""
    volume = _read_scan(path)
    try:
        matrix = align_affine(atlas, volume, normalization).transform.matrix
    except InputError as error:
        raise InputError(f"{path}: cannot be aligned to the atlas. {error}") from error
    return _resample(volume, grid, matrix, normalization)


def _resample(
    volume: Volume, grid: Geometry, matrix: FloatArray, normalization: IntensityNormalization
) -> tuple[Tensor, Tensor]:
    """Resample a volume at the points of the grid mapped by the matrix (4x4, RAS mm).

    Returns the image (1, 1, D, H, W) in [0, 1] and its field of view, booleans.
    """
    shrunk = shrink(volume, float(grid.spacing_mm[0]), normalization)
    coordinates = compute_affine_coordinates(grid, shrunk.geometry, matrix)
    inside = sample(torch.ones_like(shrunk.tensor), coordinates, padding="zeros") > 0.5
    return sample(shrunk.tensor, coordinates), inside


def _key(
    files: AtlasFiles, normalization: IntensityNormalization, settings: LearningSettings, spacing_mm: float
) -> str:
    """A hash of everything that the transforms depend on: of the settings only the LearningSettings."""
    learning = {f.name: getattr(settings, f.name) for f in fields(LearningSettings)}
    contents = [hash_file(path) for path in (files.image, files.labels, *files.scans)]
    text = json.dumps([METHOD, learning, asdict(normalization), spacing_mm, contents], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: this folder cannot be made ({error.strerror}).") from error


def _save(transforms: AtlasTransforms, fields_of_view: Tensor, path: Path) -> None:
    """Write a temporary file and move it into place, so that an existing file is always complete."""
    partial = path.with_suffix(f".partial{os.getpid()}")
    try:
        tensors = {"flows": transforms.flows, "changes": transforms.changes, "views": fields_of_view}
        partial.write_bytes(save(tensors))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({first_line(error)}); free disk space and run again.") from error


def _load(path: Path) -> tuple[AtlasTransforms, Tensor]:
    """The transforms and the fields of view of the scans."""
    try:
        tensors = load_file(path)
        transforms, fields_of_view = AtlasTransforms(tensors["flows"], tensors["changes"]), tensors["views"]
    except (OSError, KeyError, SafetensorError) as error:
        raise InputError(f"{path}: this file is damaged; delete it and run again to compute it.") from error
    logger.info("transforms of %d scans in %s", len(fields_of_view), path)
    return transforms, fields_of_view
