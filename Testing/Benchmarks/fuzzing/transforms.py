"""Made-up transform files, sound and damaged: linear ones, composites, and displacement fields."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from LightRegistrationLib.commands.apply.chain import load_chain
from LightRegistrationLib.commands.apply.request import ApplyRequest, TransformFile
from LightRegistrationLib.core.geometry.geometry import apply_affine
from LightRegistrationLib.scene.files.transform_loading import load_linear_transform
from LightRegistrationLib.scene.headless.application import headless_application
from LightRegistrationLib.scene.nodes.transform_chain import TransformChain

from .damage import damage_binary, damage_text
from .judging import Wrong

LPS = np.array([-1.0, -1.0, 1.0])
TOLERANCE_MM = 0.02
"""Displacement fields are stored with the seven digits of 32-bit numbers, and .mat files are too."""
_FIELD_MM, _FIELD_VOXELS = 200.0, 12
_TEXT = (".tfm", ".txt")


def read_sound_transform(random: Random, folder: Path) -> None:
    """A transform that ITK wrote: points are mapped as ITK maps them, forward and back."""
    transform, suffixes = make_transform(random)
    path = folder / f"a{random.choice(suffixes)}"
    write_transform(transform, path)
    points = np.array([[random.uniform(-80, 80) for _ in range(3)] for _ in range(6)])
    expected = np.array([transform.TransformPoint(point) for point in (points * LPS).tolist()]) * LPS
    chain = _load(path)
    _compare(chain.map_points(points), expected, "mapped")
    _compare(chain.map_back(expected), points, "mapped back")
    if transform.IsLinear():
        found = load_linear_transform(headless_application().scene, path)
        _compare(apply_affine(found.matrix, points), expected, "mapped as initial alignment")


def read_damaged_transform(random: Random, folder: Path) -> None:
    """A transform file that is damaged: refused, or a transform that maps points to finite places and back."""
    transform, suffixes = make_transform(random)
    path = folder / f"a{random.choice(suffixes)}"
    write_transform(transform, path)
    content = path.read_bytes()
    if path.suffix == ".h5":  # its inner tables have no checksums: other damage there can crash HDF5 itself
        content = content[: random.randrange(len(content))]
    else:
        damage = damage_text if path.suffix in _TEXT else damage_binary
        content = damage(content, random, min(len(content), 4000))
    path.write_bytes(content)
    points = np.array([[0.0, 0, 0], [10, 20, -30]])
    if random.random() < 0.5:
        matrix = load_linear_transform(headless_application().scene, path).matrix
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
            raise Wrong(f"a matrix that cannot be used: {matrix.tolist()}")
        return
    chain = _load(path)
    if not np.isfinite(chain.map_points(points)).all():
        raise Wrong("points are mapped to places that are not finite")


def make_transform(random: Random) -> tuple[sitk.Transform, tuple[str, ...]]:
    """Make a transform, LPS, and the kinds of files that can hold it."""
    kind = random.randrange(8)
    if kind == 6:
        return _make_field(random), (".h5", ".nrrd", ".nii.gz", ".mha")
    if kind == 7:
        return sitk.CompositeTransform([_make_linear(random, 0), _make_field(random)]), (".h5",)
    if kind == 5:
        parts = [_make_linear(random, random.randrange(4)) for _ in range(random.randint(1, 3))]
        return sitk.CompositeTransform(parts), (".h5", ".tfm", ".txt")
    return _make_linear(random, kind), (".h5", ".tfm", ".txt", ".mat")


def _make_linear(random: Random, kind: int) -> sitk.Transform:
    center, shift = ([random.uniform(-200, 200) for _ in range(3)] for _ in range(2))
    angles = [random.uniform(-3, 3) for _ in range(3)]
    transform: sitk.Transform
    if kind == 0:
        matrix = np.eye(3) + [[random.uniform(-0.2, 0.2) for _ in range(3)] for _ in range(3)]
        transform = sitk.AffineTransform(matrix.ravel().tolist(), shift, center)
    elif kind == 1:
        transform = sitk.Euler3DTransform(center, *angles, shift)
    elif kind == 2:
        transform = sitk.VersorRigid3DTransform((1, 2, 3), angles[0], shift, center)
    elif kind == 3:
        transform = sitk.Similarity3DTransform(random.uniform(0.5, 2), (3, -1, 2), angles[0], shift, center)
    else:
        transform = sitk.TranslationTransform(3, shift)
    return transform


def _make_field(random: Random) -> sitk.DisplacementFieldTransform:
    """Make a smooth displacement field on a grid that turns, around the origin."""
    numbers = np.random.default_rng(random.getrandbits(32))
    array = numbers.normal(0, 1.5, (_FIELD_VOXELS,) * 3 + (3,))
    image = sitk.GetImageFromArray(array, isVector=True)
    # Rounded, since the singular values of a matrix with the least of all numbers fail in ITK itself.
    turn = sitk.Euler3DTransform((0, 0, 0), *(round(random.uniform(-1, 1), 6) for _ in range(3)))
    spacing = 2 * _FIELD_MM / _FIELD_VOXELS
    image.SetSpacing((spacing,) * 3)
    image.SetDirection(turn.GetMatrix())
    corner = np.array(turn.GetMatrix()).reshape(3, 3) @ np.full(3, -spacing * (_FIELD_VOXELS - 1) / 2)
    image.SetOrigin(corner.tolist())
    return sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))


def write_transform(transform: sitk.Transform, path: Path) -> None:
    """Write a transform as ITK does; a displacement field also as an image."""
    if path.name.endswith((".nrrd", ".nii.gz", ".mha")):
        field = sitk.DisplacementFieldTransform(transform).GetDisplacementField()
        sitk.WriteImage(sitk.Cast(field, sitk.sitkVectorFloat32), str(path))
    else:
        sitk.WriteTransform(transform, str(path))


def _load(path: Path) -> TransformChain:
    request = ApplyRequest((TransformFile(path),), path, path)
    return load_chain(headless_application().scene, request)


def _compare(found: NDArray, expected: NDArray, what: str) -> None:
    distance = np.abs(found - expected).max()
    if not distance <= TOLERANCE_MM:
        raise Wrong(f"points are {what} up to {distance:.3f} mm away")
