"""Other nodes of the two scans, carried along with a result: put under its transform, or copied and hardened.

A node of the moving scan is moved into the space of the fixed volume, one of the fixed scan into that of the moving
volume. The user's nodes keep their content; being under the transform can be undone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from .checked_places import list_place_nodes
from .inverse_transform import find_inverse_node, make_inverse_node, remove_unused_inverse_node
from .landmarks import is_under
from .matrices import parent_matrix, vtk_matrix
from .removal import remove_with_display
from .results import RegistrationNodes

_ROLE = "LightRegistration.Carried."
_EARLIER_PARENT = "LightRegistration.EarlierParent"
_IS_BETWEEN = "LightRegistration.IsBetween"
_CLASSES = ("vtkMRMLModelNode", "vtkMRMLMarkupsNode", "vtkMRMLSegmentationNode", "vtkMRMLVolumeNode")


class Scan(StrEnum):
    """Which of the two scans a node belongs to, and thus where it is carried: into the space of the other one."""

    MOVING = "moving"
    FIXED = "fixed"


def list_carriable_nodes(nodes: RegistrationNodes, scan: Scan) -> list[Any]:
    """Return the models, markups, segmentations and volumes of the scene that can be carried along.

    Without hidden ones, those of the result itself, and those that were chosen as nodes of the other scan.
    """
    scene, other = nodes.transform.GetScene(), Scan.FIXED if scan is Scan.MOVING else Scan.MOVING
    excluded = [*vars(nodes).values(), *list_place_nodes(nodes.transform), *list_chosen_nodes(nodes.transform, other)]
    every = (scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes()))
    return [
        node
        for node in every
        if any(node.IsA(name) for name in _CLASSES)
        and not node.GetHideFromEditors()
        and node.CanApplyNonLinearTransforms()
        and node not in excluded
    ]


def list_chosen_nodes(transform: Any, scan: Scan) -> list[Any]:
    """Return the nodes that the user has chosen to carry along with a result."""
    role = _ROLE + scan
    nodes = (transform.GetNthNodeReference(role, n) for n in range(transform.GetNumberOfNodeReferences(role)))
    return [node for node in nodes if node is not None]


def choose_node(transform: Any, node: Any, scan: Scan, on: bool) -> None:
    """Choose a node, or no longer; a node that is no longer chosen is taken out of the transform."""
    chosen = [other for other in list_chosen_nodes(transform, scan) if other is not node]
    if not on:
        release_node(transform, node)
    transform.RemoveNodeReferenceIDs(_ROLE + scan)
    for other in [*chosen, node] if on else chosen:
        transform.AddNodeReferenceID(_ROLE + scan, other.GetID())


def is_carried(transform: Any, node: Any) -> bool:
    """Whether a node lies under the transform of a result or under its inverse."""
    inverse = find_inverse_node(transform)
    return is_under(node, transform) or (inverse is not None and is_under(node, inverse))


def carry_node(transform: Any, node: Any, scan: Scan) -> None:
    """Put a node under the transform of a result, one of the fixed scan under its inverse.

    Where it lies in the world is what is transformed: an earlier parent transform is kept between both.
    """
    if not is_carried(transform, node):
        _put_under(node, _find_target(transform, scan))


def release_node(transform: Any, node: Any) -> None:
    """Put a node back to where it was before `carry_node`; nothing for a node that the user put there otherwise."""
    parent = node.GetParentTransformNode()
    targets = [target for target in (transform, find_inverse_node(transform)) if target is not None]
    if parent in targets:
        node.SetAndObserveTransformNodeID(None)
    elif parent is not None and parent.GetParentTransformNode() in targets and _is_between(parent):
        _remove_between(node, parent)
    remove_unused_inverse_node(transform)


def add_hardened_copy(nodes: RegistrationNodes, node: Any, scan: Scan) -> Any:
    """Add a copy of a node as the transform of a result shows it, without a parent transform; returns the copy.

    The node itself is not changed. The copy of a volume keeps its voxel size and covers all that it shows.
    """
    transform, scene = nodes.transform, nodes.transform.GetScene()
    goal = nodes.fixed if scan is Scan.MOVING else nodes.moving
    copy = _add_copy(scene, node, scene.GenerateUniqueName(f"{node.GetName()} on {goal.GetName()}"))
    copy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    if not is_carried(transform, node):
        _put_under(copy, _find_target(transform, scan))
    parent = copy.GetParentTransformNode()
    copy.HardenTransform()
    if parent is not None and parent is not node.GetParentTransformNode() and _is_between(parent):
        remove_with_display(scene, parent)
    remove_unused_inverse_node(transform)
    return copy


def _find_target(transform: Any, scan: Scan) -> Any:
    return transform if scan is Scan.MOVING else make_inverse_node(transform)


def _put_under(node: Any, target: Any) -> None:
    parent = node.GetParentTransformNode()
    if parent is not None:
        node.SetAndObserveTransformNodeID(_add_between(node, parent, target).GetID())
    else:
        node.SetAndObserveTransformNodeID(target.GetID())


def _add_between(node: Any, parent: Any, target: Any) -> Any:
    """Add a transform under the target that places the node where its parent has placed it in the world.

    Raises InputError for a parent that is not linear.
    """
    matrix = parent_matrix(node)
    scene = node.GetScene()
    name = scene.GenerateUniqueName(f"{parent.GetName()} under {target.GetName()}")
    between = scene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    between.SetMatrixTransformToParent(vtk_matrix(matrix))
    between.SetAndObserveTransformNodeID(target.GetID())
    between.SetNodeReferenceID(_EARLIER_PARENT, parent.GetID())
    between.SetAttribute(_IS_BETWEEN, "1")
    return between


def _is_between(parent: Any) -> bool:
    return bool(parent.GetAttribute(_IS_BETWEEN))


def _remove_between(node: Any, between: Any) -> None:
    earlier = between.GetNodeReference(_EARLIER_PARENT)
    if earlier is None:  # it was removed meanwhile: its place is kept
        between.SetAndObserveTransformNodeID(None)
        return
    node.SetAndObserveTransformNodeID(earlier.GetID())
    remove_with_display(node.GetScene(), between)


def _add_copy(scene: Any, node: Any, name: str) -> Any:
    """Add a copy of a node's content and display, without its storage node and its parent transform."""
    copy = scene.CreateNodeByClass(node.GetClassName())
    copy.UnRegister(None)
    copy.CopyContent(node)
    copy.SetName(name)
    scene.AddNode(copy)
    display = node.GetDisplayNode()
    if display is not None:
        copy.CreateDefaultDisplayNodes()
        copy.GetDisplayNode().CopyContent(display)
        if display.GetColorNodeID():
            copy.GetDisplayNode().SetAndObserveColorNodeID(display.GetColorNodeID())
    return copy
