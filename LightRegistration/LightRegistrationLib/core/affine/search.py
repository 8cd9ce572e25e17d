"""Starts for the affine optimizer: every translation on a coarse grid, for the orientations that a wrong header gives.

For each orientation the correlation over the overlap is computed for all translations at once by Fourier transforms
(Padfield, IEEE TIP 2012: masked normalized cross-correlation), so that headers may be off by any distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from scipy.spatial.transform import Rotation
from torch import Tensor

from ..geometry.geometry import FloatArray, Geometry, apply_affine, find_nearest_orthonormal, homogeneous
from ..network.flows import sample
from ..network.grid import compute_affine_coordinates
from ..sampling.filters import box_max
from .pyramid import PyramidImage, compute_centroid_mm, find_body
from .settings import AFFINE

HALF_TURNS = tuple(np.diag(signs).astype(float) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)))
"""No turn, and half a turn about the first, the second and the third axis."""


@dataclass(frozen=True, eq=False)
class Start:
    """A start of the optimizer.

    matrix: fixed -> moving, RAS mm. turn: index of its orientation among those that were searched. merit: correlation
    times the square root of the overlap fraction, NaN if it was not computed.
    """

    matrix: FloatArray
    turn: int
    merit: float = float("nan")


def list_quarter_turns() -> tuple[FloatArray, ...]:
    """List the rotations by 90° and those about diagonals: the 20 rotations of a cube that are not in HALF_TURNS."""
    found = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(matrix) > 0 and order != (0, 1, 2):
                found.append(matrix)
    return tuple(found)


def find_starts(fixed: PyramidImage, moving: PyramidImage, turns: Sequence[FloatArray]) -> list[Start]:
    """Find the best translations for each turn about the axes of the fixed grid; the first turn gets more of them."""
    source = _resample_along_axes(fixed.geometry, moving)
    correlate = _TranslationCorrelation(fixed, source)
    starts = []
    for n, turn in enumerate(turns):
        turned, valid = (_turn_array(array[0, 0], turn) for array in (source.tensor, source.valid))
        back = source.geometry.affine @ _make_turn_matrix(turn, turned.shape)
        merit = correlate(turned, valid)
        count = AFFINE.peaks_unturned if n == 0 else AFFINE.peaks_turned
        for translation, value in _find_peaks(merit, fixed.geometry.shape, count):
            matrix = back @ homogeneous(np.eye(3), translation) @ fixed.geometry.inverse_affine
            starts.append(Start(matrix, n, value))
    return starts


def make_header_starts(fixed: PyramidImage, moving: PyramidImage, best: FloatArray) -> list[Start]:
    """Make starts from the headers as they are, from both centers, and from the best translation with tilts."""
    centroid = compute_centroid_mm(fixed)
    translations = (
        np.zeros(3),
        moving.geometry.center_mm - fixed.geometry.center_mm,
        compute_centroid_mm(moving) - centroid,
    )
    starts = [Start(homogeneous(np.eye(3), translation), 0) for translation in translations]
    for axis in np.eye(3):
        for degrees in AFFINE.tilt_degrees:
            tilt = Rotation.from_rotvec(degrees * axis, degrees=True).as_matrix()
            starts.append(Start(best @ make_matrix_about(centroid, tilt), 0))
    return starts


def make_matrix_about(center: FloatArray, linear: FloatArray) -> FloatArray:
    """Return the 4x4 matrix of a linear map (3x3) about a point that stays where it is."""
    return homogeneous(linear, center - linear @ center)


def _resample_along_axes(target: Geometry, image: PyramidImage) -> PyramidImage:
    """Resample the image to a grid with the axes and the spacing of the target, around the image's own center."""
    axes = target.affine[:3, :3]
    corners = (np.linalg.inv(axes) @ (image.geometry.corners_mm - image.geometry.center_mm).T).T
    size = np.ceil(corners.max(0) - corners.min(0) - 1e-6).astype(int)
    matrix = homogeneous(axes, image.geometry.center_mm - axes @ ((size - 1) / 2))
    geometry = Geometry((int(size[2]), int(size[1]), int(size[0])), matrix)
    coordinates = compute_affine_coordinates(geometry, image.geometry, np.eye(4))
    valid = (sample(image.valid, coordinates, padding="zeros") > 0.5).float()
    return PyramidImage(sample(image.tensor, coordinates, padding="border"), valid, geometry)


def _turn_array(array: Tensor, turn: FloatArray) -> Tensor:
    """Return the array (k, j, i) whose voxel x has the value of the given array at turn x (about the centers)."""
    target = np.abs(turn).argmax(1)
    # Axis a of the given array runs along axis target[a] of the new one. Axes count i, j, k; dimensions count k, j, i.
    order = [2 - int(np.flatnonzero(target == 2 - dimension)[0]) for dimension in range(3)]
    turned = array.permute(order)
    reversed_axes = [2 - int(target[a]) for a in range(3) if turn[a, target[a]] < 0]
    return turned.flip(reversed_axes) if reversed_axes else turned


