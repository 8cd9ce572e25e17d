"""Label maps as training material: read, checked, aligned by their structures, kept as tissue fractions per voxel."""

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
from ..data.scans import read_image
from .anatomies import Anatomy, Structure
from .landmarks import (
    MIN_LANDMARKS,
    fit_affine,
    residuals,
    shared,
    structure_centers,
    structure_sizes,
    template_centers,
)
from .tissue_fractions import Subject, TemplateGrid, grid_shape, labeled_extent, tissue_fractions

logger = logging.getLogger(__name__)

_VERSION = 3
"""Part of the key of what is kept: to be raised when the same files and settings give something else."""
_LARGEST_RESIDUAL = 0.4
"""Root mean square of what the alignment leaves, as part of that of the distances from the middle; seen: up to 0.25."""
_LARGEST_SIZE_RATIO = 1.05
"""Root mean square of the logarithms of the ratios of volumes. Measured: up to 0.9 within a label set, 1.2 to 2.8 for a
label map of the eight organs among those of TotalSegmentator."""
_LEAST_OVERLAP = 0.2


@dataclass(frozen=True, eq=False)
class LabelMaps:
    """Prepared label maps of several subjects on one grid, whose axes run to S, A and R of the template.

    fractions: (subjects, classes, D, H, W) uint8, 255 = 1. structures: one for each class. known: for each subject the
    first and one past the last slice (k) that its label map covers. present: (subjects, classes), who has what.
    """

    fractions: NDArray[np.uint8]
    structures: tuple[Structure, ...]
    known: tuple[tuple[int, int], ...]
    present: NDArray[np.bool_]

    @property
    def partners(self) -> tuple[tuple[int, ...], ...]:
        """For each subject the others that show enough of the same part of the body."""
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
        raise InputError(f"{path}: this is no label map; whole numbers from 0 on are needed.")
    return labels, volume.affine


def prepare(
    paths: Sequence[Path], anatomy: Anatomy, spacing_mm: float, cache: Path, ignore: Sequence[int] = ()
) -> LabelMaps:
    """Align label maps and turn them into tissue fractions; computed once, then read from the cache.

    Raises InputError (file named) for label values that the anatomy does not know and that are not to be ignored, for
    label maps whose structures do not fit to the others', and for one that shows another part of the body.
    """
    file = cache / f"fractions_{_key(paths, anatomy, spacing_mm, ignore)}.npy"
    note = file.with_suffix(".json")
    if not note.exists():
        cache.mkdir(parents=True, exist_ok=True)
        content = _compute(paths, anatomy, spacing_mm, ignore, file)
        # written last, so that its presence says that the fractions are complete
        partial = note.with_suffix(f".partial{os.getpid()}")  # two runs may prepare the same at once
        partial.write_text(json.dumps(content), encoding="utf-8")
        partial.replace(note)
        logger.info("prepared %d label maps of %s at %g mm", len(paths), anatomy.name, spacing_mm)
    content = json.loads(note.read_text(encoding="utf-8"))
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
    """Write the fractions of the classes that any subject has; what else has to be known to read them."""
    subjects = [_load(path, anatomy, ignore) for path in paths]
    _check_sizes(subjects, anatomy)
    template = template_centers([s.centers for s in subjects], anatomy.rigidity_mm2)
    maps = [_alignment(subject, template, anatomy) for subject in subjects]
    extent = anatomy.extent_mm or labeled_extent(subjects, maps)
    grid = TemplateGrid(grid_shape(extent, spacing_mm), spacing_mm, anatomy.shift_mm)
    used = _classes_used(subjects, anatomy)
    partial = file.with_suffix(f".partial{os.getpid()}.npy")
    kept = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(subjects), len(used), *grid.shape))
    known = []
    for number, (subject, matrix) in enumerate(zip(subjects, maps, strict=True)):
        fractions, slices = tissue_fractions(subject, matrix, anatomy, grid)
        kept[number] = fractions[used]
        known.append(slices)
    present = kept.any((2, 3, 4))
    kept.flush()
    partial.replace(file)
    return {"classes": used, "known": known, "present": present.tolist()}


