"""Where to start: every shift on a coarse grid, for the orientations that a wrong header would give.

For each orientation the correlation over the overlap is computed for all shifts at once with Fourier transforms
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

from ..geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from ..network.flows import sample
from ..network.grid import compute_affine_coordinates
from ..sampling.filters import box_max
from .optimizer import MIN_OVERLAP_FRACTION
from .pyramid import PyramidImage, body_mask, centroid_mm

HALF_TURNS = tuple(np.diag(signs).astype(float) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)))
"""No turn, and half a turn about the first, the second and the third axis."""
_TILTS_DEGREES = (-25.0, 25.0)
_LEAST_OVERLAP_VOXELS = 20
_PEAKS, _PEAKS_OF_TURNS = 3, 2
_PEAK_RADIUS = 2
_LEAST_VARIANCE = 0.02
"""Of a whole picture's: overlaps that show less than that correlate by chance."""


@dataclass(frozen=True, eq=False)
class Start:
    """Where a climb begins: matrix fixed -> moving, RAS mm. turn: which of the turns that were searched it belongs to.

    likeness: its correlation times the root of its overlap, NaN where that was not computed.
    """

    matrix: FloatArray
    turn: int
    likeness: float = float("nan")


def quarter_turns() -> tuple[FloatArray, ...]:
    """The turns by 90° and those about diagonals: the 20 rotations of a cube that HALF_TURNS leaves out."""
    found = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(matrix) > 0 and order != (0, 1, 2):
                found.append(matrix)
    return tuple(found)


def find_starts(fixed: PyramidImage, moving: PyramidImage, turns: Sequence[FloatArray]) -> list[Start]:
    """The best shifts of each turn, about the axes of the fixed grid; the first turn gets more of them."""
    source = _along(fixed.geometry, moving)
    correlation = _ShiftCorrelation(fixed, source)
    starts = []
    for n, turn in enumerate(turns):
        turned, view = (_turned(array[0, 0], turn) for array in (source.tensor, source.view))
        back = source.geometry.affine @ _unturned(turn, turned.shape)
        likeness = correlation(turned, view)
        for shift, value in _peaks(likeness, fixed.geometry.shape, _PEAKS if n == 0 else _PEAKS_OF_TURNS):
            matrix = back @ homogeneous(np.eye(3), shift) @ fixed.geometry.inverse_affine
            starts.append(Start(matrix, n, value))
    return starts


def make_header_starts(fixed: PyramidImage, moving: PyramidImage, best: FloatArray) -> list[Start]:
    """What the headers say, the middles and the centers of mass on each other, and the best shift tilted each way."""
    center = centroid_mm(fixed)
    shifts = (np.zeros(3), moving.geometry.center_mm - fixed.geometry.center_mm, centroid_mm(moving) - center)
    starts = [Start(homogeneous(np.eye(3), shift), 0) for shift in shifts]
    for axis in np.eye(3):
        for degrees in _TILTS_DEGREES:
            tilt = Rotation.from_rotvec(degrees * axis, degrees=True).as_matrix()
            starts.append(Start(best @ about(center, tilt), 0))
    return starts


def about(center: FloatArray, linear: FloatArray) -> FloatArray:
    """The 4x4 matrix of a linear map (3x3) that leaves a point where it is."""
    return homogeneous(linear, center - linear @ center)


def _along(target: Geometry, image: PyramidImage) -> PyramidImage:
    """The image on a grid with the axes and the spacing of the target, around its own middle."""
    axes = target.affine[:3, :3]
    corners = (np.linalg.inv(axes) @ (image.geometry.corners_mm - image.geometry.center_mm).T).T
    size = np.ceil(corners.max(0) - corners.min(0) - 1e-6).astype(int)
    matrix = homogeneous(axes, image.geometry.center_mm - axes @ ((size - 1) / 2))
    geometry = Geometry((int(size[2]), int(size[1]), int(size[0])), matrix)
    coordinates = compute_affine_coordinates(geometry, image.geometry, np.eye(4))
    view = (sample(image.view, coordinates, padding="zeros") > 0.5).float()
    return PyramidImage(sample(image.tensor, coordinates, padding="border"), view, geometry)


def _turned(array: Tensor, turn: FloatArray) -> Tensor:
    """The array (k, j, i) whose voxel x holds what the given one has at turn x (about the middles)."""
    target = np.abs(turn).argmax(1)
    # Axis a of the given array runs along axis target[a] of the new one; both count i, j, k, dimensions the other way.
    order = [2 - int(np.flatnonzero(target == 2 - dimension)[0]) for dimension in range(3)]
    turned = array.permute(order)
    backward = [2 - int(target[a]) for a in range(3) if turn[a, target[a]] < 0]
    return turned.flip(backward) if backward else turned


