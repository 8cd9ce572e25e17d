"""Notifies a selector of changes of the scene and its nodes, on the same events as Slicer's node model."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
import slicer
import vtk


class SceneObservation:
    """Calls ``sync()``, ``sync(leaving=node)`` and ``fill()`` of its selector, which it references weakly.

    A node that comes or goes matters only if the selector's ``can_list(node)`` is true.
    """

    def __init__(self, selector: Any) -> None:
        self._selector = weakref.ref(selector)
        self._scene: Any = None
        self._scene_tags: list[int] = []
        self._watched: list[tuple[Any, int]] = []

    def begin(self, scene: Any) -> None:
        self._scene = scene
        if scene is None:
            return
        events = slicer.vtkMRMLScene
        pairs = [
            (events.NodeAddedEvent, self._addition_callback()),
            (events.NodeAboutToBeRemovedEvent, self._removal_callback()),
            (events.EndCloseEvent, self._callback(lambda selector: selector.fill())),
            (events.EndImportEvent, self._callback(lambda selector: selector.sync())),
        ]
        self._scene_tags = [scene.AddObserver(event, callback) for event, callback in pairs]

    def end(self) -> None:
        for tag in self._scene_tags:
            self._scene.RemoveObserver(tag)
        self._scene_tags = []
        self.watch([])

    def watch(self, nodes: list[Any]) -> None:
        """Observe these nodes and no others."""
        for node, tag in self._watched:
            if node not in nodes:
                node.RemoveObserver(tag)
        kept = [(node, tag) for node, tag in self._watched if node in nodes]
        known = [node for node, _ in kept]
        changed = self._callback(lambda selector: self._scene.IsClosing() or selector.sync())
        new = [(n, n.AddObserver(vtk.vtkCommand.ModifiedEvent, changed)) for n in nodes if n not in known]
        self._watched = kept + new

    def _living_selector(self) -> Any:
        """Return the selector, or None after Qt has deleted it."""
        selector = self._selector()
        if selector is not None and shiboken6.isValid(selector):
            return selector
        self.end()
        return None

    def _callback(self, act: Callable[[Any], Any]) -> Callable[[Any, str], None]:
        def on_event(_caller: Any, _event: str) -> None:
            selector = self._living_selector()
            if selector is not None:
                act(selector)

        return on_event

    def _addition_callback(self) -> Callable[[Any, str, Any], None]:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def on_addition(scene: Any, _event: str, node: Any) -> None:
            selector = self._living_selector()
            if selector is not None and not scene.IsImporting() and selector.can_list(node):
                selector.sync()

        return on_addition

    def _removal_callback(self) -> Callable[[Any, str, Any], None]:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def on_removal(scene: Any, _event: str, node: Any) -> None:
            selector = self._living_selector()
            if selector is not None and not scene.IsClosing() and selector.can_list(node):
                selector.sync(leaving=node)

        return on_removal
