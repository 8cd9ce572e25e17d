"""Multimodal pairs with known correspondence: remapped T1 scans with labels, and T1 with FLAIR of one head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter, map_coordinates, zoom
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.geometry.geometry import FloatArray, Geometry, apply_affine
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.geometry.volume import Segmentation, Volume
from LightRegistrationLib.core.sampling.warping import warp_volume
from LightRegistrationLib.training.evaluation.files import read_volume

VENTRICLES, WHITE_MATTER, FIRST_CORTICAL_LABEL = (51, 52), (44, 45), 100
CONTRASTS = {"T2": (1.0, 0.62, 0.42), "FLAIR": (0.15, 0.8, 0.55)}
"""Intensity of fluid, gray and white matter; in T1 they rise in this order, here they do not."""
DEEP_MM = 18.0
"""Points at this distance from the surface of a head lie in the brain."""
_FIELD_MM, _FIELD_SIGMA_MM = 6.0, 16.0
_BINS = 32


def remapped(volume: Volume, labels: Segmentation, contrast: str, seed: int) -> Volume:
    """Give a T1 scan the intensities of another contrast, a smooth bias of up to 25 % and 2 % of noise.

    The intensities of the tissues are the medians in the scan's own labels; between them it is linear.
    """
    array, label = volume.array.astype(np.float32), labels.layers[0]
    tissues = (np.isin(label, VENTRICLES), label >= FIRST_CORTICAL_LABEL, np.isin(label, WHITE_MATTER))
    fluid, gray, white = (float(np.median(array[tissue])) for tissue in tissues)
    levels = CONTRASTS[contrast]
    known = [0, 0.35 * fluid, fluid, gray, white, max(1.2 * white, float(np.percentile(array[array > 0], 99.9)))]
    values = np.interp(array, known, [0, 0.6 * levels[0], *levels, 0.85 * levels[2]])
    random = np.random.default_rng(seed)
    values = values * _bias(array.shape, random) + random.normal(scale=0.02, size=array.shape) * (array > 0)
    return Volume(np.clip(1000 * values, 0, None).astype(np.int16), volume.affine, f"{volume.name} as {contrast}")


def ct_as_mri(volume: Volume, seed: int) -> Volume:
    """Give a CT the order of intensities of T1 MRI: air and bone dark, muscle gray, fat bright; with a smooth bias."""
    units = [-1000, -300, -110, 0, 60, 250, 600, 3000]
    values = np.interp(volume.array.astype(np.float32), units, [0, 0.05, 0.95, 0.25, 0.45, 0.3, 0.05, 0.05])
    random = np.random.default_rng(seed)
    values = values * _bias(values.shape, random) + np.abs(random.normal(scale=0.02, size=values.shape))
    return Volume((1000 * values).astype(np.int16), volume.affine, f"{volume.name} as MRI")


def _bias(shape: tuple[int, ...], random: np.random.Generator) -> FloatArray:
    """Make a smooth factor around 1, from 0.78 to 1.28 at most."""
    bias = gaussian_filter(random.normal(size=(24, 24, 24)), 5)
    return np.exp(0.25 * zoom(bias / np.abs(bias).max(), [n / 24 for n in shape], order=1))


@dataclass(frozen=True, eq=False)
class Known:
    """Two volumes of one head, the moving one deformed by a known field.

    truth_mm: the true positions in the moving volume of the points in the brain (n, 3) RAS mm of the fixed one.
    """

    name: str
    fixed: Volume
    moving: Volume
    points_mm: FloatArray
    truth_mm: FloatArray

    def errors_mm(self, field: DisplacementField) -> FloatArray:
        """Compute the error of a displacement field at each of the points, mm."""
        return np.linalg.norm(field(self.points_mm) - self.truth_mm, axis=1)


def known_pairs(data: Path) -> list[Known]:
    """Make pairs of T1 with the T1 and the FLAIR of the same visit, all moving volumes deformed by up to 6 mm."""
    found = []
    for visit in (1, 2):
        fixed, flair = (read_scan(data, kind, visit) for kind in ("t1w", "flair"))
        points = points_in_brain(fixed)
        motion = rigid_motion(fixed, flair)
        for name, moving, rigid in (("T1", fixed, AffineTransform.identity()), ("FLAIR", flair, motion)):
            field = random_field(moving.geometry, visit)
            deformed = replace(warp_volume(moving, field, moving.geometry), name=name)
            truth = invert_field_at(field, rigid(points))
            found.append(Known(f"visit {visit}, T1 with {name}", fixed, deformed, points, truth))
    return found


def invert_field_at(field: DisplacementField, targets_mm: FloatArray) -> FloatArray:
    """Find the points (n, 3) that a smooth field takes to the targets, by the iteration y = target - d(y)."""
    points = targets_mm
    for _ in range(50):
        points = points + targets_mm - field(points)
    return points


@dataclass(frozen=True, eq=False)
class Visits:
    """One visit's T1, and T1 and FLAIR of the other one.

    between: the motion of the head between the latter two. points_mm: in the brain (n, 3) RAS mm of the fixed volume.
    """

    name: str
    fixed: Volume
    same: Volume
    other: Volume
    between: AffineTransform
    points_mm: FloatArray


def visit_pairs(data: Path) -> list[Visits]:
    """Make the pairs from one visit to the other and back."""
    found = []
    for here, there in ((1, 2), (2, 1)):
        fixed, same, other = (
            read_scan(data, "t1w", here),
            read_scan(data, "t1w", there),
            read_scan(data, "flair", there),
        )
        name = f"visit {here} to {there}"
        found.append(Visits(name, fixed, same, other, rigid_motion(same, other), points_in_brain(fixed)))
    return found


def read_scan(data: Path, kind: str, visit: int) -> Volume:
    """Read a follow-up scan."""
    return read_volume(data / "brain_followup" / f"ms_patient12_{kind}_study{visit}.nii.gz")


def points_in_brain(volume: Volume, step: int = 6) -> FloatArray:
    """Find points on every few voxels deep inside a head, RAS mm (n, 3)."""
    depth = _depth_mm(volume)
    chosen = np.zeros(depth.shape, dtype=bool)
    chosen[::2, ::step, ::step] = True
    return np.asarray(volume.geometry.points_mm[chosen & (depth > DEEP_MM)])


def _depth_mm(volume: Volume) -> NDArray[np.float64]:
    level = 0.12 * np.percentile(volume.array, 99)
    body = binary_fill_holes(gaussian_filter(volume.array.astype(np.float32), 1) > level)
    return np.asarray(distance_transform_edt(body, sampling=volume.geometry.spacing_mm[::-1]))


def random_field(geometry: Geometry, seed: int) -> DisplacementField:
    """Make a smooth random displacement on a 4 mm grid around a volume: 6 mm at its 99th percentile, sigma 16 mm."""
    corners = geometry.corners_mm
    low = corners.min(0) - 20
    size = np.ceil((corners.max(0) + 20 - low) / 4).astype(int) + 1
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = low
    random = np.random.default_rng(seed)
    vectors = np.stack(
        [gaussian_filter(random.normal(size=size[::-1]), _FIELD_SIGMA_MM / 4) for _ in range(3)], axis=-1
    )
    vectors *= _FIELD_MM / np.percentile(np.linalg.norm(vectors, axis=-1), 99)
    return DisplacementField(vectors.astype(np.float32), affine)


def rigid_motion(fixed: Volume, moving: Volume) -> AffineTransform:
    """Estimate the motion of the head between two scans of one visit: mutual information deep inside it, by Powell.

    Independent of the product's own similarity measures. With the correlation of gradient magnitudes the result differs
    by 0.6 mm: the reference is not known better than that.
    """
    depth = _depth_mm(fixed)
    chosen = np.zeros(depth.shape, dtype=bool)
    chosen[:, ::4, ::4] = True
    points = fixed.geometry.points_mm[chosen & (depth > DEEP_MM)]
    target, source = _sampler(fixed), _sampler(moving)
    edges = [np.quantile(sample(points), np.linspace(0, 1, _BINS + 1)[1:-1]) for sample in (target, source)]
    bins = np.searchsorted(edges[0], target(points))

    def cost(numbers: FloatArray) -> float:
        found = np.searchsorted(edges[1], source(_motion(numbers, points.mean(0))(points)))
        return -_mutual_information(np.histogram2d(bins, found, bins=_BINS)[0] / len(points))

    limits = [(-6.0, 6.0)] * 6
    options = {"xtol": 0.02, "ftol": 1e-5, "maxiter": 8}
    runs = [
        minimize(cost, [0, 0, 0, 0, 0, start], method="Powell", bounds=limits, options=options) for start in (0.0, -2.5)
    ]
    return _motion(min(runs, key=lambda run: run.fun).x, points.mean(0))


def _motion(numbers: FloatArray, center: FloatArray) -> AffineTransform:
    """Make a rigid motion of three rotations, in mm at 60 mm from the center, and three translations."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.asarray(numbers[:3]) / 60).as_matrix()
    matrix[:3, 3] = center + numbers[3:] - matrix[:3, :3] @ center
    return AffineTransform(matrix)


def _sampler(volume: Volume) -> Callable[[FloatArray], FloatArray]:
    blurred = gaussian_filter(volume.array.astype(np.float32), 1 / volume.geometry.spacing_mm[::-1])

    def sample(points_mm: FloatArray) -> FloatArray:
        indices = apply_affine(volume.geometry.inverse_affine, points_mm)
        return np.asarray(map_coordinates(blurred, indices[:, ::-1].T, order=1, mode="nearest"))

    return sample


def _mutual_information(joint: FloatArray) -> float:
    product = joint.sum(0, keepdims=True) * joint.sum(1, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / product[filled])).sum())