def _classes_used(subjects: Sequence[Subject], anatomy: Anatomy) -> list[int]:
    """Indices of the classes that any of the label maps has, and of those that are built around them."""
    values = set[int]().union(*(np.unique(s.labels).tolist() for s in subjects))
    return [n for n, structure in enumerate(anatomy.structures) if not structure.values or values & {*structure.values}]


def _load(path: Path, anatomy: Anatomy, ignore: Sequence[int]) -> Subject:
    labels, affine = read_label_map(path)
    unknown = sorted(set(np.unique(labels).tolist()) - anatomy.values - set(ignore) - {0})
    if unknown:
        raise InputError(
            f"{path}: label values {unknown[:8]} are unknown to anatomy '{anatomy.name}'; list them in ignore, or give "
            "your own [source.classes]."
        )
    centers = structure_centers(labels, affine, anatomy.landmarks)
    if not shared(centers, centers):
        raise InputError(f"{path}: it holds no whole structure of anatomy '{anatomy.name}' to align it by.")
    return Subject(path, labels, affine, centers)


def _check_sizes(subjects: Sequence[Subject], anatomy: Anatomy) -> None:
    """InputError if what has one label value in several label maps cannot be one structure: mixed label sets.

    A label map is refused if a quarter of the others differ from it by more than _LARGEST_SIZE_RATIO.
    """
    sizes = np.array([structure_sizes(s.labels, s.affine, anatomy.landmarks, s.centers) for s in subjects])
    apart = np.full((len(sizes), len(sizes)), np.nan)
    for first, second in combinations(range(len(sizes)), 2):
        differences = (sizes[first] - sizes[second])[~np.isnan(sizes[first] - sizes[second])]
        if len(differences) >= MIN_LANDMARKS:
            apart[first, second] = apart[second, first] = np.sqrt(np.square(differences).mean())
    typical = [np.percentile(row[~np.isnan(row)], 75) if not np.isnan(row).all() else 0.0 for row in apart]
    odd = int(np.argmax(typical))
    if typical[odd] <= _LARGEST_SIZE_RATIO:
        return
    other = int(np.nanargmax(apart[odd]))
    difference = sizes[odd] - sizes[other]
    worst = int(np.nanargmax(np.abs(difference)))
    raise InputError(
        f"{subjects[odd].path}: label value {anatomy.landmarks[worst]} is {np.exp(abs(difference[worst])):.0f} times "
        f"{'larger' if difference[worst] > 0 else 'smaller'} than in {subjects[other].path.name}, and others differ "
        "too: mixed label sets? Put label maps of different sets in different sources."
    )


def _alignment(subject: Subject, template: FloatArray, anatomy: Anatomy) -> FloatArray:
    """4x4 subject RAS mm -> template RAS mm; InputError where the structures do not lie as the others' do."""
    count, needed = shared(subject.centers, template), min(MIN_LANDMARKS, shared(template, template))
    if count < needed:
        raise InputError(f"{subject.path}: it has {count} whole structures to align it by; {needed} are needed.")
    matrix = fit_affine(subject.centers, template, anatomy.rigidity_mm2)
    error = np.sqrt(np.square(residuals(subject.centers, template, matrix)).mean())
    spread = np.sqrt(np.nanmean(np.square(template[~np.isnan(subject.centers[:, 0])]).sum(1)))
    if np.linalg.det(matrix[:3, :3]) <= 0 or error > _LARGEST_RESIDUAL * spread:
        raise InputError(
            f"{subject.path}: its structures do not lie as in the other label maps ({error:.0f} mm off): mixed label "
            "sets, or left and right swapped? Put label maps of different sets in different sources."
        )
    return matrix


def _key(paths: Sequence[Path], anatomy: Anatomy, spacing_mm: float, ignore: Sequence[int]) -> str:
    files = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
    text = json.dumps([_VERSION, files, asdict(anatomy), float(spacing_mm), list(ignore)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
