"""Nodes to test with, and what must not change about them."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import slicer
import vtk
from scipy.spatial.transform import Rotation
from vtk.util.numpy_support import vtk_to_numpy

from LightRegistrationLib.core.geometry.geometry import homogeneous

from ..core.geometries import AWKWARD

GEOMETRIES = list(AWKWARD.values())
GEOMETRY_NAMES = list(AWKWARD)


def linear_transform_node(scene: Any, name: str, matrix: np.ndarray) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    vtk_matrix = vtk.vtkMatrix4x4()
    vtk_matrix.DeepCopy([float(x) for x in matrix.ravel()])
    node.SetMatrixTransformToParent(vtk_matrix)
    return node


def tilted(angle_degrees: float = 14.0, offset_mm: tuple[float, float, float] = (7, -3, 11)) -> np.ndarray:
    return homogeneous(Rotation.from_rotvec([0.2, angle_degrees, -4], degrees=True).as_matrix(), offset_mm)


def warped_transform_node(scene: Any) -> Any:
    """A transform node that is not linear."""
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    grid = slicer.vtkOrientedGridTransform()
    image = vtk.vtkImageData()
    image.SetDimensions(3, 3, 3)
    image.SetSpacing(50, 50, 50)
    image.AllocateScalars(vtk.VTK_FLOAT, 3)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = np.arange(81).reshape(27, 3) % 7
    grid.SetDisplacementGridData(image)
    node.SetAndObserveTransformFromParent(grid)
    return node


def fingerprint(*nodes: Any, times: bool = True) -> str:
    """A hash of everything nodes keep: MRML text, voxels, segments, display, and (if wanted) modification times."""
    digest = hashlib.sha256()
    for node in nodes:
        digest.update(re.sub(r"0x[0-9a-f]+", "", str(node.GetID())).encode())
        digest.update(_xml(node).encode())
        digest.update(str(node.GetTransformNodeID() if hasattr(node, "GetTransformNodeID") else None).encode())
        if times:
            digest.update(str(node.GetMTime()).encode())
        for array in _arrays(node):
            digest.update(np.ascontiguousarray(array).tobytes())
        if node.IsA("vtkMRMLDisplayableNode"):
            for number in range(node.GetNumberOfDisplayNodes()):
                digest.update(_xml(node.GetNthDisplayNode(number)).encode())
    return digest.hexdigest()


def _xml(node: Any) -> str:
    copy = slicer.vtkMRMLScene()
    copy.AddNode(node.CreateNodeInstance())
    own = copy.GetNthNode(0)
    own.Copy(node)
    copy.SetSaveToXMLString(1)
    copy.Commit()
    return str(copy.GetSceneXMLString())


def _arrays(node: Any) -> list[np.ndarray]:
    if node.IsA("vtkMRMLVolumeNode"):
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        return [
            vtk_to_numpy(node.GetImageData().GetPointData().GetScalars()),
            np.array([matrix.GetElement(r, c) for r in range(4) for c in range(4)]),
        ]
    if node.IsA("vtkMRMLSegmentationNode"):
        segmentation = node.GetSegmentation()
        arrays = []
        for segment_id in segmentation.GetSegmentIDs():
            segment = segmentation.GetSegment(segment_id)
            image = segment.GetRepresentation("Binary labelmap")
            arrays.append(np.array([segment.GetLabelValue(), *segment.GetColor()]))
            arrays.append(np.array([segment_id, segment.GetName(), segment.GetTerminology()]))
            if image is not None:
                arrays.append(vtk_to_numpy(image.GetPointData().GetScalars()))
        return arrays
    return []
