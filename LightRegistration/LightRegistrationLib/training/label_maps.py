"""Label maps as training material: aligned by affine maps of their structures, kept as tissue fractions per voxel."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import FloatArray, apply_affine, homogeneous

logger = logging.getLogger(__name__)

WINDOW_MM = (192, 240, 192)
"""Field of view around the brain, (k, j, i) = superior, anterior, right."""
WINDOW_SHIFT_MM = 8
"""The field of view lies this much above the middle of the structures, so that the top of the head is in it."""

BRAIN_CLASSES: dict[str, tuple[int, ...]] = {
    "cerebral white matter": (2, 41),
    "cerebral cortex": (3, 42),
    "lateral ventricle": (4, 43, 5, 44),
    "cerebellum white matter": (7, 46),
    "cerebellum cortex": (8, 47),
    "thalamus": (10, 49),
    "caudate": (11, 50),
    "putamen": (12, 51),
    "pallidum": (13, 52),
    "third ventricle": (14,),
    "fourth ventricle": (15,),
    "brain stem": (16,),
    "hippocampus": (17, 53),
    "amygdala": (18, 54),
    "CSF": (24,),
    "accumbens": (26, 58),
    "ventral DC": (28, 60),
    "other inside": (25, 57, 30, 62, 72, 85, 136, 137, 163, 164),
}
OUTSIDE_CLASSES: tuple[int, ...] = (502, 506, 507, 508, 509, 511, 512, 514, 515, 516, 530)
CLASS_COUNT = len(BRAIN_CLASSES) + len(OUTSIDE_CLASSES)
_LANDMARKS = (2, 41, 4, 43, 7, 46, 8, 47, 10, 49, 11, 50, 12, 51, 13, 52, 14, 15, 16, 17, 53, 18, 54, 28, 60)


def read_label_map(path: Path) -> tuple[NDArray[np.int32], FloatArray]:
    """Read a label map: array (k, j, i) and affine (i, j, k, 1) -> RAS mm."""
    image = sitk.ReadImage(str(path))
    to_ras = np.diag([-1.0, -1.0, 1.0])
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    return (
        sitk.GetArrayFromImage(image).astype(np.int32),
        homogeneous(to_ras @ direction, to_ras @ np.array(image.GetOrigin())),
    )


def structure_centers(labels: NDArray[np.int32], affine: FloatArray) -> FloatArray:
    """Centers of the landmark structures, (25, 3) RAS mm."""
    centers = np.array(ndimage.center_of_mass(np.ones_like(labels), labels, _LANDMARKS))
    return apply_affine(affine, centers[:, ::-1])


def affine_between(source: FloatArray, target: FloatArray) -> FloatArray:
    """Least-squares 4x4 affine that maps source points (n, 3) to target points (n, 3)."""
    design = np.c_[source, np.ones(len(source))]
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    return homogeneous(solution[:3].T, solution[3])


def template_centers(centers: Sequence[FloatArray], rounds: int = 5) -> FloatArray:
    """Mean structure centers after affine alignment, moved so that their middle is at 0 mm: (25, 3)."""
    template = centers[0] - centers[0].mean(0)
    for _ in range(rounds):
        aligned = [apply_affine(affine_between(c, template), c) for c in centers]
        scale = np.mean([np.linalg.norm(c - c.mean(0)) for c in centers]) / np.linalg.norm(np.mean(aligned, 0))
        template = np.mean(aligned, axis=0) * scale
        template = template - template.mean(0)
    return template


def tissue_fractions(
    labels: NDArray[np.int32], affine: FloatArray, to_subject: FloatArray, spacing_mm: int
) -> NDArray[np.uint8]:
    """Fractions (0-255) of each class in the voxels of the training grid, (CLASS_COUNT, D, H, W).

    to_subject: 4x4 template RAS mm -> subject RAS mm. The grid covers WINDOW_MM around the template's middle.
    """
    shape = WINDOW_MM
    start = np.array([-(n - 1) / 2 for n in shape[::-1]]) + (0, 0, WINDOW_SHIFT_MM)
    to_voxels = np.linalg.inv(affine) @ to_subject @ homogeneous(np.eye(3), start)
    flip = np.eye(4)[[2, 1, 0, 3]]
    to_array = flip @ to_voxels @ flip
    aligned = ndimage.affine_transform(
        labels, to_array[:3, :3], to_array[:3, 3], output_shape=shape, order=0, mode="constant", cval=0
    )
    groups = [*BRAIN_CLASSES.values(), *((v,) for v in OUTSIDE_CLASSES)]
    block = [v for n in shape for v in (n // spacing_mm, spacing_mm)]
    return np.stack(
        [
            np.round(255 * np.isin(aligned, g).reshape(block).mean((1, 3, 5), dtype=np.float32)).astype(np.uint8)
            for g in groups
        ]
    )


def prepare(paths: Sequence[Path], spacing_mm: int, cache: Path) -> NDArray[np.uint8]:
    """Tissue fractions of all label maps, (subjects, CLASS_COUNT, D, H, W); computed once, then read from the cache."""
    file = cache / f"fractions_{spacing_mm}mm_{len(paths)}.npy"
    if file.exists():
        return np.load(file, mmap_mode="r")
    loaded = [read_label_map(p) for p in paths]
    centers = [structure_centers(*item) for item in loaded]
    template = template_centers(centers)
    result = np.stack(
        [
            tissue_fractions(labels, affine, affine_between(template, c), spacing_mm)
            for (labels, affine), c in zip(loaded, centers, strict=True)
        ]
    )
    cache.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial.npy")
    np.save(partial, result)
    partial.rename(file)
    logger.info("prepared %d label maps at %d mm", len(paths), spacing_mm)
    return result