def _make_turn_matrix(turn: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return the matrix from voxels (i, j, k, 1) of the turned array of that shape to voxels of the given array."""
    center = (np.array(shape[::-1]) - 1) / 2
    return homogeneous(turn, np.abs(turn) @ center - turn @ center)


class _TranslationCorrelation:
    """The merit of every translation of a moving array against the fixed body."""

    def __init__(self, fixed: PyramidImage, moving: PyramidImage) -> None:
        body = find_body(fixed).float()
        self.fixed_sum = float((fixed.tensor[0, 0] * body).sum())
        self.max_overlap = min(1.0, float(find_body(moving).sum()) / max(1.0, float(body.sum())))
        # In single precision the sums of squares lose less accuracy without the means.
        self.mean = self.fixed_sum / max(1.0, float(body.sum()))
        centered = (fixed.tensor[0, 0] - self.mean) * body
        self.min_variance = AFFINE.min_variance_fraction * float(centered.square().sum()) + 1e-6
        self.fixed_terms = torch.stack([body, centered, centered.square()])
        self.spectra: dict[tuple[int, ...], Tensor] = {}

    def _get_spectra(self, size: tuple[int, ...]) -> Tensor:
        """Return the Fourier transforms of the fixed terms; quarter turns change the size."""
        if size not in self.spectra:
            self.spectra[size] = torch.fft.rfftn(self.fixed_terms, s=size, dim=(1, 2, 3)).conj()
        return self.spectra[size]

    def __call__(self, moving: Tensor, valid: Tensor) -> Tensor:
        """Compute the merit of every (circular) translation; -1 where the overlap is too small."""
        centered = (moving - (moving * valid).sum() / valid.sum().clamp(min=1)) * valid
        shapes = zip(self.fixed_terms.shape[1:], moving.shape, strict=True)
        size = tuple(next_fast_len(a + b - 1, real=True) for a, b in shapes)
        fixed_spectra = self._get_spectra(size)
        moving_spectra = torch.fft.rfftn(torch.stack([valid, centered, centered.square()]), s=size, dim=(1, 2, 3))
        pairs = [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 1)]
        products = torch.stack([fixed_spectra[n] * moving_spectra[m] for n, m in pairs])
        count, f, ff, m, mm, fm = torch.fft.irfftn(products, s=size, dim=(1, 2, 3))
        overlap = (f + self.mean * count) / max(self.fixed_sum, 1e-6) / self.max_overlap
        count = count.clamp(min=1)
        min_variance = AFFINE.min_variance_fraction * float(centered.square().sum()) + 1e-6
        fixed_variance = (ff - f.square() / count).clamp(min=self.min_variance)
        spread = fixed_variance * (mm - m.square() / count).clamp(min=min_variance)
        merit = (fm - f * m / count) / spread.sqrt() * overlap.clamp(0, 1).sqrt()
        enough = (overlap >= AFFINE.min_overlap_fraction) & (count >= AFFINE.min_overlap_voxels)
        return torch.where(enough, merit, -1.0)


def _find_peaks(merit: Tensor, shape: tuple[int, ...], count: int) -> list[tuple[FloatArray, float]]:
    """Find the highest local maxima: translations in voxels (i, j, k) and their merit."""
    radius = AFFINE.peak_radius_voxels
    wrapped = F.pad(merit[None, None], [radius] * 6, mode="circular")
    inside = slice(radius, -radius)
    is_peak = (box_max(wrapped, radius)[0, 0, inside, inside, inside] == merit) & (merit > 0)
    values, indices = torch.where(is_peak, merit, -1.0).flatten().topk(count)
    found = []
    for value, index in zip(values.tolist(), indices.tolist(), strict=True):
        if value <= 0:
            continue
        kji = np.array(np.unravel_index(index, merit.shape))
        # A translation by more than the length of the moving array is a backward one.
        kji = np.where(kji > np.array(merit.shape) - np.array(shape), kji - np.array(merit.shape), kji)
        found.append((kji[::-1].astype(float), value))
    return found


def find_nearest_turn(matrix: FloatArray) -> FloatArray:
    """Find the rotation of a cube (3x3, signed permutation) that is nearest to the rotation in a 4x4 matrix."""
    rotation = find_nearest_orthonormal(matrix[:3, :3])
    turns = (*HALF_TURNS, *list_quarter_turns())
    return max(turns, key=lambda turn: float(np.trace(turn.T @ rotation)))


def mean_distance_mm(first: FloatArray, second: FloatArray, points: FloatArray) -> float:
    """Compute the mean distance between points (n, 3) mapped by two 4x4 matrices, mm."""
    return float(np.linalg.norm(apply_affine(first, points) - apply_affine(second, points), axis=1).mean())
