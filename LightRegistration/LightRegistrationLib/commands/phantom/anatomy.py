"""A synthetic head as a function of space: T1-weighted brightness and structure at any point.

All points are RAS mm in the frame of the head (origin near the center of the brain). All distances are mm, negative
inside. Each structure is painted over the previous ones, with an edge about as soft as a voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

EDGE_MM = 1.2
LEFT_TO_RIGHT = {2: 41, 3: 42, 4: 43, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52, 17: 53}
"""The label values of paired structures, as FreeSurfer numbers them."""

LABEL_NAMES = {
    2: "cerebral white matter",
    3: "cerebral cortex",
    4: "lateral ventricle",
    8: "cerebellum",
    10: "thalamus",
    11: "caudate",
    12: "putamen",
    13: "pallidum",
    14: "Third ventricle",
    15: "Fourth ventricle",
    16: "Brain stem",
    17: "hippocampus",
}

AIR, BONE, FLUID, MUSCLE, FAT = 0.02, 0.12, 0.18, 0.45, 0.95
CORTEX, WHITE_MATTER = 0.58, 0.88


@dataclass(frozen=True)
class Ellipsoid:
    """Center and radii, mm; pitch: rotation about the right axis, yaw: about the superior axis, degrees."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    pitch: float = 0.0
    yaw: float = 0.0

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """The distance to the surface along the ray from the center; exact for a ball, approximate otherwise."""
        dx, dy, dz = x - self.center[0], y - self.center[1], z - self.center[2]
        if self.yaw:
            c, s = np.float32(np.cos(np.radians(self.yaw))), np.float32(np.sin(np.radians(self.yaw)))
            dx, dy = c * dx + s * dy, c * dy - s * dx
        if self.pitch:
            c, s = np.float32(np.cos(np.radians(self.pitch))), np.float32(np.sin(np.radians(self.pitch)))
            dy, dz = c * dy + s * dz, c * dz - s * dy
        length = dx * dx + dy * dy + dz * dz
        a, b, c2 = (np.float32(1 / r**2) for r in self.radii)
        relative = np.sqrt(dx * dx * a + dy * dy * b + dz * dz * c2 + np.float32(1e-12))
        return np.sqrt(length) * (1 - 1 / relative)


@dataclass(frozen=True)
class Structure:
    """A deep structure: label value (of the left one of a pair), brightness, and the ellipsoids of its shape."""

    value: int
    brightness: float
    parts: tuple[Ellipsoid, ...]


# Paired structures are described on the right side (positive x) and mirrored.
DEEP_STRUCTURES = (
    Structure(
        16,
        0.78,
        (
            Ellipsoid((0, -16, -18), (15, 12, 15)),
            Ellipsoid((0, -18, -36), (17, 14, 15)),
            Ellipsoid((0, -26, -62), (9.5, 9.5, 26), pitch=-12),
        ),
    ),
    Structure(10, 0.68, (Ellipsoid((11, -13, 2), (9, 15, 9), yaw=12),)),
    Structure(13, 0.76, (Ellipsoid((19, -1, -1), (5, 10, 6), yaw=20),)),
    Structure(12, 0.64, (Ellipsoid((27, 3, 0), (5.5, 16, 10), yaw=12),)),
    Structure(17, 0.60, (Ellipsoid((27, -20, -13), (5.5, 18, 5.5), pitch=20, yaw=12),)),
    Structure(
        4,
        FLUID,
        (
            Ellipsoid((11, 4, 17), (6, 28, 6.5), pitch=-8, yaw=4),
            Ellipsoid((10, 27, 9), (5.5, 12, 8), yaw=-15),
            Ellipsoid((21, -33, 9), (7, 15, 8), yaw=18),
            Ellipsoid((33, -18, -7), (3.5, 15, 4), pitch=25, yaw=8),
        ),
    ),
    Structure(11, 0.62, (Ellipsoid((15, 19, 7), (5, 12, 8), yaw=-10), Ellipsoid((19, -2, 16), (3.5, 17, 4)))),
    Structure(14, FLUID, (Ellipsoid((0, -6, -2), (2.2, 13, 9)),)),
    Structure(15, FLUID, (Ellipsoid((0, -37, -36), (6, 5, 8)),)),
)

