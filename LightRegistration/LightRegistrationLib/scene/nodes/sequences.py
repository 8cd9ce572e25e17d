"""Sequences of Slicer: the frames of a 4-D series, a sequence of transforms, and points over time as table and plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
from vtkmodules.vtkCommonCore import vtkDoubleArray
from vtkmodules.vtkCommonDataModel import vtkTable

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray, Geometry
from ...core.geometry.transforms import AffineTransform, DisplacementField
from ...core.geometry.volume import Volume
from .matrices import vtk_matrix
from .transforms import transform_from_field
from .volumes import image_data, volume_from_node

MIN_FRAMES = 2
_DISTANCE_AXIS = "distance (mm)"


def find_series_problem(sequence: Any) -> str | None:
    """Return one line that says why a vtkMRMLSequenceNode is no series of volumes; None if it is one."""
    count = sequence.GetNumberOfDataNodes()
    if count < MIN_FRAMES:
        return f"{sequence.GetName()}: a series needs {MIN_FRAMES} or more frames, but there is {count or 'none'}."
    for number in range(count):
        item = sequence.GetNthDataNode(number)
        is_scalar = item.IsA("vtkMRMLScalarVolumeNode") and not item.IsA("vtkMRMLVectorVolumeNode")
        if not is_scalar or item.IsA("vtkMRMLLabelMapVolumeNode"):
            return f"{sequence.GetName()}: a series of scalar volumes is needed, but its frames are others."
    return None


def read_frame(sequence: Any, number: int) -> Volume:
    """Return a frame as it was loaded. Raises InputError, naming the frame, for one without usable voxels."""
    try:
        volume = volume_from_node(sequence.GetNthDataNode(number))
    except InputError as error:
        raise InputError(f"frame {number}: {error}") from error
    return Volume(volume.array, volume.affine, f"frame {number}")


def make_still_field(grid: Geometry) -> DisplacementField:
    """Return the field of a frame that is registered to itself: no displacement, on a coarse grid over a volume."""
    affine = grid.affine @ np.diag([*(np.maximum(grid.size_ijk - 1, 1)).astype(float), 1.0])
    return DisplacementField(np.zeros((2, 2, 2, 3), np.float32), affine, AffineTransform.identity())


def make_sequence(series: Any) -> Any:
    """Return an empty vtkMRMLSequenceNode for values of the frames of a series; it is not in the scene yet."""
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.CopySequenceIndex(series)
    return sequence


def add_transform(sequence: Any, series: Any, number: int, field: DisplacementField) -> None:
    """Add the transform of a frame to a sequence, at the index value of the frame.

    series: the sequence of the frames. field: from the reference to the frame; the node shares its memory.
    """
    sequence.SetDefaultSequenceStorageNodeClassName("vtkMRMLSequenceStorageNode")
    node = _add_item(sequence, series, number, slicer.vtkMRMLTransformNode(), "transform")
    node.SetAndObserveTransformFromParent(transform_from_field(field, shared=True))


def add_warped(sequence: Any, series: Any, number: int, volume: Volume) -> None:
    """Add the warped volume of a frame to a sequence, at the index value of the frame.

    series: the sequence of the frames. volume: on the grid of the reference; the node shares its memory.
    """
    node = _add_item(sequence, series, number, slicer.vtkMRMLScalarVolumeNode(), "warped")
    node.SetIJKToRASMatrix(vtk_matrix(volume.affine))
    node.SetAndObserveImageData(image_data(volume.array, shared=True))


def _add_item(sequence: Any, series: Any, number: int, empty: Any, name: str) -> Any:
    """Return the sequence's own node at the index value of a frame; a node with content would be copied."""
    value = series.GetNthIndexValue(number)
    empty.SetName(name)
    sequence.SetDataNodeAtValue(empty, value)
    return sequence.GetDataNodeAtValue(value)


def add_sequence(series: Any, sequence: Any, logic: Any) -> Any:
    """Add a sequence to the scene of the series that it was made from, where it is played together with it.

    logic: the vtkSlicerSequencesLogic of the application. Returns the node that follows the shown frame; None for a
    series without a sequence browser.
    """
    scene = series.GetScene()
    scene.AddNode(sequence)
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        browser = scene.GetNthNodeByClass(number, "vtkMRMLSequenceBrowserNode")
        if browser.IsSynchronizedSequenceNode(series, True):
            browser.AddSynchronizedSequenceNode(sequence)
            logic.UpdateProxyNodesFromSequences(browser)
            return browser.GetProxyNode(sequence)
    return None


def measure_points(fields: Mapping[int, DisplacementField], points_mm: FloatArray) -> dict[int, FloatArray]:
    """Return for each frame how far points (n, 3) of the reference, RAS mm, have moved, (n,), mm."""
    return {n: np.linalg.norm(field(points_mm) - points_mm, axis=1) for n, field in sorted(fields.items())}


def add_point_plot(series: Any, distances_mm: Mapping[int, FloatArray], names: Sequence[str], title: str) -> Any:
    """Add a table of distances over the frames and a chart that plots them, a line for each point; returns the chart.

    distances_mm: of each frame, (n,). Frames are at their index values, or at their numbers where these are no numbers.
    """
    scene = series.GetScene()
    axis, along = _read_index(series, list(distances_mm))
    table_node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(f"{title} table"))
    table = vtkTable()
    columns = [f"{number} {name}" for number, name in enumerate(names, start=1)]
    table.AddColumn(_make_column(axis, along))
    for number, column in enumerate(columns):
        table.AddColumn(_make_column(column, [float(distances[number]) for distances in distances_mm.values()]))
    table_node.SetAndObserveTable(table)
    table_node.SetUseColumnTitleAsColumnHeader(True)
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(title))
    chart.SetTitle(title)
    chart.SetXAxisTitle(axis)
    chart.SetYAxisTitle(_DISTANCE_AXIS)
    for name, column in zip(names, columns, strict=True):
        line = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", scene.GenerateUniqueName(f"{title}: {name}"))
        line.SetAndObserveTableNodeID(table_node.GetID())
        line.SetXColumnName(axis)
        line.SetYColumnName(column)
        line.SetPlotType(line.PlotTypeScatter)
        line.SetUniqueColor()
        chart.AddAndObservePlotSeriesNodeID(line.GetID())
    return chart


def _make_column(name: str, values: Sequence[float]) -> Any:
    column = vtkDoubleArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    return column


def _read_index(series: Any, numbers: Sequence[int]) -> tuple[str, list[float]]:
    """Return the title of the axis of frames, and where each of them is."""
    name, unit = series.GetIndexName() or "", series.GetIndexUnit() or ""
    try:
        along = [float(series.GetNthIndexValue(number)) for number in numbers]
    except ValueError:
        return "frame", [float(number) for number in numbers]
    return (f"{name} ({unit})" if unit else name) or "frame", along
