"""The real part of the double: MRML scene, application logic, module logics and slice logics of slicer-core."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer

from .folders import make_own_folder

SLICE_VIEWS = (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal"))
LIBRARY_FOLDER = Path(__file__).resolve().parents[3] / "LightRegistration"


@dataclass
class SceneHost:
    """A scene with its application logic, the logic of each core module, and the slice logics by view name."""

    scene: Any
    application_logic: Any
    logics: dict[str, Any]
    slice_logics: dict[str, Any] = field(default_factory=dict)


def bootstrap() -> SceneHost:
    """Return the headless application of the process, which other tests use too; without slice views."""
    if str(LIBRARY_FOLDER) not in sys.path:
        sys.path.append(str(LIBRARY_FOLDER))
    from LightRegistrationLib.scene.headless.application import headless_application

    application = headless_application()
    _provide_cache(application.scene)
    return SceneHost(application.scene, application.logic, dict(application.logics))


def open_slice_views(host: SceneHost) -> None:
    """Add Slicer's three slice views, if they are not there."""
    for name, orientation in SLICE_VIEWS:
        if name not in host.slice_logics:
            host.slice_logics[name] = _make_slice_logic(name, orientation, host)


def open_slice_view(host: SceneHost, node: Any) -> None:
    """Add the slice view of a slice node, as Slicer does when a layout shows it for the first time."""
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(host.application_logic)
    host.application_logic.GetSliceLogics().AddItem(logic)
    logic.SetSliceNode(node)
    logic.SetMRMLScene(host.scene)
    logic.ResizeSliceNode(500, 500)
    host.slice_logics[node.GetLayoutName()] = logic


def close_slice_views(host: SceneHost) -> None:
    """Remove the slice views and their nodes, for tests that add their own views."""
    for logic in host.slice_logics.values():
        nodes = (logic.GetSliceCompositeNode(), logic.GetSliceNode())
        host.application_logic.GetSliceLogics().RemoveItem(logic)
        logic.DeleteSliceModel()
        logic.SetMRMLScene(None)
        for node in nodes:
            host.scene.RemoveNode(node)
    host.slice_logics.clear()


def _provide_cache(scene: Any) -> None:
    """Add the cache folder that unpacking an .mrb file needs."""
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(make_own_folder("cache")))
    cache.SetMRMLScene(scene)
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)


def _make_slice_logic(name: str, orientation: str, host: SceneHost) -> Any:
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(host.application_logic)
    host.application_logic.GetSliceLogics().AddItem(logic)
    logic.SetMRMLScene(host.scene)
    node = logic.AddSliceNode(name)
    node.SetMappedInLayout(1)
    node.SetOrientation(orientation)
    logic.ResizeSliceNode(500, 500)
    return logic
