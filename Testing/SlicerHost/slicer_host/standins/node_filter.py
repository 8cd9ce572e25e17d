"""Which nodes of a scene a qMRML selector lists: by type, visibility and attribute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class NodeFilter:
    """``attributes`` maps a node type to (attribute, value or None for any): one pair per type, as in Slicer."""

    types: list[str] = field(default_factory=list)
    hidden_child_types: list[str] = field(default_factory=list)
    attributes: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    show_hidden: bool = False
    show_child_types: bool = True

    def candidates(self, scene: Any) -> list[Any]:
        """Return the nodes of the right type, which may be listed after their attributes or visibility change."""
        if scene is None:
            return []
        nodes = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        return [node for node in nodes if self.is_candidate(node)]

    def is_candidate(self, node: Any) -> bool:
        return any(node.IsA(node_type) for node_type in self.types)

    def accepts(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.show_hidden:
            return False
        if self.show_child_types and any(node.IsA(t) for t in self.hidden_child_types):
            return False
        return any(self._is_of_type(node, t) and self._has_attribute(node, t) for t in self.types)

    def _is_of_type(self, node: Any, node_type: str) -> bool:
        return node.IsA(node_type) if self.show_child_types else node.GetClassName() == node_type

    def _has_attribute(self, node: Any, node_type: str) -> bool:
        if node_type not in self.attributes:
            return True
        name, wanted = self.attributes[node_type]
        found = node.GetAttribute(name)
        return found is not None and (wanted is None or found == wanted)
