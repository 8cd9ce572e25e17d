"""Add the result of a registration to the scene: transform, warped volume, and warped segmentation as nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import InputError
from ...core.geometry.transforms import DisplacementField
from ...core.geometry.volume import Segmentation, Volume
from .checked_places import forget_places
from .inverse_transform import renew_inverse_node
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
    """The nodes of one registration; None for those that it does not have.

    fixed, moving, fixed_segmentation, moving_segmentation: the user's inputs. transform, warped, warped_segmentation:
    the results; the transform has node references to all others.
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
    """Existing nodes that receive a result; for None, a new node is created."""

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
    shared: bool = False,
) -> RegistrationNodes:
    """Add a result to the scene, on the fixed volume's grid in the world and without parent transforms.

    fixed, moving, fixed_segmentation, moving_segmentation: the user's nodes; they are referenced, not changed.
    field: fixed -> moving, RAS mm. warped, warped_segmentation: the moving image and labels on the fixed grid.
    details: how the result was made (model, weights hash, settings, seconds), stored on the transform.
    shared: use the memory of the arrays in place of a copy. It must then be memory that nobody else uses later.
    Raises InputError if an output is an input, or if an input is under the output transform. After any failure the
    added nodes are removed again.
    """
    outputs = outputs or OutputNodes()
    inputs = [node for node in (fixed, moving, fixed_segmentation, moving_segmentation) if node is not None]
    _check_outputs(outputs, inputs)
    with _undo_on_failure(scene) as added:
        segmentation_node = None
        if warped_segmentation is not None:
            segmentation_node = outputs.segmentation or _add_segmentation(scene, added, moving, moving_segmentation)
            set_segmentation(segmentation_node, warped_segmentation, moving_segmentation, shared=shared)
        volume_node = outputs.volume or _add(scene, added, "vtkMRMLScalarVolumeNode", f"{moving.GetName()} registered")
        set_volume(volume_node, warped, moving, shared=shared)
        title = f"{moving.GetName()} to {fixed.GetName()} transform"
        transform_node = outputs.transform or _add(scene, added, "vtkMRMLTransformNode", title)
        set_field(transform_node, field, fixed, moving, details, shared=shared)
        nodes = RegistrationNodes(
            fixed, moving, transform_node, volume_node, fixed_segmentation, moving_segmentation, segmentation_node
        )
        _set_references(nodes)
        forget_places(transform_node)
        renew_inverse_node(transform_node)
    return nodes


def _add(scene: Any, added: list[Any], class_name: str, name: str) -> Any:
    added.append(scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name)))
    return added[-1]


def _add_segmentation(scene: Any, added: list[Any], moving: Any, moving_segmentation: Any) -> Any:
    source = moving if moving_segmentation is None else moving_segmentation
    node = _add(scene, added, "vtkMRMLSegmentationNode", f"{source.GetName()} registered")
    node.CreateDefaultDisplayNodes()
    # Its fill would cover those of the fixed and moving structures; the outlines show it instead.
    node.SetDisplayVisibility(False)
    return node


def find_registration_nodes(transform: Any) -> RegistrationNodes | None:
    """Return the nodes that a result's transform references, also in a loaded scene; None if it is not a result."""
    found = {field: transform.GetNodeReference(role) for field, role in _ROLES.items()}
    if found["fixed"] is None or found["moving"] is None or found["warped"] is None:
        return None
    return RegistrationNodes(transform=transform, **found)


def _set_references(nodes: RegistrationNodes) -> None:
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
def _undo_on_failure(scene: Any) -> Iterator[list[Any]]:
    """Remove the nodes in the yielded list again if the block fails.

    Does not use the scene's batch mode: open slice views do not draw nodes added in it.
    """
    added: list[Any] = []
    try:
        yield added
    except BaseException:
        for node in added:
            remove_with_display(scene, node)
        raise
