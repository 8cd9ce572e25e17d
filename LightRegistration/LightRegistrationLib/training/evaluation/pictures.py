"""Draws a pair: middle slices of the fixed, the affinely aligned and the warped moving image, with outlines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.geometry.volume import Segmentation, Volume
from ...core.network.grid import reorient_to_ras
from ...core.sampling.warping import warp_segmentation, warp_volume
from .cases import AFFINE, BEFORE, Case, Outcome

_PLANES = ("axial", "coronal", "sagittal")
_INCHES = 3.0
_FIXED_COLOR, _MOVING_COLOR = (0, 1, 0, 0.9), (1, 0, 0, 0.7)


@dataclass(frozen=True, eq=False)
class _Column:
    """An image (k, j, i) on the fixed grid, axes toward R, A, S; values 0 to 1, or -1 to 1 for a difference.

    outlines: label arrays and the colors of their outlines.
    """

    title: str
    image: NDArray
    is_difference: bool = False
    outlines: tuple[tuple[NDArray, tuple[float, ...]], ...] = ()


def draw_case(case: Case, outcomes: Mapping[str, Outcome], file: Path) -> None:
    """Draw a row for each plane: fixed, moving affine, warped, and the differences of both from the fixed image.

    Fixed structures are outlined in green, moving ones in red; the warped image is that of the last method that returns
    a field. The planes are in the middle of the structures, or of the volume without structures. Raises InputError if
    the file cannot be written.
    """
    last = [name for name, o in outcomes.items() if o.field is not None and name not in (AFFINE, BEFORE)][-1:]
    shown = {name: outcomes[name] for name in (AFFINE, *last) if name in outcomes}
    fixed_labels = _labels(case.fixed_labels, case)
    columns = _columns(case, shown, fixed_labels)
    spacing = np.linalg.norm(reorient_to_ras(case.fixed.array, case.fixed.affine)[1][:3, :3], axis=0)[::-1]
    figure = Figure(figsize=(_INCHES * len(columns), _INCHES * 3), layout="constrained", facecolor="white")
    axes = figure.subplots(3, len(columns), squeeze=False)
    for axis, index in enumerate(_middle(fixed_labels, columns[0].image.shape)):
        height, width = np.delete(spacing, axis)
        for cell, column in zip(axes[axis], columns, strict=True):
            _draw_cell(cell, column, axis, index, float(height / width))
            cell.set_title(f"{column.title}, {_PLANES[axis]}", fontsize=8)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=100, format="png")
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror or error}).") from error


def _columns(case: Case, outcomes: Mapping[str, Outcome], fixed_labels: NDArray | None) -> list[_Column]:
    target = () if fixed_labels is None else ((fixed_labels, _FIXED_COLOR),)
    fixed = _gray(case.fixed, case.fixed)
    images, differences = [_Column("fixed", fixed, outlines=target)], []
    for name, outcome in outcomes.items():
        moving = _gray(warp_volume(case.moving, outcome.field, case.fixed.geometry), case.moving)
        labels = _labels(outcome.warped_labels, case)
        own = () if labels is None else ((labels, _MOVING_COLOR),)
        images.append(_Column(f"moving, {name}", moving, outlines=(*target, *own)))
        differences.append(_Column(f"{name} - fixed", moving - fixed, is_difference=True))
    return images + differences


def _gray(volume: Volume, original: Volume) -> NDArray:
    """Scale intensities so that the 1st to 99th percentile of the original become 0 to 1."""
    low, high = np.nanpercentile(original.array[::2, ::2, ::2].astype(np.float32), (1, 99))
    array, _ = reorient_to_ras(volume.array, volume.affine)
    scaled = (np.nan_to_num(array.astype(np.float32), nan=float(low)) - low) / max(float(high - low), 1e-6)
    return np.clip(scaled, 0, 1)


def _labels(segmentation: Segmentation | None, case: Case) -> NDArray | None:
    if segmentation is None:
        return None
    geometry = case.fixed.geometry
    if not segmentation.geometry.matches(geometry):
        segmentation = warp_segmentation(segmentation, None, geometry)
    return reorient_to_ras(segmentation.layers[0], geometry.affine)[0]


def _middle(labels: NDArray | None, shape: tuple[int, ...]) -> list[int]:
    """The slice indices (k, j, i) to show."""
    found = np.argwhere(labels[::2, ::2, ::2]) if labels is not None else np.empty((0, 3))
    return [2 * int(n) for n in np.median(found, axis=0)] if len(found) else [n // 2 for n in shape]


def _draw_cell(cell: Any, column: _Column, axis: int, index: int, aspect: float) -> None:
    low, colors = (-1, "RdBu") if column.is_difference else (0, "gray")
    cell.imshow(np.take(column.image, index, axis), cmap=colors, vmin=low, vmax=1, origin="lower", aspect=aspect)
    for labels, color in column.outlines:
        edges = _edges(np.take(labels, index, axis))
        rgba = np.where(edges[..., None], np.array(color, dtype=np.float32), np.float32(0))
        cell.imshow(rgba, origin="lower", aspect=aspect, interpolation="nearest")
    cell.set_axis_off()


def _edges(labels: NDArray) -> NDArray[np.bool_]:
    """The pixels where the label changes; drawing a contour for each of a hundred structures would be slow."""
    edges = np.zeros(labels.shape, dtype=bool)
    edges[1:] |= labels[1:] != labels[:-1]
    edges[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    return edges
