"""Scan files of one analytic anatomy: smooth balls in a smooth body, with any header and any affine map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.special import expit

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.geometry import apply_affine, homogeneous
from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.images.settings import ImageVariation
from LightRegistrationLib.training.images.source import ImageSource
from LightRegistrationLib.training.sources import ImageSourceConfig

CENTERS_MM = np.array([[-14.0, 8.0, 6.0], [12.0, -10.0, 9.0], [4.0, 12.0, -12.0]])
RADII_MM = (9.0, 8.0, 7.0)
LEVELS = (0.9, 0.15, 0.7)
NO_VARIATION = ImageVariation(**{f.name: 0.0 for f in fields(ImageVariation)} | {"node_mm": 32.0})
WINDOW = {"kind": "window", "low": 0.0, "high": 1.0}
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def header(
    turned: tuple[float, float, float] = (0.0, 0.0, 0.0),
    spacing_mm: tuple[float, float, float] = (3.0, 3.0, 3.0),
    shape: tuple[int, int, int] = (28, 30, 26),
    middle_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    axes: tuple[int, int, int] = (1, 2, 3),
) -> NDArray[np.float64]:
    """An affine (i, j, k, 1) -> RAS mm. axes: which of R, A, S (1, 2, 3; negative: its opposite) i, j, k run to."""
    to_ras = np.stack([np.sign(a) * np.eye(3)[abs(a) - 1] for a in axes], axis=1)
    x, y, z = np.deg2rad(turned)
    rotation = expm(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]))
    matrix = rotation @ to_ras * spacing_mm
    return homogeneous(matrix, np.array(middle_mm) - matrix @ (np.array(shape[::-1]) - 1) / 2)


def anatomy(
    affine: NDArray[np.float64], shape: tuple[int, int, int] = (28, 30, 26), subject: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The image in [0, 1] and the labels 1, 2, 3, (k, j, i). subject: 4x4, mm of the anatomy -> mm of this scan."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")[::-1], axis=-1)
    points = apply_affine(np.linalg.inv(np.eye(4) if subject is None else subject) @ affine, indices)
    image = 0.45 * expit((30 - np.linalg.norm(points / [1.0, 1.1, 0.9], axis=-1)) / 1.5)
    labels = np.zeros(shape, dtype=np.uint8)
    for value, (center, radius, level) in enumerate(zip(CENTERS_MM, RADII_MM, LEVELS, strict=True), start=1):
        distance = np.linalg.norm(points - center, axis=-1)
        image += (level - 0.45) * expit((radius - distance) / 1.0)
        labels[distance < radius] = value
    return image.astype(np.float32), labels


def write(path: Path, array: NDArray, affine: NDArray[np.float64]) -> Path:
    """Write an array (k, j, i) with an affine (i, j, k, 1) -> RAS mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(to_itk(array, affine), str(path))
    return path


def to_itk(array: NDArray, affine: NDArray[np.float64]) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    in_lps = LPS @ affine
    spacing = np.linalg.norm(in_lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((in_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(in_lps[:3, 3].tolist())
    return image


def write_scan(folder: Path, name: str, affine: NDArray[np.float64] | None = None, **known: object) -> Path:
    """Write <name>.nii.gz and <name>_seg.nii.gz; the image's path."""
    affine = header() if affine is None else affine
    image, labels = anatomy(affine, **known)  # type: ignore[arg-type]
    write(folder / f"{name}_seg.nii.gz", labels, affine)
    return write(folder / f"{name}.nii.gz", image, affine)


def config_of(**changes: object) -> ImageSourceConfig:
    """Images of a folder that `write_scan` filled, without any variation."""
    values = {"files": "*[a-z].nii.gz", "labels": "{stem}_seg.nii.gz", "skip": "*_seg.nii.gz"}
    return ImageSourceConfig(**values | {"intensity": WINDOW, "variation": NO_VARIATION} | changes)


def make_generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs_of(source: ImageSource, count: int) -> list[Pair]:
    generator = make_generator()
    return [source.draw(generator) for _ in range(count)]


def refusal(call: Callable[..., object], *arguments: object) -> str:
    """Call what has to refuse its arguments; its line."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message
