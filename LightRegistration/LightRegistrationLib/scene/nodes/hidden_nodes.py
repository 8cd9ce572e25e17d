"""Helper nodes of the display: hidden from lists and from Slicer's data tree, not saved with the scene."""

from __future__ import annotations

from typing import Any


def add_hidden_node(scene: Any, class_name: str, name: str) -> Any:
    """Add a node that is hidden already when it enters the scene; otherwise Slicer's data tree lists it."""
    node = scene.CreateNodeByClass(class_name)
    node.UnRegister(None)
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    return scene.AddNode(node)
