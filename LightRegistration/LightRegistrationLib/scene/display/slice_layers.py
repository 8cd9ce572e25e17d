"""What the slice views show in background, foreground and label layer: change it, and give it back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

BACKGROUND = "Background"
FOREGROUND = "Foreground"
LABEL = "Label"


class SliceLayers:
    """One layer of all slice views of an application, with a memory of what each view showed there before.

    A view in which the user has chosen something else in the meantime is left alone.
    """

    def __init__(self, logic: Any, layer: str) -> None:
        self._logic = logic
        self._layer = layer
        self._before: dict[str, tuple[str | None, float | None]] = {}
        self._shown: str | None = None

    def show(self, volume_node: Any, opacity: float | None = None) -> None:
        """Show a volume in the layer; the opacity is set once, so that the user's own choice stays."""
        for composite in composite_nodes(self._logic):
            first = composite.GetID() not in self._before
            if first:
                self._before[composite.GetID()] = self._state(composite)
            self._set(composite, volume_node.GetID(), opacity if first else None)
        self._shown = volume_node.GetID()

    def restore(self) -> None:
        """Show again what was there before the first `show`."""
        scene = self._logic.GetMRMLScene()
        for composite in composite_nodes(self._logic):
            volume_id, opacity = self._before.get(composite.GetID(), (None, None))
            if composite.GetID() not in self._before or self._state(composite)[0] != self._shown:
                continue
            if volume_id is not None and scene.GetNodeByID(volume_id) is None:
                volume_id = None
            self._set(composite, volume_id, opacity)
        self._before.clear()
        self._shown = None

    def _state(self, composite: Any) -> tuple[str | None, float | None]:
        opacity = None if self._layer == BACKGROUND else getattr(composite, f"Get{self._layer}Opacity")()
        return getattr(composite, f"Get{self._layer}VolumeID")(), opacity

    def _set(self, composite: Any, volume_id: str | None, opacity: float | None) -> None:
        modifying = composite.StartModify()
        getattr(composite, f"Set{self._layer}VolumeID")(volume_id)
        if opacity is not None:
            getattr(composite, f"Set{self._layer}Opacity")(opacity)
        composite.EndModify(modifying)


def slice_logics(logic: Any) -> Iterator[Any]:
    """The vtkMRMLSliceLogic of every slice view of a vtkMRMLApplicationLogic."""
    logics = logic.GetSliceLogics()
    for number in range(0 if logics is None else logics.GetNumberOfItems()):
        yield logics.GetItemAsObject(number)


def composite_nodes(logic: Any) -> Iterator[Any]:
    """The vtkMRMLSliceCompositeNode of every slice view."""
    for slice_logic in slice_logics(logic):
        if slice_logic.GetSliceCompositeNode() is not None:
            yield slice_logic.GetSliceCompositeNode()
