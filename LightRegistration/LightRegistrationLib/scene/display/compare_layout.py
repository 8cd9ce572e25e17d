"""A layout with four views of a result: fixed volume, result, difference, and surfaces in 3-D."""

from __future__ import annotations

from typing import Any

COMPARE_LAYOUT = 5811
"""The number of the layout; Slicer keeps those below 100 for its own."""
FIXED_VIEW = "LightRegistrationFixed"
RESULT_VIEW = "LightRegistrationResult"
DIFFERENCE_VIEW = "LightRegistrationDifference"
SURFACES_VIEW = "LightRegistrationSurfaces"
_OWN_VIEWS = (FIXED_VIEW, RESULT_VIEW, DIFFERENCE_VIEW, SURFACES_VIEW)


def _write_slice_view(name: str, label: str, color: str) -> str:
    properties = {"orientation": "Axial", "viewlabel": label, "viewcolor": color, "viewgroup": str(COMPARE_LAYOUT)}
    content = "".join(f'<property name="{k}" action="default">{v}</property>' for k, v in properties.items())
    return f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">{content}</view></item>'


_DESCRIPTION = (
    '<layout type="vertical" split="true"><item><layout type="horizontal" split="true">'
    + _write_slice_view(FIXED_VIEW, "F", "#F34A33")
    + _write_slice_view(RESULT_VIEW, "R", "#6EB04B")
    + '</layout></item><item><layout type="horizontal" split="true">'
    + _write_slice_view(DIFFERENCE_VIEW, "D", "#EDD54C")
    + f'<item><view class="vtkMRMLViewNode" singletontag="{SURFACES_VIEW}">'
    '<property name="viewlabel" action="default">S</property></view></item></layout></item></layout>'
)


class CompareLayout:
    """Switches the layout on, and back to the user's own.

    Neither the layout nor its views are saved with a scene: a Slicer without the module does not know them.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._earlier: int | None = None

    @property
    def node(self) -> Any:
        """The layout node of the application; None without one."""
        return self._scene.GetFirstNodeByClass("vtkMRMLLayoutNode")

    @property
    def is_on(self) -> bool:
        """Whether the application shows this layout; the user may have chosen another one meanwhile."""
        return self.node is not None and self.node.GetViewArrangement() == COMPARE_LAYOUT

    def switch_on(self) -> None:
        """Show the four views; does nothing without a layout node."""
        node = self.node
        if node is None or self.is_on:
            return
        earlier = node.GetViewArrangement()
        if not node.IsLayoutDescription(COMPARE_LAYOUT):
            node.AddLayoutDescription(COMPARE_LAYOUT, _DESCRIPTION)
        node.SetViewArrangement(COMPARE_LAYOUT)
        # Last: each change of the node is an event, and who follows it must not see a half of it.
        self._earlier = earlier
        node.SetSaveWithScene(False)

    def exclude_views_from_saving(self) -> None:
        """Do not save the nodes of the views with the scene; call it when the views are open."""
        for number in range(self._scene.GetNumberOfNodes()):
            node = self._scene.GetNthNode(number)
            if find_layout_name(node) in _OWN_VIEWS:
                node.SetSaveWithScene(False)

    def switch_off(self) -> None:
        """Show the user's own layout again, unless the user has chosen another one meanwhile."""
        node = self.node
        if node is not None and self.is_on:
            node.SetViewArrangement(node.SlicerLayoutFourUpView if self._earlier is None else self._earlier)
        self.forget()

    def forget(self) -> None:
        """Save the layout with the scene again; call it when the user has chosen another one."""
        if self._earlier is not None and self.node is not None:
            self.node.SetSaveWithScene(True)
        self._earlier = None


def find_layout_name(node: Any) -> str | None:
    """Return the name of the view that a node belongs to: a view, a slice composite or a camera node; else None."""
    kinds = ("vtkMRMLAbstractViewNode", "vtkMRMLSliceCompositeNode", "vtkMRMLCameraNode")
    if not any(node.IsA(kind) for kind in kinds):
        return None
    name: str | None = node.GetLayoutName()
    return name
