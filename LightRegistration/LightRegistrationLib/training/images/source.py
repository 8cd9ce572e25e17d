"""Real images as training material: read, aligned affinely to one of them, and drawn in pairs."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.affine.stage import align_affine
from ...core.errors import InputError
from ...core.geometry.volume import Volume
from ...core.network.flows import sample, voxel_grid
from ...core.network.grid import GridSettings, ShrunkImage, compute_network_grid, shrink
from ...core.network.intensity import IntensityNormalization
from ..data.augmentation import bias_field, cut_field_of_view, elastic_flow, random_gamma, random_matrix, uniform
from ..data.pairs import Pair
from ..data.scans import Scan, image_stem, read_image

if TYPE_CHECKING:
    from ..sources import ImageSourceConfig

logger = logging.getLogger(__name__)

_VERSION = 2
"""Counts what is kept of a scan, so that a cache of an older program is not taken for one of this."""


@dataclass(frozen=True)
class ImageVariation:
    """Ranges of what is drawn at random for each pair; lengths in mm, angles in degrees, the rest is a fraction.

    residual_*: what is left of the affine alignment, for the moving image alone. flip: chance that both images are
    mirrored, left to right (label values that stand for sides would be wrong then). cut: chance that an image loses up
    to a fifth of its field of view. gamma: intensities to a power between 2^-gamma and 2^gamma.
    """

    rotation: float = 8.0
    scaling: float = 0.1
    shift_mm: float = 4.0
    residual_rotation: float = 3.0
    residual_scaling: float = 0.04
    residual_shift_mm: float = 2.0
    elastic_mm: float = 2.0
    node_mm: float = 32.0
    noise: float = 0.02
    bias: float = 0.1
    gamma: float = 0.2
    cut: float = 0.1
    flip: float = 0.0

    def __post_init__(self) -> None:
        largest = {"scaling": 0.5, "residual_scaling": 0.5, "cut": 1.0, "flip": 1.0}
        for name, value in asdict(self).items():
            if not 0 <= value <= largest.get(name, math.inf):
                raise ValueError(f"{name} has to be 0 or more, and not above {largest.get(name, 'any limit')}")
        if self.node_mm == 0:
            raise ValueError("node_mm has to be positive")


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan ready to be drawn from: image (1, 1, d, h, w) fp16 in [0, 1], labels (d, h, w) or None, on own grids.

    to_image, to_labels: 4x4, voxels (i, j, k, 1) of the training grid -> voxels of the image and of the labels.
    """

    subject: str
    image: Tensor
    labels: Tensor | None
    to_image: Tensor
    to_labels: Tensor


