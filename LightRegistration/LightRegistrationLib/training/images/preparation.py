"""Prepares real images for training: reads them, aligns them affinely to one of them, and caches the result."""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.affine.stage import align_affine
from ...core.errors import InputError
from ...core.geometry.volume import Volume
from ...core.network.grid import ShrunkImage, compute_network_grid, shrink
from ...core.network.intensity import IntensityNormalization
from ...core.network.settings import GridSettings
from ..data.image_files import read_image
from ..data.scans import Scan, image_stem
from .settings import ImageSettings

logger = logging.getLogger(__name__)

_VERSION = 2
"""Part of the key of a cache: to be raised when the same files and settings give another result."""


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan ready to be sampled: image (1, 1, d, h, w) fp16 in [0, 1], labels (d, h, w) or None, on their own grids.

    to_image, to_labels: 4x4, voxels (i, j, k, 1) of the training grid -> voxels of the image and of the labels.
    """

    subject: str
    image: Tensor
    labels: Tensor | None
    to_image: Tensor
    to_labels: Tensor


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """All scans of a source, aligned to the training grid (D, H, W), and the label values to use."""

    scans: tuple[PreparedScan, ...]
    structures: tuple[int, ...]
    shape: tuple[int, int, int]
    spacing_mm: float


def prepare_images(settings: ImageSettings, scans: Sequence[Scan], cache: Path, spacing_mm: float) -> PreparedImages:
    """Prepare the scans, or read them from the cache where settings and files are unchanged.

    Raises InputError, naming the file, for scans that cannot be used together.
    """
    file = cache / f"images_{_key(settings, scans, spacing_mm)}.pt"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _save(_prepare(scans, settings, spacing_mm), file)
    content = torch.load(file, weights_only=True)
    d, h, w = content["shape"]
    prepared = tuple(PreparedScan(**values) for values in content["scans"])
    return PreparedImages(prepared, tuple(content["structures"]), (d, h, w), content["spacing_mm"])


def _save(content: dict[str, Any], file: Path) -> None:
    """Write the file completely or not at all, also if several processes write it at once."""
    partial = file.with_suffix(f".partial{uuid.uuid4().hex}")
    try:
        torch.save(content, partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _prepare(scans: Sequence[Scan], settings: ImageSettings, spacing_mm: float) -> dict[str, Any]:
    normalization = settings.normalization()
    volumes = [read_image(scan.image) for scan in scans]
    labels = [
        None if scan.labels is None else _read_labels(scan, volume) for scan, volume in zip(scans, volumes, strict=True)
    ]
    structures = _common_structures(scans, labels, settings.structures)
    reference = _find_reference(scans, settings.reference)
    grid = compute_network_grid(volumes[reference].geometry, GridSettings(spacing_mm=spacing_mm, min_voxels=1))
    images = [
        _shrink(scan, volume, float(grid.spacing_mm[0]), normalization)
        for scan, volume in zip(scans, volumes, strict=True)
    ]
    prepared = []
    for n, (scan, volume, label_map, image) in enumerate(zip(scans, volumes, labels, images, strict=True)):
        matrix = np.eye(4) if n == reference else _align(volumes[reference], volume, scan, normalization)
        prepared.append(
            {
                "subject": scan.subject,
                "image": image.tensor.half(),
                "labels": None if label_map is None else torch.from_numpy(label_map),
                "to_image": torch.from_numpy(image.geometry.inverse_affine @ matrix @ grid.affine).float(),
                "to_labels": torch.from_numpy(volume.geometry.inverse_affine @ matrix @ grid.affine).float(),
            }
        )
    logger.info("prepared %d scans at %g mm, grid %s", len(scans), spacing_mm, grid.shape)
    return {"scans": prepared, "structures": structures, "shape": grid.shape, "spacing_mm": float(grid.spacing_mm[0])}


def _shrink(scan: Scan, volume: Volume, spacing_mm: float, normalization: IntensityNormalization) -> ShrunkImage:
    shrunk = shrink(volume, spacing_mm, normalization)
    if float(shrunk.tensor.max() - shrunk.tensor.min()) < 0.01:
        raise InputError(
            f"{scan.image}: it shows nothing with intensity = {normalization.kind}, {normalization.low:g} to "
            f"{normalization.high:g}; correct the intensity or leave the image out."
        )
    return shrunk


def _align(
    reference: Volume, volume: Volume, scan: Scan, normalization: IntensityNormalization
) -> NDArray[np.floating[Any]]:
    try:
        return align_affine(reference, volume, normalization).transform.matrix
    except InputError as error:
        raise InputError(f"{scan.image}: it cannot be aligned to {reference.name}; leave it out. {error}") from error


def _read_labels(scan: Scan, volume: Volume) -> NDArray[np.uint8]:
    assert scan.labels is not None
    labels = read_image(scan.labels)
    if labels.array.shape != volume.array.shape or not np.allclose(labels.affine, volume.affine, atol=1e-3):
        raise InputError(f"{scan.labels}: this label map does not have the grid of {scan.image.name}.")
    if not np.isin(labels.array, np.arange(256)).all():
        raise InputError(f"{scan.labels}: label values have to be whole numbers from 0 to 255.")
    return labels.array.astype(np.uint8)


def _common_structures(
    scans: Sequence[Scan], labels: Sequence[NDArray[np.uint8] | None], wanted: Sequence[int]
) -> list[int]:
    """The label values to use; InputError if a label map has none in common with the others (mixed label sets)."""
    found = [(s, set(np.unique(v).tolist()) - {0}) for s, v in zip(scans, labels, strict=True) if v is not None]
    counts = Counter(value for _, own in found for value in own)
    repeated = {value for value, count in counts.items() if count >= min(2, len(found))}
    chosen = set(wanted) or _largest_linked_set([own & repeated for _, own in found])
    for scan, own in found:
        if not own & chosen:
            raise InputError(
                f"{scan.labels}: none of its label values {sorted(own)[:8]} is among those of the other scans "
                f"{sorted(chosen)[:8]}; put label maps of different sets in different sources."
            )
    return sorted(chosen)


def _largest_linked_set(sets: Sequence[set[int]]) -> set[int]:
    """The largest union of sets that are linked by common values, directly or through other sets."""
    groups: list[set[int]] = []
    for own in filter(None, sets):
        touched = [group for group in groups if group & own]
        groups = [group for group in groups if not group & own] + [own.union(*touched)]
    return max(groups, key=lambda group: sum(bool(own & group) for own in sets), default=set())


def _find_reference(scans: Sequence[Scan], name: str) -> int:
    if not name:
        return 0
    found = [
        n
        for n, scan in enumerate(scans)
        if f"{scan.image.parent.as_posix()}/{image_stem(scan.image)}".endswith(f"/{name}")
    ]
    if len(found) != 1:
        number = "none" if not found else f"{len(found)}"
        raise InputError(
            f"{scans[0].image.parent}: reference = '{name}' names {number} of the images; give the name of one, "
            "without its ending, and with its folder where names repeat."
        )
    return found[0]


def _key(settings: ImageSettings, scans: Sequence[Scan], spacing_mm: float) -> str:
    files = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for scan in scans for p in scan.files]
    relevant = {k: v for k, v in asdict(settings).items() if k in ("structures", "reference", "intensity")}
    text = json.dumps([_VERSION, relevant, files, [s.subject for s in scans], spacing_mm], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
