"""Label fusion of atlases that are already on the target's grid; memory does not grow with their number.

Arrays of the atlases may be memory-mapped: one is read at a time, or small parts of all. What is kept of each atlas
(weights, votes) lies in a folder too.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from torch import Tensor

from ..threads import run_in_threads, split_range
from .joint_weights import compute_joint_weights
from .settings import FusionMethod, FusionSettings
from .voting import compute_support, elect, find_disputed_voxels

OnFraction = Callable[[float], None]
"""Called with the fraction of the work that is done."""


def make_image(array: NDArray) -> NDArray[np.float32]:
    """Return a scan as `fuse` takes it: 32-bit floating-point numbers, the smallest one where it has none (NaN)."""
    image = array.astype(np.float32)
    is_known = np.isfinite(image)
    if not is_known.all():
        image[~is_known] = image[is_known].min(initial=0)
    return image


@dataclass(frozen=True, eq=False)
class FusedLabels:
    """The outcome of a fusion.

    labels: (k, j, i), of the atlases' type. disputed: flat indices (m,) of the voxels where the atlases disagree, the
    only ones that were voted on. votes, weights: (n, m), what each atlas voted there and how much it counted (weights
    (n, 1): the same everywhere).
    """

    labels: NDArray
    disputed: NDArray[np.int64]
    votes: NDArray
    weights: NDArray

    def compute_probability(self, label: int) -> NDArray[np.float32]:
        """Compute the share of the weights for a label at each voxel, (k, j, i), 0 to 1."""
        result = (self.labels == label).astype(np.float32)
        result.reshape(-1)[self.disputed] = compute_support(self.votes, self.weights, label)
        return result

    @property
    def mean_weights(self) -> NDArray[np.float64]:
        """The mean weight of each atlas where the atlases disagree, (n,); equal weights if they never do."""
        if not len(self.disputed):
            return np.full(len(self.weights), 1 / len(self.weights))
        return np.array([float(np.mean(own, dtype=np.float64)) for own in self.weights])


def fuse(
    target: NDArray[np.float32],
    images: Sequence[NDArray[np.float32]],
    labels: Sequence[NDArray],
    settings: FusionSettings,
    folder: Path,
    on_fraction: OnFraction = lambda fraction: None,
) -> FusedLabels:
    """Fuse the labels of n atlases on the target's grid.

    target, and of each atlas its warped image (not used by MAJORITY) and its warped labels: (k, j, i) of one shape.
    folder: for files that must stay as long as the result is used. Where all atlases have one label it is taken.
    """
    is_joint = settings.method == FusionMethod.JOINT
    disputed = find_disputed_voxels(labels, settings.search_radius if is_joint else 0)
    votes = _make_file(folder / "votes.npy", labels[0].dtype, (len(labels), len(disputed)))
    if is_joint:
        weights = _make_file(folder / "weights.npy", np.dtype(np.float32), votes.shape)
        _vote_jointly(_Atlases(target, images, labels), disputed, settings, votes, weights, on_fraction)
    else:
        weights = np.full((len(labels), 1), np.float32(1 / len(labels)))
        for atlas, own in zip(labels, votes, strict=True):
            own[:] = atlas.reshape(-1)[disputed]
    result = np.array(labels[0])
    result.reshape(-1)[disputed] = elect(votes, weights)
    on_fraction(1.0)
    return FusedLabels(result, disputed, votes, weights)


@dataclass(frozen=True, eq=False)
class _Atlases:
    target: NDArray[np.float32]
    images: Sequence[NDArray[np.float32]]
    labels: Sequence[NDArray]


def _vote_jointly(
    atlases: _Atlases,
    disputed: NDArray[np.int64],
    settings: FusionSettings,
    votes: NDArray,
    weights: NDArray,
    on_fraction: OnFraction,
) -> None:
    """Fill in votes and weights (n, m)."""
    shape, count = atlases.target.shape, len(atlases.images)
    target, *images = map(_view_as_tensor, (atlases.target, *atlases.images))
    flat_labels = [labels.reshape(-1) for labels in atlases.labels]
    patch = (2 * settings.patch_radius + 1) ** 3
    parts = split_range(len(disputed), -(-len(disputed) * patch * count // settings.chunk_values))
    threads = max(1, min(torch.get_num_threads(), len(parts)))
    done = 0

    def work(number: int) -> None:
        nonlocal done
        for part in parts[number::threads]:
            chosen = slice(part.start, part.stop)
            centers = torch.from_numpy(np.stack(np.unravel_index(disputed[chosen], shape), axis=-1))
            own, matched = compute_joint_weights(target, images, centers, settings)
            weights[:, chosen] = own.numpy()
            for atlas, voxels in enumerate(matched.numpy()):
                votes[atlas, chosen] = flat_labels[atlas][voxels]
            done += 1
            on_fraction(0.9 * done / len(parts))

    run_in_threads(work, threads)
    _average_over_patches(weights, disputed, shape, settings.patch_radius)


def _average_over_patches(
    weights: NDArray, disputed: NDArray[np.int64], shape: tuple[int, ...], patch_radius: int
) -> None:
    """Replace the weights of each voxel by their mean over the disputed voxels of its patch, as the authors' program.

    Each voxel whose patch holds another one says how reliable the atlases are there too.
    """
    if not len(disputed):
        return
    indices = np.unravel_index(disputed, shape)
    corner = tuple(int(i.min()) for i in indices)
    box = np.zeros([int(i.max()) + 1 - start for i, start in zip(indices, corner, strict=True)], np.float32)
    places = np.ravel_multi_index([i - start for i, start in zip(indices, corner, strict=True)], box.shape)
    size = 2 * patch_radius + 1

    def average(values: NDArray | float) -> NDArray:
        box.reshape(-1)[places] = values
        return np.asarray(uniform_filter(box, size, mode="constant").reshape(-1)[places])

    voters = average(1.0)
    for own in weights:
        own[:] = average(own) / voters


def _view_as_tensor(array: NDArray[np.float32]) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it is read-only; it is only read
        return torch.from_numpy(array)


def _make_file(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> NDArray:
    """Make an array in a file; one without elements, which cannot be mapped, is in memory.

    Raises OSError for a full disk.
    """
    if 0 in shape:
        return np.empty(shape, dtype)
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        # A mapped file whose space is missing when it is written would end the process.
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array
