"""Reads the files of a request through the MRML scene."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import InputError
from ...core.files.landmark_table import read_landmarks
from ...core.files.plain_file import list_same_files
from ...core.geometry.geometry import FloatArray
from ...core.geometry.volume import Segmentation, Volume
from ...core.result.progress import Progress, ProgressUpdate, Stage
from ...core.result.settings import InitialAlignment
from ...scene.files.file_checks import OnWarning
from ...scene.files.segmentation_loading import load_mask, load_segmentation
from ...scene.files.transform_loading import load_linear_transform
from ...scene.files.volume_loading import load_volume
from ...scene.headless.application import HeadlessApplication, headless_application
from ...scene.nodes.removal import remove_new_nodes, remove_with_display
from ...scene.nodes.segmentations import segmentation_from_node
from ...scene.nodes.volumes import volume_from_node
from ...worker.guidance import build_guidance
from ...worker.protocol import RegistrationRequest
from .request import FilesRequest

RIGHT_ANGLE_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class LoadedInputs:
    """A pair in the scene: its nodes (None without a file), the same as typed values, and how long reading took.

    landmarks: (n, 2, 3), fixed and moving, RAS mm. warnings: about the files, one line each.
    """

    application: HeadlessApplication
    fixed_node: Any
    moving_node: Any
    fixed_segmentation_node: Any
    moving_segmentation_node: Any
    request: RegistrationRequest
    landmarks: FloatArray | None
    seconds: float
    warnings: tuple[str, ...]


@contextmanager
def load_inputs(request: FilesRequest, progress: Progress) -> Iterator[LoadedInputs]:
    """Load a pair into the headless scene of this process; all nodes that are added in the block are removed after it.

    Raises InputError, naming the file, for a file that cannot be used.
    """
    application = headless_application()
    with remove_new_nodes(application.scene):
        yield _load(request, application, progress)


def _load(request: FilesRequest, application: HeadlessApplication, progress: Progress) -> LoadedInputs:
    scene = application.scene
    started = time.perf_counter()
    warnings: list[str] = []
    progress(ProgressUpdate(0.0, Stage.READING))
    fixed_node = load_volume(scene, request.fixed, series=request.fixed_series, on_warning=warnings.append)
    check_right_angles(volume_from_node(fixed_node), request.fixed, "fixed volume")
    progress(ProgressUpdate(0.3, Stage.READING))
    moving_node = load_volume(scene, request.moving, series=request.moving_series, on_warning=warnings.append)
    progress(ProgressUpdate(0.6, Stage.READING))
    fixed_mask, moving_mask = (
        _load_mask(scene, path, warnings.append) for path in (request.fixed_mask, request.moving_mask)
    )
    fixed_segmentation_node, moving_segmentation_node = (
        None if path is None else load_segmentation(scene, path, on_warning=warnings.append)
        for path in (request.fixed_segmentation, request.moving_segmentation)
    )
    initial = request.initial_file
    settings = replace(
        request.settings,
        initial=InitialAlignment(str(request.initial))
        if initial is None
        else load_linear_transform(scene, initial, on_warning=warnings.append),
    )
    values = RegistrationRequest(
        replace(volume_from_node(fixed_node), name=request.fixed.name),
        replace(volume_from_node(moving_node), name=request.moving.name),
        settings,
        _read_segmentation(fixed_segmentation_node),
        _read_segmentation(moving_segmentation_node),
        fixed_mask,
        moving_mask,
        request.consistency,
    )
    landmarks = _read_landmarks(request.landmarks, values, warnings.append)
    warnings += [f"{line}." for line in list_same_files(request.roles)]
    build_guidance(values)  # raises its errors before torch is imported, which takes seconds
    return LoadedInputs(
        application,
        fixed_node,
        moving_node,
        fixed_segmentation_node,
        moving_segmentation_node,
        values,
        landmarks,
        time.perf_counter() - started,
        tuple(dict.fromkeys(warnings)),
    )


def _read_landmarks(path: Path | None, pair: RegistrationRequest, on_warning: OnWarning) -> FloatArray | None:
    if path is None:
        return None
    landmarks = read_landmarks(path)
    for role, volume, points in (("fixed", pair.fixed, landmarks[:, 0]), ("moving", pair.moving, landmarks[:, 1])):
        outside = int((~volume.geometry.contains(points)).sum())
        if outside:
            on_warning(
                f"{path}: {outside} of {len(landmarks)} {role} landmarks lie outside of the volume; are they RAS mm?"
            )
    return landmarks


def check_right_angles(volume: Volume, path: Path, role: str) -> None:
    """Raise InputError for a sheared grid: NIfTI cannot store it, and results on it would be displaced."""
    axes = volume.affine[:3, :3] / volume.geometry.spacing_mm
    if np.abs(axes.T @ axes - np.eye(3)).max() > RIGHT_ANGLE_TOLERANCE:
        raise InputError(
            f"{path}: the axes of the {role} are not at right angles; resample it to a grid where they are first."
        )


def _load_mask(scene: Any, path: Path | None, on_warning: OnWarning) -> Segmentation | None:
    """Read a mask and remove its node, or the pictures would show it."""
    if path is None:
        return None
    node = load_mask(scene, path, on_warning=on_warning)
    mask = _read_segmentation(node)
    remove_with_display(scene, node)
    return mask


def _read_segmentation(node: Any) -> Segmentation | None:
    return None if node is None else segmentation_from_node(node)
