"""Background, foreground, and label layer of the slice views: change them, and restore what they showed before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .compare_layout import DIFFERENCE_VIEW, FIXED_VIEW

BACKGROUND = "Background"
FOREGROUND = "Foreground"
LABEL = "Label"


class SliceLayers:
    """One layer of all slice views of an application; remembers what each view showed there before.

    A view in which the user has chosen something else in the meantime is not changed.
    """

    def __init__(self, logic: Any, layer: str) -> None:
        self._logic = logic
        self._layer = layer
        self._before: dict[str, tuple[str | None, float | None]] = {}
        self._shown: str | None = None
        self._is_on = False
        self._opacity: float | None = None
        self._opacities: dict[str, float] = {}

    def show(self, volume_node: Any, opacity: float | None = None) -> None:
        """Show a volume, or None for nothing, in the layer.

        The opacity is set only once, so that a later choice of the user is kept.
        """
        volume_id = None if volume_node is None else volume_node.GetID()
        for composite in iterate_composite_nodes(self._logic):
            first = composite.GetID() not in self._before
            if first:
                self._before[composite.GetID()] = self._read(composite)
            self._set(composite, volume_id, opacity if first else None)
        self._shown, self._is_on = volume_id, True
        self._opacity = self._opacity if opacity is None else opacity

    def show_in_new_views(self) -> None:
        """Show the layer also in the views that were opened after `show`, as opaque as in the first view."""
        known = [node for node in iterate_composite_nodes(self._logic) if node.GetID() in self._before]
        opacity = self._opacity
        if known and self._layer != BACKGROUND:
            opacity = self._opacities.get(known[0].GetID(), self._read(known[0])[1])
        for composite in self.list_new_views():
            self._before[composite.GetID()] = self._read(composite)
            self._set(composite, self._shown, opacity)
        if self._opacities:
            self.show_opaque(True)

    def show_opaque(self, on: bool) -> None:
        """Show the layer opaque for a while; off: as transparent as it was."""
        for composite in iterate_composite_nodes(self._logic):
            volume_id, opacity = self._read(composite)
            if on and composite.GetID() not in self._opacities and opacity is not None:
                self._opacities[composite.GetID()] = opacity
                self._set(composite, volume_id, 1.0)
            elif not on and composite.GetID() in self._opacities:
                self._set(composite, volume_id, self._opacities.pop(composite.GetID()))

    def restore(self) -> None:
        """Show what each view showed before the first `show`."""
        self.show_opaque(False)
        scene = self._logic.GetMRMLScene()
        for composite in iterate_composite_nodes(self._logic):
            volume_id, opacity = self._before.get(composite.GetID(), (None, None))
            if composite.GetID() not in self._before or self._read(composite)[0] != self._shown:
                continue
            if volume_id is not None and scene.GetNodeByID(volume_id) is None:
                volume_id = None
            self._set(composite, volume_id, opacity)
        self._before.clear()
        self._shown, self._is_on, self._opacity = None, False, None

    def list_new_views(self) -> list[Any]:
        """Return the composite nodes of the views that were opened after `show`; none while the layer is not shown."""
        nodes = iterate_composite_nodes(self._logic)
        return [node for node in nodes if self._is_on and node.GetID() not in self._before]

    def _read(self, composite: Any) -> tuple[str | None, float | None]:
        opacity = None if self._layer == BACKGROUND else getattr(composite, f"Get{self._layer}Opacity")()
        return getattr(composite, f"Get{self._layer}VolumeID")(), opacity

    def _set(self, composite: Any, volume_id: str | None, opacity: float | None) -> None:
        modifying = composite.StartModify()
        getattr(composite, f"Set{self._layer}VolumeID")(volume_id)
        if opacity is not None:
            getattr(composite, f"Set{self._layer}Opacity")(opacity)
        composite.EndModify(modifying)


def iterate_slice_logics(logic: Any) -> Iterator[Any]:
    """Yield the vtkMRMLSliceLogic of every slice view of a vtkMRMLApplicationLogic."""
    logics = logic.GetSliceLogics()
    for number in range(0 if logics is None else logics.GetNumberOfItems()):
        yield logics.GetItemAsObject(number)


def iterate_composite_nodes(logic: Any) -> Iterator[Any]:
    """Yield the vtkMRMLSliceCompositeNode of every slice view of a vtkMRMLApplicationLogic.

    Without the views of the compare layout that have a fixed content of their own.
    """
    for slice_logic in iterate_slice_logics(logic):
        composite = slice_logic.GetSliceCompositeNode()
        if composite is not None and composite.GetLayoutName() not in (FIXED_VIEW, DIFFERENCE_VIEW):
            yield composite
