"""Publish a registration in the scene: transform, warped volume and warped segmentation as nodes of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import InputError
from ...core.geometry.transforms import DisplacementField
from ...core.geometry.volume import Segmentation, Volume
from .removal import remove_with_display
from .segmentations import set_segmentation
from .transforms import FIXED_ROLE, MOVING_ROLE, set_field
from .volumes import set_volume

_ROLES = {
    "fixed": FIXED_ROLE,
    "moving": MOVING_ROLE,
    "fixed_segmentation": "LightRegistration.FixedSegmentation",
    "moving_segmentation": "LightRegistration.MovingSegmentation",
    "warped": "LightRegistration.Warped",
    "warped_segmentation": "LightRegistration.WarpedSegmentation",
}


@dataclass(frozen=True, eq=False)
class RegistrationNodes:
    """The nodes of one registration; those that it does not have are None.

    fixed, moving, fixed_segmentation, moving_segmentation: the user's own. transform, warped, warped_segmentation: its
    results; the transform refers to all others.
    """

    fixed: Any
    moving: Any
    transform: Any
    warped: Any
    fixed_segmentation: Any = None
    moving_segmentation: Any = None
    warped_segmentation: Any = None


@dataclass(frozen=True, eq=False)
class OutputNodes:
    """Existing nodes that a result is written into; where None, a new one is made."""

    transform: Any = None
    volume: Any = None
    segmentation: Any = None


def publish_result(
    scene: Any,
    fixed: Any,
    moving: Any,
    field: DisplacementField,
    warped: Volume,
    warped_segmentation: Segmentation | None = None,
    *,
    fixed_segmentation: Any = None,
    moving_segmentation: Any = None,
    outputs: OutputNodes | None = None,
    details: Mapping[str, str] | None = None,
) -> RegistrationNodes:
    """Put a result into the scene, on the fixed volume's world grid and without parent transforms.

    fixed, moving, fixed_segmentation, moving_segmentation: the user's nodes; they are only referred to.
    field: fixed -> moving, RAS mm. warped, warped_segmentation: the moving image and labels on the fixed grid.
    details: what the result came from (model, weights hash, settings, seconds), kept on the transform.
    Raises InputError if an output is an input, or if an input is under the output transform. After any failure the
    nodes that were added are gone again.
    """
    outputs = outputs or OutputNodes()
    inputs = [node for node in (fixed, moving, fixed_segmentation, moving_segmentation) if node is not None]
    _check_outputs(outputs, inputs)
    with _all_or_nothing(scene) as added:
        segmentation_node = None
        if warped_segmentation is not None:
            segmentation_node = outputs.segmentation or _new_segmentation(scene, added, moving, moving_segmentation)
            set_segmentation(segmentation_node, warped_segmentation, moving_segmentation)
        volume_node = outputs.volume or _new(scene, added, "vtkMRMLScalarVolumeNode", f"{moving.GetName()} registered")
        set_volume(volume_node, warped, moving)
        title = f"{moving.GetName()} to {fixed.GetName()} transform"
        transform_node = outputs.transform or _new(scene, added, "vtkMRMLTransformNode", title)
        set_field(transform_node, field, fixed, moving, details)
        nodes = RegistrationNodes(
            fixed, moving, transform_node, volume_node, fixed_segmentation, moving_segmentation, segmentation_node
        )
        _refer(nodes)
    return nodes


def _new(scene: Any, added: list[Any], class_name: str, name: str) -> Any:
    added.append(scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name)))
    return added[-1]


def _new_segmentation(scene: Any, added: list[Any], moving: Any, moving_segmentation: Any) -> Any:
    source = moving if moving_segmentation is None else moving_segmentation
    node = _new(scene, added, "vtkMRMLSegmentationNode", f"{source.GetName()} registered")
    node.CreateDefaultDisplayNodes()
    # Its fill over those of the fixed and moving structures would hide all three; the outlines show it.
    node.SetDisplayVisibility(False)
    return node


def find_registration_nodes(transform: Any) -> RegistrationNodes | None:
    """The nodes that a result's transform refers to, also in a scene that was loaded; None if it is no result."""
    found = {field: transform.GetNodeReference(role) for field, role in _ROLES.items()}
    if found["fixed"] is None or found["moving"] is None or found["warped"] is None:
        return None
    return RegistrationNodes(transform=transform, **found)


def _refer(nodes: RegistrationNodes) -> None:
    for field, role in _ROLES.items():
        node = getattr(nodes, field)
        nodes.transform.SetNodeReferenceID(role, None if node is None else node.GetID())


def _check_outputs(outputs: OutputNodes, inputs: list[Any]) -> None:
    for output in (outputs.volume, outputs.segmentation):
        if any(output is node for node in inputs):
            raise InputError(f"{output.GetName()} is an input and an output: choose another output.")
    for node in inputs:
        parent = node.GetParentTransformNode()
        while parent is not None:
            if parent is outputs.transform:
                raise InputError(
                    f"{node.GetName()} is under the output transform {parent.GetName()}: choose another output."
                )
            parent = parent.GetParentTransformNode()


@contextlib.contextmanager
def _all_or_nothing(scene: Any) -> Iterator[list[Any]]:
    """Remove the nodes in the list again if the block fails.

    Not in the scene's batch mode: slice views that exist already do not draw what was added in it.
    """
    added: list[Any] = []
    try:
        yield added
    except BaseException:
        for node in added:
            remove_with_display(scene, node)
        raise