class ImageSource:
    """Draws pairs of real images, aligned affinely, each in a random pose and elastic deformation.

    The labels of a pair are one-hot in the order of `structures`; a structure that a scan lacks is 0 everywhere.
    """

    def __init__(
        self,
        scans: Sequence[PreparedScan],
        structures: Sequence[int],
        shape: tuple[int, int, int],
        spacing_mm: float,
        pairs: str,
        variation: ImageVariation,
    ) -> None:
        self.scans = tuple(scans)
        self.structures = tuple(structures)
        self.shape = shape
        self.spacing_mm = spacing_mm
        self.variation = variation
        self.partners = _partners([scan.subject for scan in scans], pairs)

    @classmethod
    def open(cls, config: ImageSourceConfig, scans: Sequence[Scan], cache: Path, spacing_mm: float) -> ImageSource:
        """Prepare the scans, or take them from the cache where settings and files are still the same."""
        rule = IntensityNormalization(**config.intensity)
        partners = _partners([scan.subject for scan in scans], config.pairs)
        if not any(partners):
            raise InputError(f"{scans[0].image.parent}: no two scans make a pair with pairs = '{config.pairs}'.")
        file = cache / f"images_{_key(config, scans, spacing_mm)}.pt"
        if not file.exists():
            cache.mkdir(parents=True, exist_ok=True)
            _save(_prepare(scans, config, rule, spacing_mm), file)
        content = torch.load(file, weights_only=True)
        prepared = [PreparedScan(**values) for values in content["scans"]]
        d, h, w = content["shape"]
        return cls(prepared, content["structures"], (d, h, w), content["spacing_mm"], config.pairs, config.variation)

    def draw(self, generator: torch.Generator) -> Pair:
        """Draw a pair and show it in a random pose."""
        v = self.variation
        candidates = [n for n, partners in enumerate(self.partners) if partners]
        first = candidates[int(torch.randint(len(candidates), (), generator=generator))]
        partners = self.partners[first]
        second = partners[int(torch.randint(len(partners), (), generator=generator))]
        pose = random_matrix(v.rotation, v.scaling, v.shift_mm, generator)
        residual = random_matrix(v.residual_rotation, v.residual_scaling, v.residual_shift_mm, generator)
        if uniform(generator) < v.flip:
            pose = pose @ torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
        fixed = self._show(self.scans[first], pose, generator)
        moving = self._show(self.scans[second], pose @ residual, generator)
        return Pair(fixed[0], moving[0], fixed[1], moving[1], fixed[2], moving[2])

    def _show(
        self, scan: PreparedScan, pose: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the network sees, the image without noise, and the one-hot labels."""
        v = self.variation
        points = self._points(pose, generator)
        clean = _sample_at(scan.image.float(), scan.to_image, points)
        seen = random_gamma(clean, v.gamma, generator) * bias_field(self.shape, v.bias, generator)
        seen = seen + v.noise * uniform(generator) * torch.randn(clean.shape, generator=generator)
        seen = cut_field_of_view(seen.clamp(0, 1), v.cut, 0.2, generator)
        if not self.structures:
            return seen, clean, None
        if scan.labels is None:
            return seen, clean, torch.zeros(1, len(self.structures), *self.shape)
        one_hot = torch.stack([scan.labels == value for value in self.structures]).float()[None]
        return seen, clean, _sample_at(one_hot, scan.to_labels, points)

    def _points(self, pose: Tensor, generator: torch.Generator) -> Tensor:
        """Where each voxel of the grid looks, (1, 3, D, H, W) in voxels of the grid."""
        grid = voxel_grid(self.shape, torch.device("cpu"))
        center = ((torch.tensor(self.shape[::-1], dtype=torch.float32) - 1) / 2).view(1, 3, 1, 1, 1)
        moved = torch.einsum("ab,nbdhw->nadhw", pose[:3, :3], grid - center)
        shift = (pose[:3, 3] / self.spacing_mm).view(1, 3, 1, 1, 1)
        return (
            moved
            + shift
            + center
            + elastic_flow(self.shape, self.spacing_mm, self.variation.elastic_mm, self.variation.node_mm, generator)
        )


def _sample_at(image: Tensor, matrix: Tensor, points: Tensor) -> Tensor:
    coordinates = torch.einsum("ab,nbdhw->nadhw", matrix[:3, :3], points) + matrix[:3, 3].view(1, 3, 1, 1, 1)
    return sample(image, coordinates, padding="zeros")


def _partners(subjects: Sequence[str], pairs: str) -> list[list[int]]:
    """For each scan the scans that make a pair with it."""
    count = range(len(subjects))
    if pairs == "self":
        return [[n] for n in count]
    same = pairs == "within"
    return [[m for m in count if m != n and (subjects[m] == subjects[n]) == same] for n in count]


def _save(content: dict[str, Any], file: Path) -> None:
    """Write a file as a whole or not at all, whoever else is writing the same."""
    partial = file.with_suffix(f".partial{uuid.uuid4().hex}")
    try:
        torch.save(content, partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _prepare(
    scans: Sequence[Scan], config: ImageSourceConfig, rule: IntensityNormalization, spacing_mm: float
) -> dict[str, Any]:
    volumes = [read_image(scan.image) for scan in scans]
    labels = [
        None if scan.labels is None else _read_labels(scan, volume) for scan, volume in zip(scans, volumes, strict=True)
    ]
    structures = _common_structures(scans, labels, config.structures)
    reference = _reference(scans, config.reference)
    grid = compute_network_grid(volumes[reference].geometry, GridSettings(spacing_mm=spacing_mm, min_voxels=1))
    shrinks = [
        _shrunk(scan, volume, float(grid.spacing_mm[0]), rule) for scan, volume in zip(scans, volumes, strict=True)
    ]
    prepared = []
    for n, (scan, volume, value, shrunk) in enumerate(zip(scans, volumes, labels, shrinks, strict=True)):
        matrix = np.eye(4) if n == reference else _aligned(volumes[reference], volume, scan, rule)
        prepared.append(
            {
                "subject": scan.subject,
                "image": shrunk.tensor.half(),
                "labels": None if value is None else torch.from_numpy(value),
                "to_image": torch.from_numpy(shrunk.geometry.inverse_affine @ matrix @ grid.affine).float(),
                "to_labels": torch.from_numpy(volume.geometry.inverse_affine @ matrix @ grid.affine).float(),
            }
        )
    logger.info("prepared %d scans at %g mm, grid %s", len(scans), spacing_mm, grid.shape)
    return {"scans": prepared, "structures": structures, "shape": grid.shape, "spacing_mm": float(grid.spacing_mm[0])}


def _shrunk(scan: Scan, volume: Volume, spacing_mm: float, rule: IntensityNormalization) -> ShrunkImage:
    shrunk = shrink(volume, spacing_mm, rule)
    if float(shrunk.tensor.max() - shrunk.tensor.min()) < 0.01:
        raise InputError(
            f"{scan.image}: it shows nothing with intensity = {rule.kind}, {rule.low:g} to {rule.high:g}; correct the "
            "intensity or leave the image out."
        )
    return shrunk


def _aligned(reference: Volume, volume: Volume, scan: Scan, rule: IntensityNormalization) -> NDArray[np.floating[Any]]:
    try:
        return align_affine(reference, volume, rule).transform.matrix
    except InputError as error:
        raise InputError(f"{scan.image}: it cannot be aligned to {reference.name}; leave it out. {error}") from error


def _read_labels(scan: Scan, volume: Volume) -> NDArray[np.uint8]:
    assert scan.labels is not None
    labels = read_image(scan.labels)
    if labels.array.shape != volume.array.shape or not np.allclose(labels.affine, volume.affine, atol=1e-3):
        raise InputError(f"{scan.labels}: this label map does not lie on the grid of {scan.image.name}.")
    if not np.isin(labels.array, np.arange(256)).all():
        raise InputError(f"{scan.labels}: whole numbers from 0 to 255 are needed as label values.")
    return labels.array.astype(np.uint8)


def _common_structures(
    scans: Sequence[Scan], labels: Sequence[NDArray[np.uint8] | None], wanted: Sequence[int]
) -> list[int]:
    """The label values to use; InputError if a label map shares none with the others (mixed label sets)."""
    found = [(s, set(np.unique(v).tolist()) - {0}) for s, v in zip(scans, labels, strict=True) if v is not None]
    counts = Counter(value for _, own in found for value in own)
    repeated = {value for value, count in counts.items() if count >= min(2, len(found))}
    chosen = set(wanted) or _linked([own & repeated for _, own in found])
    for scan, own in found:
        if not own & chosen:
            raise InputError(
                f"{scan.labels}: none of its label values {sorted(own)[:8]} is among those of the other scans "
                f"{sorted(chosen)[:8]}; put label maps of different sets in different sources."
            )
    return sorted(chosen)


def _linked(sets: Sequence[set[int]]) -> set[int]:
    """The largest group of values in which each set shares a value with another one, directly or through others."""
    groups: list[set[int]] = []
    for own in filter(None, sets):
        touched = [group for group in groups if group & own]
        groups = [group for group in groups if not group & own] + [own.union(*touched)]
    return max(groups, key=lambda group: sum(bool(own & group) for own in sets), default=set())


def _reference(scans: Sequence[Scan], name: str) -> int:
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


def _key(config: ImageSourceConfig, scans: Sequence[Scan], spacing_mm: float) -> str:
    files = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for scan in scans for p in scan.files]
    relevant = {k: v for k, v in asdict(config).items() if k in ("structures", "reference", "intensity")}
    text = json.dumps([_VERSION, relevant, files, [s.subject for s in scans], spacing_mm], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
