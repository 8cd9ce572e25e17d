"""Surfaces of structures as meshes, and the distance of each point of one surface to another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.spatial import cKDTree
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkCommonTransforms import vtkTransform
from vtkmodules.vtkFiltersCore import vtkPolyDataNormals, vtkWindowedSincPolyDataFilter
from vtkmodules.vtkFiltersGeneral import vtkDiscreteFlyingEdges3D, vtkTransformPolyDataFilter

from ...core.geometry.geometry import FloatArray, homogeneous
from ...core.geometry.volume import Segment, Segmentation
from ..nodes.matrices import vtk_matrix
from ..nodes.volumes import image_data

DISTANCE_ARRAY = "Distance"
_MOST_VOXELS_ALONG_SIDE = 160
"""Of larger structures every other voxel is meshed, or fewer. Chosen, so that a mesh takes less than 100 ms."""


def iterate_surfaces(segmentation: Segmentation, segments: list[Segment]) -> Iterator[vtkPolyData]:
    """Yield the surface of each segment in the world, RAS mm, with point normals; an empty one without voxels."""
    boxes = [find_objects(layer.astype(np.int32, copy=False)) for layer in segmentation.layers]
    for segment in segments:
        found = boxes[segment.layer]
        box = found[segment.value - 1] if 0 < segment.value <= len(found) else None
        if box is None:
            yield vtkPolyData()
            continue
        mask = segmentation.layers[segment.layer][box] == segment.value
        start = np.array([part.start for part in box])[::-1]
        yield make_surface(mask, segmentation.affine @ homogeneous(np.eye(3), start))


def make_surface(mask: NDArray[np.bool_], affine: FloatArray) -> vtkPolyData:
    """Mesh the border of a mask (k, j, i), smoothed. affine: 4x4, (i, j, k, 1) -> RAS mm."""
    step = max(1, -(-max(mask.shape) // _MOST_VOXELS_ALONG_SIDE))
    padded = np.pad(mask[::step, ::step, ::step], 1).astype(np.uint8)
    matrix = affine @ homogeneous(np.eye(3) * step, np.full(3, -step, dtype=float))
    mesher = vtkDiscreteFlyingEdges3D()
    mesher.SetInputData(image_data(padded))
    mesher.SetValue(0, 1)
    smoother = vtkWindowedSincPolyDataFilter()
    smoother.SetInputConnection(mesher.GetOutputPort())
    smoother.SetNumberOfIterations(15)
    smoother.SetPassBand(0.1)
    smoother.NonManifoldSmoothingOn()
    smoother.NormalizeCoordinatesOn()
    transform = vtkTransform()
    transform.SetMatrix(vtk_matrix(matrix))
    mover = vtkTransformPolyDataFilter()
    mover.SetTransform(transform)
    mover.SetInputConnection(smoother.GetOutputPort())
    normals = vtkPolyDataNormals()
    normals.SetInputConnection(mover.GetOutputPort())
    normals.SplittingOff()
    normals.Update()
    return normals.GetOutput()


def add_distances(surface: vtkPolyData, other: vtkPolyData, edge_mm: float) -> None:
    """Add to each point of a surface its distance to another surface, mm; infinity if that is empty.

    Near the nearest point of the other mesh, whose edges are `edge_mm` long, the distance to its tangent plane counts.
    """
    points, others = read_points(surface), read_points(other)
    if len(others):
        distances, nearest = cKDTree(others, balanced_tree=False, compact_nodes=False).query(points)
        normals = vtk_to_numpy(other.GetPointData().GetNormals())[nearest]
        across = np.abs(np.einsum("nc,nc->n", points - others[nearest], normals))
        along = np.sqrt(np.maximum(distances**2 - across**2, 0))
        distances = np.where(along < edge_mm, across, distances)
    else:
        distances = np.full(len(points), np.inf)
    array = numpy_to_vtk(distances.astype(np.float32), deep=True)
    array.SetName(DISTANCE_ARRAY)
    surface.GetPointData().SetScalars(array)


def read_points(surface: vtkPolyData) -> Any:
    """Return the points (n, 3) of a mesh."""
    points = surface.GetPoints()
    return np.empty((0, 3)) if points is None else vtk_to_numpy(points.GetData())
