"""Variations of real pairs: what exports, crops, wrong headers and noise make of two volumes, with the truth known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import permutations, product

import numpy as np
from contrast_pairs import CONTRASTS, ct_as_mri, remapped
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.geometry.geometry import FloatArray, Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.training.evaluation.cases import Case

AS_LOADED = "as loaded"
IDENTITY = np.eye(4)
CANVAS_VOXELS, MARGIN_MM, OFFSET_MM = 40, 250.0, (180.0, -180.0, 180.0)
AIR_HU = -500.0
TILT_AXIS = np.array((0.6, 0.64, 0.48))
R, A, S = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Variation:
    """A pair of volumes after a change.

    header: the error of the moving header, 4x4: true RAS mm -> RAS mm of the changed volume. shown: the part of the
    moving volume that is left, in true RAS mm. expected: the sentence that has to be said (a key of `SENTENCES` in
    robustness.py), or empty. is_sound: nothing is wrong, so no sentence may be said. is_scored: whether the unvaried
    result is the truth for it.
    """

    name: str
    fixed: Volume
    moving: Volume
    shown: Geometry
    header: FloatArray = field(default_factory=lambda: np.eye(4))
    expected: str = ""
    is_sound: bool = False
    is_scored: bool = True

    def shows(self, fixed_points: FloatArray, moving_points: FloatArray) -> NDArray[np.bool_]:
        """Whether corresponding points (n, 3), in true RAS mm, lie in what is left of both volumes."""
        return is_inside(self.fixed.geometry, fixed_points) & is_inside(self.shown, moving_points)


Build = Callable[[], Variation]


def is_inside(geometry: Geometry, points_mm: FloatArray) -> NDArray[np.bool_]:
    """Whether points (n, 3) lie in a volume."""
    indices = apply_affine(geometry.inverse_affine, points_mm)
    return ((indices >= -0.5) & (indices <= geometry.size_ijk - 0.5)).all(-1)


def list_variations(case: Case, other: Volume, number: int, rotations: int) -> list[tuple[str, Build]]:
    """List the names of the variations of a pair, and functions that make them.

    other: a volume of another anatomy. number: of the pair in its set; each pair takes its own part of the 23
    rotations, so many as `rotations`.
    """
    fixed, moving = case.fixed, case.moving

    def vary(new_fixed: Volume, new_moving: Volume, shown: Volume = moving, **properties: object) -> Variation:
        return Variation("", new_fixed, new_moving, shown.geometry, **properties)  # type: ignore[arg-type]

    def misplace(matrix: FloatArray, **properties: object) -> Variation:
        return vary(fixed, replace(moving, affine=matrix @ moving.affine), header=matrix, **properties)

    center = moving.geometry.center_mm
    upper, lower, side, front = (crop(moving, *part) for part in ((S, 0.5, 1), (S, 0, 0.5), (R, 0, 0.5), (A, 0.5, 1)))
    slab = crop(moving, S, 0.4, 0.6)
    builds: list[tuple[str, Build]] = [
        (AS_LOADED, lambda: vary(fixed, moving, is_sound=True)),
        ("canvas of 40 voxels, both", lambda: vary(add_canvas(fixed), add_canvas(moving), is_sound=True)),
        ("canvas of 40 voxels, moving", lambda: vary(fixed, add_canvas(moving), is_sound=True)),
        ("canvas of 40 voxels, fixed", lambda: vary(add_canvas(fixed), moving, is_sound=True)),
        ("margin of 25 cm, R", lambda: vary(fixed, add_margin(moving, R), is_sound=True)),
        ("margin of 25 cm, S", lambda: vary(fixed, add_margin(moving, S), is_sound=True)),
        ("upper 30 % empty", lambda: vary(fixed, clear(moving, S, 0.7, 1), crop(moving, S, 0, 0.7))),
        ("lower 30 % empty", lambda: vary(fixed, clear(moving, S, 0, 0.3), crop(moving, S, 0.3, 1))),
        ("upper half empty", lambda: vary(fixed, clear(moving, S, 0.5, 1), lower)),
        ("half moving, upper", lambda: vary(fixed, upper, upper, expected="extents")),
        ("half moving, lower", lambda: vary(fixed, lower, lower, expected="extents")),
        ("half moving, left", lambda: vary(fixed, side, side, expected="extents")),
        ("half moving, front", lambda: vary(fixed, front, front, expected="extents")),
        ("half fixed, upper", lambda: vary(crop(fixed, S, 0.5, 1), moving, expected="extents")),
        ("half fixed, lower", lambda: vary(crop(fixed, S, 0, 0.5), moving, expected="extents")),
        ("slab of a fifth", lambda: vary(fixed, slab, slab, expected="extents")),
        ("tilt of 5°", lambda: misplace(turn_about(center, 5 * TILT_AXIS), is_sound=True)),
        ("tilt of 20°", lambda: misplace(turn_about(center, 20 * TILT_AXIS))),
        ("offset of 31 cm", lambda: misplace(homogeneous(np.eye(3), OFFSET_MM), expected="offset")),
        ("noise of 5 %", lambda: vary(add_noise(fixed, 1, 0.05), add_noise(moving, 2, 0.05), is_sound=True)),
        ("other anatomy", lambda: vary(fixed, other, other, expected="poor match", is_scored=False)),
        ("disjoint parts", lambda: _make_disjoint(fixed, moving)),
    ]
    turns = list_rotations()[1:]
    for n in range(rotations):
        matrix = about(center, turns[(number * rotations + n) % len(turns)])
        builds.append(("rotation", lambda matrix=matrix: misplace(matrix, expected="turn")))  # type: ignore[misc]
    for axis, letter in enumerate("RAS"):
        matrix = about(center, np.diag([-1.0 if a == axis else 1.0 for a in range(3)]))
        mirrored = replace(moving, affine=matrix @ moving.affine)
        builds.append(
            (
                f"mirrored axis, {letter}",
                lambda mirrored=mirrored: vary(fixed, mirrored, expected="mirror", is_scored=False),  # type: ignore[misc]
            )
        )
    return builds + _list_special(case, number, vary)


def _list_special(case: Case, number: int, vary: Callable[..., Variation]) -> list[tuple[str, Build]]:
    """List the variations that only some anatomies have: NaN outside of the body, and other contrasts."""
    fixed, moving, group = case.fixed, case.moving, case.pair.group
    builds: list[tuple[str, Build]] = []
    if group.endswith("_ct"):
        builds.append(("NaN outside, both", lambda: vary(erase_air(fixed), erase_air(moving), is_sound=True)))
    if group == "headneck_ct":
        builds.append(("contrast: CT as MRI", lambda: vary(fixed, ct_as_mri(moving, number), expected="multimodal")))
    labels = case.moving_labels
    if group == "brain_t1" and labels is not None:
        for contrast in CONTRASTS:
            builds.append(
                (
                    f"contrast: {contrast}",
                    lambda contrast=contrast: vary(  # type: ignore[misc]
                        fixed, remapped(moving, labels, contrast, number), expected="multimodal"
                    ),
                )
            )
    return builds


def _make_disjoint(fixed: Volume, moving: Volume) -> Variation:
    """Keep the upper third of the fixed volume and the lower third of the moving one."""
    top, bottom = crop(fixed, S, 0.67, 1), crop(moving, S, 0, 0.33)
    return Variation("", top, bottom, bottom.geometry, expected="poor match", is_scored=False)


def pad(volume: Volume, before: tuple[int, int, int], after: tuple[int, int, int]) -> Volume:
    """Add voxels (i, j, k) of the lowest value on both sides."""
    widths = list(zip(before, after, strict=True))[::-1]
    array = np.pad(volume.array, widths, constant_values=volume.array.min())
    return replace(volume, array=array, affine=volume.affine @ homogeneous(np.eye(3), -np.array(before, float)))


def add_canvas(volume: Volume) -> Volume:
    """Add 40 voxels of the lowest value on all sides."""
    return pad(volume, (CANVAS_VOXELS,) * 3, (CANVAS_VOXELS,) * 3)


def add_margin(volume: Volume, axis: int) -> Volume:
    """Add 25 cm of the lowest value on the R, A or S side."""
    index = _find_array_axis(volume, axis)
    count = round(MARGIN_MM / float(volume.geometry.spacing_mm[index]))
    widths = tuple(count if n == index else 0 for n in range(3))
    is_forward = volume.affine[axis, index] > 0
    return pad(volume, (0, 0, 0), widths) if is_forward else pad(volume, widths, (0, 0, 0))  # type: ignore[arg-type]


def crop(volume: Volume, axis: int, low: float, high: float) -> Volume:
    """Keep a part of a volume, as fractions of its extent along R, A or S."""
    index, part = _find_slices(volume, axis, low, high)
    offset = np.zeros(3)
    offset[index] = part.start
    array = volume.array[tuple(part if n == 2 - index else slice(None) for n in range(3))]
    return replace(volume, array=array, affine=volume.affine @ homogeneous(np.eye(3), offset))


def clear(volume: Volume, axis: int, low: float, high: float) -> Volume:
    """Set a part of a volume, as fractions of its extent along R, A or S, to the lowest value."""
    index, part = _find_slices(volume, axis, low, high)
    array = volume.array.copy()
    array[tuple(part if n == 2 - index else slice(None) for n in range(3))] = array.min()
    return replace(volume, array=array)


def _find_slices(volume: Volume, axis: int, low: float, high: float) -> tuple[int, slice]:
    """Find the array axis (0: i) nearest to R, A or S, and the voxels of a part along it."""
    index = _find_array_axis(volume, axis)
    if volume.affine[axis, index] < 0:
        low, high = 1 - high, 1 - low
    size = volume.geometry.size_ijk[index]
    return index, slice(round(low * size), round(high * size))


def _find_array_axis(volume: Volume, axis: int) -> int:
    return int(np.argmax(np.abs(volume.affine[axis, :3]) / volume.geometry.spacing_mm))


def erase_air(volume: Volume) -> Volume:
    """Set the air of a CT that is connected with the border to NaN."""
    array = volume.array.astype(np.float32)
    regions, _ = ndimage.label(array < AIR_HU)
    border = np.ones(array.shape, bool)
    border[1:-1, 1:-1, 1:-1] = False
    outside = np.setdiff1d(np.unique(regions[border]), [0])
    array[np.isin(regions, outside)] = np.nan
    return replace(volume, array=array)


def add_noise(volume: Volume, seed: int, fraction: float) -> Volume:
    """Add Gaussian noise; fraction: standard deviation as a share of the range of the intensities."""
    low, high = np.percentile(volume.array, (0.5, 99.5))
    noise = np.random.default_rng(seed).normal(0, fraction * float(high - low), volume.array.shape)
    return replace(volume, array=(volume.array + noise).astype(np.float32))


def about(center: FloatArray, linear: FloatArray) -> FloatArray:
    """Make a 4x4 matrix of a linear map about a point."""
    return homogeneous(linear, center - linear @ center)


def turn_about(center: FloatArray, degrees: FloatArray) -> FloatArray:
    """Make the 4x4 matrix of a rotation vector about a point."""
    return about(center, Rotation.from_rotvec(degrees, degrees=True).as_matrix())


def list_rotations() -> list[FloatArray]:
    """List the 24 rotations that map the axes to axes, none first."""
    matrices = [
        np.eye(3)[list(p)] * np.array(s)[:, None]
        for p in permutations(range(3))
        for s in product((1.0, -1.0), repeat=3)
    ]
    return [m for m in matrices if np.linalg.det(m) > 0]


@dataclass(frozen=True, eq=False)
class Rescan:
    """A volume and a second scan of it. truth: 4x4, fixed -> moving, RAS mm."""

    name: str
    fixed: Volume
    moving: Volume
    truth: FloatArray


def make_rescans(volume: Volume) -> Iterator[Rescan]:
    """Scan one volume again: the same voxels, with noise, and moved by 3 degrees and 4 mm with noise."""
    yield Rescan("rescan: identical", volume, volume, IDENTITY)
    yield Rescan("rescan: noise of 2 %", volume, add_noise(volume, 1, 0.02), IDENTITY)
    motion = turn_about(volume.geometry.center_mm, np.array((1.5, -2, 1.8))) @ homogeneous(np.eye(3), (3, -2, 2))
    yield Rescan("rescan: moved by 3° and 4 mm", volume, add_noise(move(volume, motion), 2, 0.02), motion)


def move(volume: Volume, motion: FloatArray) -> Volume:
    """Resample a moved volume on its own grid; outside of it is the lowest value."""
    to_source = np.linalg.inv(volume.affine) @ np.linalg.inv(motion) @ volume.affine
    linear, offset = to_source[2::-1, 2::-1], to_source[2::-1, 3]
    source = volume.array.astype(np.float32)
    array = ndimage.affine_transform(source, linear, offset, order=3, cval=float(source.min()))
    return replace(volume, array=array)