def _unturned(turn: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Voxels (i, j, k, 1) of the turned array of that shape -> voxels of the array before."""
    middle = (np.array(shape[::-1]) - 1) / 2
    return homogeneous(turn, np.abs(turn) @ middle - turn @ middle)


class _ShiftCorrelation:
    """For each shift of a moving array: its correlation with the fixed body times the root of the overlap."""

    def __init__(self, fixed: PyramidImage, moving: PyramidImage) -> None:
        body = body_mask(fixed).float()
        self.shown = float((fixed.tensor[0, 0] * body).sum())
        self.held = min(1.0, float(moving.view.sum()) / max(1.0, float(body.sum())))
        # Single precision: without their means the sums of squares lose less.
        self.mean = self.shown / max(1.0, float(body.sum()))
        centered = (fixed.tensor[0, 0] - self.mean) * body
        self.least = _LEAST_VARIANCE * float(centered.square().sum()) + 1e-6
        self.ours = torch.stack([body, centered, centered.square()])
        self.spectra: dict[tuple[int, ...], Tensor] = {}

    def _spectra(self, size: tuple[int, ...]) -> Tensor:
        if size not in self.spectra:  # turns by quarters change the shape of the moving array
            self.spectra[size] = torch.fft.rfftn(self.ours, s=size, dim=(1, 2, 3)).conj()
        return self.spectra[size]

    def __call__(self, moving: Tensor, view: Tensor) -> Tensor:
        """Of every shift, circular; -1 where the overlap is small."""
        centered = (moving - (moving * view).sum() / view.sum().clamp(min=1)) * view
        shapes = zip(self.ours.shape[1:], moving.shape, strict=True)
        size = tuple(next_fast_len(a + b - 1, real=True) for a, b in shapes)
        ours = self._spectra(size)
        theirs = torch.fft.rfftn(torch.stack([view, centered, centered.square()]), s=size, dim=(1, 2, 3))
        pairs = [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 1)]
        products = torch.stack([ours[n] * theirs[m] for n, m in pairs])
        count, f, ff, m, mm, fm = torch.fft.irfftn(products, s=size, dim=(1, 2, 3))
        overlap = (f + self.mean * count) / max(self.shown, 1e-6) / self.held
        count = count.clamp(min=1)
        least = _LEAST_VARIANCE * float(centered.square().sum()) + 1e-6
        spread = (ff - f.square() / count).clamp(min=self.least) * (mm - m.square() / count).clamp(min=least)
        likeness = (fm - f * m / count) / spread.sqrt() * overlap.clamp(0, 1).sqrt()
        return torch.where((overlap >= MIN_OVERLAP_FRACTION) & (count >= _LEAST_OVERLAP_VOXELS), likeness, -1.0)


def _peaks(likeness: Tensor, shape: tuple[int, ...], count: int) -> list[tuple[FloatArray, float]]:
    """The highest places that are not beside a higher one: shifts in voxels (i, j, k) and their likeness."""
    wrapped = F.pad(likeness[None, None], [_PEAK_RADIUS] * 6, mode="circular")
    inside = slice(_PEAK_RADIUS, -_PEAK_RADIUS)
    is_top = (box_max(wrapped, _PEAK_RADIUS)[0, 0, inside, inside, inside] == likeness) & (likeness > 0)
    values, places = torch.where(is_top, likeness, -1.0).flatten().topk(count)
    found = []
    for value, place in zip(values.tolist(), places.tolist(), strict=True):
        if value <= 0:
            continue
        kji = np.array(np.unravel_index(place, likeness.shape))
        # A shift by more than the moving array is long is one backward.
        kji = np.where(kji > np.array(likeness.shape) - np.array(shape), kji - np.array(likeness.shape), kji)
        found.append((kji[::-1].astype(float), value))
    return found


def nearest_turn(matrix: FloatArray) -> FloatArray:
    """The rotation of a cube (3x3, signed permutation) that lies nearest to the rotation in a 4x4 matrix."""
    left, _, right = np.linalg.svd(matrix[:3, :3])
    turns = (*HALF_TURNS, *quarter_turns())
    return max(turns, key=lambda turn: float(np.trace(turn.T @ left @ right)))


def mean_distance_mm(first: FloatArray, second: FloatArray, points: FloatArray) -> float:
    """How far two matrices take points (n, 3) apart, on average, mm."""
    return float(np.linalg.norm(apply_affine(first, points) - apply_affine(second, points), axis=1).mean())
