"""Places that the user checked in a result: each is a line node from the fixed volume to the same place in the result.

The transform of the result references them, so that they are found again in a loaded scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.geometry.geometry import FloatArray
from .landmarks import read_points_mm

_ROLE = "LightRegistration.CheckedPlace"


@dataclass(frozen=True, eq=False)
class CheckedPlace:
    """One place: where it is in the fixed volume, and where the same place is in the result, RAS mm."""

    node: Any
    fixed_mm: FloatArray
    found_mm: FloatArray

    @property
    def error_mm(self) -> FloatArray:
        """The vector (R, A, S) from the place in the fixed volume to the same place in the result."""
        return self.found_mm - self.fixed_mm

    @property
    def distance_mm(self) -> float:
        """The length of the error."""
        return float(np.linalg.norm(self.error_mm))


def add_place_node(scene: Any, name: str) -> Any:
    """Add an empty line node, in which the user places both points."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    return node


def keep_place(transform: Any, node: Any) -> None:
    """Let the transform of a result reference the line node of a checked place."""
    transform.AddNodeReferenceID(_ROLE, node.GetID())


def list_place_nodes(transform: Any) -> list[Any]:
    """Return the line nodes of the places that were checked in a result, in order."""
    nodes = (transform.GetNthNodeReference(_ROLE, n) for n in range(transform.GetNumberOfNodeReferences(_ROLE)))
    return [node for node in nodes if node is not None]


def list_checked_places(transform: Any) -> list[CheckedPlace]:
    """Return the places that were checked in a result; lines of which a point was taken away are left out."""
    points = ((node, read_points_mm(node)) for node in list_place_nodes(transform))
    return [CheckedPlace(node, *pair) for node, pair in points if len(pair) == 2]


def forget_places(transform: Any) -> None:
    """Drop the references to the places that were checked in an earlier result; the nodes stay."""
    transform.RemoveNodeReferenceIDs(_ROLE)