CEREBRUM = (Ellipsoid((0, 0, 12), (66, 84, 57)), Ellipsoid((0, -30, 10), (58, 57, 48)))
TEMPORAL_LOBE = Ellipsoid((43, 4, -22), (22, 42, 22), yaw=-10)
CEREBELLUM = (Ellipsoid((24, -57, -39), (31, 30, 23)), Ellipsoid((0, -55, -36), (16, 27, 20)))
CALLOSUM = Ellipsoid((0, -4, 9), (15, 39, 21))
SKULL_CAP = Ellipsoid((0, -1, 10), (71, 90, 64))
SKULL_BASE = (Ellipsoid((43, 4, -22), (26, 46, 26), yaw=-10), Ellipsoid((0, -48, -32), (60, 44, 36)))
SPINAL_CANAL = Ellipsoid((0, -30, -75), (13, 13, 50), pitch=-12)
FACE = (Ellipsoid((0, 46, -52), (56, 50, 62)), Ellipsoid((0, -26, -85), (58, 62, 70)))
EYE = Ellipsoid((32, 72, -34), (13, 13, 12))
SINUSES = (Ellipsoid((0, 66, -54), (12, 24, 22)), Ellipsoid((26, 56, -62), (11, 15, 12)))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The head at a set of points: brightness (about 0 to 1), label value (0 outside the brain), inside the head."""

    brightness: Array
    labels: NDArray[np.uint8]
    head: NDArray[np.bool_]


class _Canvas:
    """Brightness and labels under construction."""

    def __init__(self, points: Array) -> None:
        self.x, self.y, self.z = (np.ascontiguousarray(points[..., n], dtype=np.float32) for n in range(3))
        self.side = np.abs(self.x)
        self.brightness = np.full(self.x.shape, AIR, dtype=np.float32)
        self.labels = np.zeros(self.x.shape, dtype=np.uint8)

    def distance(self, parts: tuple[Ellipsoid, ...], paired: bool = True) -> Array:
        """Distance to the union of the parts, each mirrored to both sides."""
        x = self.side if paired else self.x
        return np.asarray(np.minimum.reduce([part.distance(x, self.y, self.z) for part in parts]))

    def paint(self, distance: Array, brightness: float | Array, value: int | None = None) -> None:
        """Paint a structure over the previous ones; value None keeps the labels, a left value is mirrored."""
        cover = np.clip(np.float32(0.5) - distance / np.float32(EDGE_MM), 0, 1)
        self.brightness += cover * (brightness - self.brightness)
        if value is not None:
            inside = distance < 0
            self.labels[inside] = value
            if value in LEFT_TO_RIGHT:
                self.labels[inside & (self.x > 0)] = LEFT_TO_RIGHT[value]


def evaluate_anatomy(points_mm: NDArray, seed: int = 0) -> Anatomy:
    """Evaluate the head of a seed at points (..., 3), RAS mm in the frame of the head."""
    canvas = _Canvas(np.asarray(points_mm, dtype=np.float32))
    waves = np.random.default_rng(seed)
    head = _paint_head(canvas, waves)
    _paint_cerebrum(canvas, waves)
    _paint_cerebellum(canvas, waves)
    for structure in DEEP_STRUCTURES:
        canvas.paint(canvas.distance(structure.parts), structure.brightness, structure.value)
    canvas.brightness *= 1 + np.float32(0.04) * sum_plane_waves(canvas.x, canvas.y, canvas.z, 13.0, 8, waves)
    return Anatomy(canvas.brightness, canvas.labels, head)


def sum_plane_waves(
    x: Array, y: Array, z: Array, wavelength_mm: float, count: int, generator: np.random.Generator
) -> Array:
    """Return smooth isotropic noise of one wavelength: plane waves in random directions, standard deviation 1."""
    total = np.zeros(x.shape, dtype=np.float32)
    for _ in range(count):
        direction = generator.normal(size=3)
        k = (direction / np.linalg.norm(direction) * 2 * np.pi / wavelength_mm).astype(np.float32)
        total += np.sin(k[0] * x + k[1] * y + k[2] * z + np.float32(generator.uniform(0, 2 * np.pi)))
    return total * np.float32(np.sqrt(2 / count))


def _paint_head(canvas: _Canvas, waves: np.random.Generator) -> NDArray[np.bool_]:
    cap = np.maximum(canvas.distance((SKULL_CAP,)), _cerebral_base(canvas) - 5 - canvas.z)
    skull = np.minimum(cap, canvas.distance(SKULL_BASE))
    thickness = 1.5 * sum_plane_waves(canvas.x, canvas.y, canvas.z, 70.0, 6, waves)
    skin = np.minimum(skull - 12 - thickness, canvas.distance(FACE))
    canvas.paint(skin, MUSCLE)
    canvas.paint(skin, FAT)
    canvas.paint(skin + 4, MUSCLE)
    canvas.paint(canvas.distance((EYE,)) - 4, FAT)
    canvas.paint(canvas.distance((EYE,)), FLUID)
    canvas.paint(canvas.distance(SINUSES), AIR)
    canvas.paint(skull - 7, BONE)
    canvas.paint(np.abs(skull - 4) - 1.2 - 0.5 * thickness, 0.4)
    canvas.paint(np.minimum(skull, canvas.distance((SPINAL_CANAL,), paired=False)), FLUID)
    return skin < 0


def _paint_cerebrum(canvas: _Canvas, waves: np.random.Generator) -> None:
    cerebrum = canvas.distance(CEREBRUM)
    above = np.maximum(_cerebral_base(canvas) - canvas.z, cerebrum)
    envelope = np.minimum(above, canvas.distance((TEMPORAL_LOBE,)))
    hemisphere = np.maximum(envelope, np.float32(0.6) - canvas.side)
    depth = -hemisphere
    ribbon = np.minimum(depth, _sulcus_distance(canvas, depth, waves))
    canvas.paint(-ribbon, CORTEX, 3)
    canvas.paint(np.float32(3.2) - ribbon, WHITE_MATTER, 2)
    canvas.paint(np.maximum(canvas.distance((CALLOSUM,)), -depth - 4), WHITE_MATTER, 2)


def _cerebral_base(canvas: _Canvas) -> Array:
    """Height z of the lower boundary of the cerebrum: the orbits in front, the tentorium cerebelli behind."""
    return np.where(canvas.y > 0, np.float32(-22), np.float32(-22) - np.float32(0.14) * canvas.y)


def _sulcus_distance(canvas: _Canvas, depth: Array, waves: np.random.Generator) -> Array:
    """Distance to the nearest sulcus: sheets on the zero set of a smooth noise, fading out under 14 mm of depth."""
    result = np.full(depth.shape, 50.0, dtype=np.float32)
    near = (depth > -2) & (depth < 26)
    x, y, z = canvas.x[near], canvas.y[near], canvas.z[near]
    wavelength = 34.0
    noise = sum_plane_waves(x, y, z, wavelength, 16, waves) + 0.35 * sum_plane_waves(x, y, z, 15.0, 8, waves)
    slope = 2 * np.pi / wavelength / np.sqrt(3) * 1.35
    result[near] = np.abs(noise) / np.float32(slope) - 0.7 + 0.8 * np.maximum(0, depth[near] - 14)
    return result


def _paint_cerebellum(canvas: _Canvas, waves: np.random.Generator) -> None:
    surface = canvas.distance(CEREBELLUM)
    canvas.paint(surface - 1.8, FLUID, 0)
    wobble = 2 * sum_plane_waves(canvas.x, canvas.y, canvas.z, 30.0, 6, waves)
    folia = np.sin((canvas.z * 1.2 + 0.5 * canvas.y + wobble) * np.float32(2 * np.pi / 6.5))
    gray = (CORTEX + 0.06 + 0.12 * folia).astype(np.float32)
    canvas.paint(surface, gray, 8)
    canvas.paint(surface + 10 + 3 * folia, WHITE_MATTER - 0.04, 8)
