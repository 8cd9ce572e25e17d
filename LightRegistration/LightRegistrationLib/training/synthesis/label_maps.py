"""Prepares label maps for image synthesis: reads, checks and aligns them, and caches their tissue fractions."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray
from ..data.image_files import read_image
from .anatomies import Anatomy, Structure
from .landmarks import (
    MIN_LANDMARKS,
    count_shared,
    fit_affine,
    residuals,
    structure_centers,
    structure_sizes,
    template_centers,
)
from .tissue_fractions import Subject, TemplateGrid, grid_shape, labeled_extent, tissue_fractions

logger = logging.getLogger(__name__)

_VERSION = 3
"""Part of the key of a cache: to be raised when the same files and settings give another result."""
_LARGEST_RESIDUAL = 0.4
"""Largest residual of the alignment (root mean square), as a fraction of the root mean square distance of the landmarks
from the center. Observed: up to 0.25."""
_LARGEST_SIZE_RATIO = 1.05
"""Largest root mean square of the log volume ratios of structures. Measured: up to 0.9 within a label set, 1.2 to 2.8
for a label map of the eight organs among those of TotalSegmentator."""
_LEAST_OVERLAP = 0.2
"""Smallest share of the slices that two label maps both cover, for them to make a pair; chosen, not measured."""


@dataclass(frozen=True, eq=False)
class LabelMaps:
    """Prepared label maps of several subjects on one grid, whose axes point to S, A and R of the template.

    fractions: (subjects, classes, D, H, W) uint8, 255 = 1. structures: one for each class. known: for each subject the
    first and one past the last slice (k) that its label map covers. present: (subjects, classes), whether a subject has
    a class.
    """

    fractions: NDArray[np.uint8]
    structures: tuple[Structure, ...]
    known: tuple[tuple[int, int], ...]
    present: NDArray[np.bool_]

    @property
    def partners(self) -> tuple[tuple[int, ...], ...]:
        """For each subject, the others that show enough of the same part of the body."""
        least = max(1, _LEAST_OVERLAP * self.fractions.shape[2])
        return tuple(
            tuple(
                other
                for other, (start, end) in enumerate(self.known)
                if other != subject and min(end, last) - max(start, first) >= least
            )
            for subject, (first, last) in enumerate(self.known)
        )


def read_label_map(path: Path) -> tuple[NDArray[np.int32], FloatArray]:
    """Read a label map: array (k, j, i) and affine (i, j, k, 1) -> RAS mm; InputError if it cannot be one."""
    volume = read_image(path)
    labels = volume.array.astype(np.int32)
    if labels.min() < 0 or not np.array_equal(labels, volume.array):
        raise InputError(f"{path}: this is no label map; label values have to be whole numbers from 0.")
    return labels, volume.affine


def prepare_label_maps(
    paths: Sequence[Path], anatomy: Anatomy, spacing_mm: float, cache: Path, ignore: Sequence[int] = ()
) -> LabelMaps:
    """Align label maps and convert them to tissue fractions; computed once, then read from the cache.

    Raises InputError, naming the file, for label values that are neither in the anatomy nor ignored, for label maps
    whose structures do not fit those of the others, and for one that shows another part of the body.
    """
    file = cache / f"fractions_{_key(paths, anatomy, spacing_mm, ignore)}.npy"
    index = file.with_suffix(".json")
    if not index.exists():
        cache.mkdir(parents=True, exist_ok=True)
        content = _compute(paths, anatomy, spacing_mm, ignore, file)
        # The index is written last: if it exists, the fractions are complete.
        partial = index.with_suffix(f".partial{os.getpid()}")  # two runs may prepare the same files at once
        partial.write_text(json.dumps(content), encoding="utf-8")
        partial.replace(index)
        logger.info("prepared %d label maps of %s at %g mm", len(paths), anatomy.name, spacing_mm)
    content = json.loads(index.read_text(encoding="utf-8"))
    maps = LabelMaps(
        np.load(file, mmap_mode="r"),
        tuple(anatomy.structures[index] for index in content["classes"]),
        tuple((first, end) for first, end in content["known"]),
        np.array(content["present"], dtype=bool),
    )
    for path, partners in zip(paths, maps.partners, strict=True):
        if not partners:
            raise InputError(f"{path}: no other label map shows the same part of the body; leave it out.")
    return maps


def _compute(
    paths: Sequence[Path], anatomy: Anatomy, spacing_mm: float, ignore: Sequence[int], file: Path
) -> dict[str, Any]:
    """Write the fractions of the classes that any subject has; returns what is needed to read them."""
    subjects = [_load(path, anatomy, ignore) for path in paths]
    _check_sizes(subjects, anatomy)
    template = template_centers([s.centers for s in subjects], anatomy.rigidity_mm2)
    maps = [_align(subject, template, anatomy) for subject in subjects]
    extent = anatomy.extent_mm or labeled_extent(subjects, maps)
    grid = TemplateGrid(grid_shape(extent, spacing_mm), spacing_mm, anatomy.shift_mm)
    used = _classes_used(subjects, anatomy)
    partial = file.with_suffix(f".partial{os.getpid()}.npy")
    stored = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(subjects), len(used), *grid.shape))
    known = []
    for number, (subject, matrix) in enumerate(zip(subjects, maps, strict=True)):
        fractions, slices = tissue_fractions(subject, matrix, anatomy, grid)
        stored[number] = fractions[used]
        known.append(slices)
    present = stored.any((2, 3, 4))
    stored.flush()
    partial.replace(file)
    return {"classes": used, "known": known, "present": present.tolist()}


def _classes_used(subjects: Sequence[Subject], anatomy: Anatomy) -> list[int]:
    """Indices of the classes that any label map has, and of the generated ones."""
    values = set[int]().union(*(np.unique(s.labels).tolist() for s in subjects))
    return [n for n, structure in enumerate(anatomy.structures) if not structure.values or values & {*structure.values}]


def _load(path: Path, anatomy: Anatomy, ignore: Sequence[int]) -> Subject:
    labels, affine = read_label_map(path)
    unknown = sorted(set(np.unique(labels).tolist()) - anatomy.values - set(ignore) - {0})
    if unknown:
        raise InputError(
            f"{path}: label values {unknown[:8]} are unknown to anatomy '{anatomy.name}'; list them in ignore, or set "
            "your own [source.classes]."
        )
    centers = structure_centers(labels, affine, anatomy.landmarks)
    if not count_shared(centers, centers):
        raise InputError(f"{path}: it has no complete structure of anatomy '{anatomy.name}' to align it by.")
    return Subject(path, labels, affine, centers)


def _check_sizes(subjects: Sequence[Subject], anatomy: Anatomy) -> None:
    """Raise InputError if a label value cannot be the same structure in all label maps (mixed label sets).

    A label map is refused if a quarter of the others differ from it by more than _LARGEST_SIZE_RATIO.
    """
    sizes = np.array([structure_sizes(s.labels, s.affine, anatomy.landmarks, s.centers) for s in subjects])
    distances = np.full((len(sizes), len(sizes)), np.nan)
    for first, second in combinations(range(len(sizes)), 2):
        differences = (sizes[first] - sizes[second])[~np.isnan(sizes[first] - sizes[second])]
        if len(differences) >= MIN_LANDMARKS:
            distances[first, second] = distances[second, first] = np.sqrt(np.square(differences).mean())
    typical = [np.percentile(row[~np.isnan(row)], 75) if not np.isnan(row).all() else 0.0 for row in distances]
    worst_subject = int(np.argmax(typical))
    if typical[worst_subject] <= _LARGEST_SIZE_RATIO:
        return
    other = int(np.nanargmax(distances[worst_subject]))
    difference = sizes[worst_subject] - sizes[other]
    landmark = int(np.nanargmax(np.abs(difference)))
    raise InputError(
        f"{subjects[worst_subject].path}: label value {anatomy.landmarks[landmark]} is "
        f"{np.exp(abs(difference[landmark])):.0f} times {'larger' if difference[landmark] > 0 else 'smaller'} than in "
        f"{subjects[other].path.name}, and others differ too: mixed label sets? Put label maps of different sets in "
        "different sources."
    )


def _align(subject: Subject, template: FloatArray, anatomy: Anatomy) -> FloatArray:
    """4x4 subject RAS mm -> template RAS mm; InputError if the positions of the structures do not fit the others."""
    count, needed = count_shared(subject.centers, template), min(MIN_LANDMARKS, count_shared(template, template))
    if count < needed:
        raise InputError(f"{subject.path}: it has {count} complete structures to align it by; {needed} are needed.")
    matrix = fit_affine(subject.centers, template, anatomy.rigidity_mm2)
    error = np.sqrt(np.square(residuals(subject.centers, template, matrix)).mean())
    spread = np.sqrt(np.nanmean(np.square(template[~np.isnan(subject.centers[:, 0])]).sum(1)))
    if np.linalg.det(matrix[:3, :3]) <= 0 or error > _LARGEST_RESIDUAL * spread:
        raise InputError(
            f"{subject.path}: the positions of its structures do not fit the other label maps ({error:.0f} mm off): "
            "mixed label sets, or left and right swapped? Put label maps of different sets in different sources."
        )
    return matrix


def _key(paths: Sequence[Path], anatomy: Anatomy, spacing_mm: float, ignore: Sequence[int]) -> str:
    files = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
    text = json.dumps([_VERSION, files, asdict(anatomy), float(spacing_mm), list(ignore)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
