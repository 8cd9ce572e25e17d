"""The inverse of a result's transform as a node of its own: what is under it goes to the moving space."""

from __future__ import annotations

from typing import Any

import slicer

from .removal import remove_with_display

_ROLE = "LightRegistration.Inverse"


def find_inverse_node(transform: Any) -> Any:
    """Return the node that `make_inverse_node` made for a result's transform; None without one."""
    return transform.GetNodeReference(_ROLE)


def make_inverse_node(transform: Any) -> Any:
    """Return the node of the inverse of a result's transform, which is added if there is none.

    Its transform to parent is the map fixed -> moving.
    """
    node = find_inverse_node(transform)
    if node is None:
        scene = transform.GetScene()
        name = scene.GenerateUniqueName(f"{transform.GetName()} inverse")
        node = scene.AddNewNodeByClass("vtkMRMLTransformNode", name)
        transform.SetNodeReferenceID(_ROLE, node.GetID())
        renew_inverse_node(transform)
    return node


def renew_inverse_node(transform: Any) -> None:
    """Let the inverse, if there is one, follow a transform that was replaced."""
    node = find_inverse_node(transform)
    if node is not None:
        node.SetAndObserveTransformToParent(transform.GetTransformFromParent())


def remove_unused_inverse_node(transform: Any) -> None:
    """Remove the inverse if no node of the scene lies under it."""
    node, scene = find_inverse_node(transform), transform.GetScene()
    if node is None:
        return
    others = (scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes()))
    if not any(isinstance(other, slicer.vtkMRMLTransformableNode) and _is_child(other, node) for other in others):
        remove_with_display(scene, node)


def _is_child(node: Any, parent: Any) -> bool:
    return node.GetParentTransformNode() is parent
