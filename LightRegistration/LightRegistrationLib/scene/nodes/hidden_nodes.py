"""Nodes that serve the display alone: not in lists, not in Slicer's data tree, not saved with the scene."""

from __future__ import annotations

from typing import Any


def add_hidden_node(scene: Any, class_name: str, name: str) -> Any:
    """Add a node that was hidden before it was added: only then Slicer's data tree leaves it out."""
    node = scene.CreateNodeByClass(class_name)
    node.UnRegister(None)
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    return scene.AddNode(node)
