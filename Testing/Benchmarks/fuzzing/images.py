"""Made-up volumes, and the bytes of NIfTI, NRRD and MetaImage files that hold them."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

NIFTI_TYPES = {
    "uint8": 2,
    "int16": 4,
    "int32": 8,
    "float32": 16,
    "float64": 64,
    "int8": 256,
    "uint16": 512,
    "uint32": 768,
    "int64": 1024,
    "uint64": 1280,
}
META_TYPES = {
    "uint8": "MET_UCHAR",
    "int8": "MET_CHAR",
    "int16": "MET_SHORT",
    "uint16": "MET_USHORT",
    "int32": "MET_INT",
    "uint32": "MET_UINT",
    "float32": "MET_FLOAT",
    "float64": "MET_DOUBLE",
}
MAX_VOXELS = 20_000
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class MadeVolume:
    """An array (k, j, i) and its affine 4x4 (i, j, k, 1) -> RAS mm."""

    array: NDArray
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Voxel spacing along i, j, k, mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def is_usable(self) -> bool:
        """Whether it has two voxels or more along each axis, and different values."""
        return min(self.array.shape) >= 2 and not (self.array == self.array.flat[0]).all()


def make_volume(random: Random, types: tuple[str, ...] = tuple(NIFTI_TYPES)) -> MadeVolume:
    """Make a volume of 1 to 300 voxels per axis, any direction cosines, 0.1 to 10 mm spacing, offsets up to 10 m."""
    return MadeVolume(_make_array(random, make_shape(random), random.choice(types)), make_affine(random))


def make_shape(random: Random) -> tuple[int, ...]:
    """Make the size of a volume: 1 to 300 voxels per axis, 20,000 at most."""
    sizes: list[int] = []
    for _ in range(3):
        room = MAX_VOXELS // int(np.prod(sizes, initial=1))
        sizes.append(random.randint(1, max(min(300, room, random.choice((12, 30, 300))), 1)))
    random.shuffle(sizes)
    return tuple(sizes)


def make_affine(random: Random) -> NDArray[np.float64]:
    """Make a geometry without shear; half of them left-handed, a quarter along the axes of the body."""
    directions = Rotation.from_rotvec([random.uniform(-3, 3) for _ in range(3)]).as_matrix()
    if random.random() < 0.25:
        order = [0, 1, 2]
        random.shuffle(order)
        directions = np.eye(3)[order] * [random.choice((-1, 1)) for _ in range(3)]
    if random.random() < 0.5:
        directions = directions * (1, 1, -1)
    affine = np.eye(4)
    affine[:3, :3] = directions * [10 ** random.uniform(-1, 1) for _ in range(3)]
    affine[:3, 3] = [random.uniform(-1e4, 1e4) for _ in range(3)]
    return affine


def _make_array(random: Random, shape: tuple[int, ...], kind: str) -> NDArray:
    numbers = np.random.default_rng(random.getrandbits(32))
    if not kind.startswith("float"):
        limits = np.iinfo(kind)
        high = random.choice((1, 1000, 1 << 31, 1 << 32))
        return numbers.integers(max(limits.min, -high), min(limits.max, high), shape, kind, endpoint=True)
    array = (numbers.normal(size=shape) * 10 ** random.uniform(-3, 6)).astype(kind)
    for value in (np.nan, np.inf, -np.inf):
        if random.random() < 0.2:
            array[numbers.random(shape) < 0.1] = value
    return array


def nifti_bytes(volume: MadeVolume, random: Random) -> bytes:
    """Return a NIfTI-1 or NIfTI-2 file of either byte order with the position in its sform."""
    order = random.choice("<>")
    header = (_nifti1_header if random.random() < 0.7 else _nifti2_header)(volume, order)
    return header + volume.array.astype(volume.array.dtype.newbyteorder(order)).tobytes()


def _nifti1_header(volume: MadeVolume, order: str) -> bytes:
    header = bytearray(352)
    struct.pack_into(order + "i", header, 0, 348)
    struct.pack_into(order + "8h", header, 40, 3, *volume.array.shape[::-1], 1, 1, 1, 1)
    struct.pack_into(order + "2h", header, 70, NIFTI_TYPES[str(volume.array.dtype)], volume.array.itemsize * 8)
    struct.pack_into(order + "4f", header, 76, 1, *volume.spacing)
    struct.pack_into(order + "3f", header, 108, 352, 1, 0)
    header[123] = 2
    struct.pack_into(order + "2h", header, 252, 0, 1)
    struct.pack_into(order + "12f", header, 280, *volume.affine[:3].ravel())
    header[344:348] = b"n+1\0"
    return bytes(header)


def _nifti2_header(volume: MadeVolume, order: str) -> bytes:
    header = bytearray(544)
    kind = NIFTI_TYPES[str(volume.array.dtype)], volume.array.itemsize * 8
    struct.pack_into(order + "i8s2h", header, 0, 540, b"n+2\0\r\n\x1a\n", *kind)
    struct.pack_into(order + "8q", header, 16, 3, *volume.array.shape[::-1], 1, 1, 1, 1)
    struct.pack_into(order + "4d", header, 104, 1, *volume.spacing)
    struct.pack_into(order + "q2d", header, 168, 544, 1, 0)
    struct.pack_into(order + "2i", header, 344, 0, 1)
    struct.pack_into(order + "12d", header, 400, *volume.affine[:3].ravel())
    struct.pack_into(order + "i", header, 500, 2)
    return bytes(header)


def nrrd_bytes(volume: MadeVolume, random: Random) -> bytes:
    """Return a NRRD file in either space, raw, compressed or as text."""
    encoding = random.choice(("raw", "gzip", "ascii"))
    is_lps = random.random() < 0.5
    affine = LPS_TO_RAS @ volume.affine if is_lps else volume.affine
    vectors = ["(" + ",".join(repr(float(v)) for v in affine[:3, n]) + ")" for n in range(4)]
    kind = str(volume.array.dtype)
    lines = [
        "NRRD0004",
        f"type: {kind if kind.startswith(('int', 'uint')) else {'float32': 'float', 'float64': 'double'}[kind]}",
        "dimension: 3",
        f"space: {'left-posterior-superior' if is_lps else 'right-anterior-superior'}",
        f"sizes: {' '.join(map(str, volume.array.shape[::-1]))}",
        f"space directions: {' '.join(vectors[:3])}",
        "kinds: domain domain domain",
        "endian: little",
        f"encoding: {encoding}",
        f"space origin: {vectors[3]}",
    ]
    voxels = volume.array.tobytes()
    if encoding == "gzip":
        voxels = gzip.compress(voxels, 1)
    elif encoding == "ascii":
        voxels = "\n".join(repr(v) for v in volume.array.ravel().tolist()).encode() + b"\n"
    return "\n".join([*lines, "", ""]).encode() + voxels


def meta_bytes(volume: MadeVolume, random: Random) -> bytes:
    """Return a MetaImage file (.mha), raw or compressed."""
    lps = LPS_TO_RAS @ volume.affine
    voxels = volume.array.tobytes()
    is_compressed = random.random() < 0.5
    if is_compressed:
        voxels = zlib.compress(voxels, 1)
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        f"CompressedData = {is_compressed}",
        *([f"CompressedDataSize = {len(voxels)}"] if is_compressed else []),
        f"TransformMatrix = {_join((lps[:3, :3] / volume.spacing).T.ravel())}",
        f"Offset = {_join(lps[:3, 3])}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {_join(volume.spacing)}",
        f"DimSize = {' '.join(map(str, volume.array.shape[::-1]))}",
        f"ElementType = {META_TYPES[str(volume.array.dtype)]}",
        "ElementDataFile = LOCAL",
        "",
    ]
    return "\n".join(lines).encode() + voxels


def _join(values: NDArray[np.float64]) -> str:
    return " ".join(repr(float(v)) for v in values)
