"""4x4 matrices of nodes, between VTK and numpy, and the matrix of their parent transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from ...core.errors import InputError
from ...core.geometry.geometry import FloatArray


def numpy_matrix(matrix: vtkMatrix4x4) -> FloatArray:
    """Copy a vtkMatrix4x4 into an array (4, 4)."""
    return np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


def vtk_matrix(matrix: FloatArray) -> vtkMatrix4x4:
    """Copy an array (4, 4) into a vtkMatrix4x4."""
    result = vtkMatrix4x4()
    result.DeepCopy([float(x) for x in np.asarray(matrix, dtype=np.float64).ravel()])
    return result


def parent_matrix(node: Any) -> FloatArray:
    """Return the 4x4 matrix from a node's own coordinates to the world (RAS mm), with all its parent transforms.

    Raises InputError if a parent transform is not linear: the node then has no regular voxel grid in the world.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise InputError(
            f"{node.GetName()} is under a nonlinear transform ({parent.GetName()}): "
            "choose the untransformed node, or harden the transform on a copy first."
        )
    matrix = vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return numpy_matrix(matrix)
