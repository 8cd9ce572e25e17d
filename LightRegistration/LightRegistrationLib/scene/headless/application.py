"""A Slicer application without windows: scene, application logic, and module logics in a plain Python process."""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MODULE_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Models": "vtkSlicerModelsLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
}


@dataclass(frozen=True)
class HeadlessApplication:
    """The parts of Slicer that exist without windows.

    scene: vtkMRMLScene. logic: vtkSlicerApplicationLogic. logics: module logics by module name ("Volumes" …).
    folder: temporary folder, removed when the process ends.
    """

    scene: Any
    logic: Any
    logics: dict[str, Any]
    folder: tempfile.TemporaryDirectory[str]


@functools.cache
def headless_application() -> HeadlessApplication:
    """Return the only headless application of the process; the first call creates it.

    Raises RuntimeError inside a running Slicer: there the scene is `slicer.mrmlScene`, the logic
    `slicer.app.applicationLogic()`.
    """
    _use_offscreen_window()
    import slicer
    from vtkmodules.vtkCommonCore import vtkCollection

    if hasattr(slicer, "app"):
        raise RuntimeError("Slicer is running in this process: use its scene instead of a headless application.")
    folder = tempfile.TemporaryDirectory(prefix="light-registration-")
    scene = slicer.vtkMRMLScene()
    _add_crosshair(scene)
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    colors = logic.GetColorLogic()
    colors.SetMRMLScene(scene)
    colors.AddDefaultColorNodes()
    scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())  # in Slicer, the Colors module does this
    logic.SetSliceLogics(vtkCollection())
    logic.SetViewLogics(vtkCollection())
    for factory in (
        slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
        slicer.vtkMRMLSliceViewDisplayableManagerFactory,
    ):
        factory.GetInstance().SetMRMLApplicationLogic(logic)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    logic.SetModuleLogic("Colors", colors)
    logics = {"Colors": colors, **_create_module_logics(scene, logic, Path(folder.name))}
    logics["RemoteIO"] = _enable_scene_reading(scene, logic, Path(folder.name))
    return HeadlessApplication(scene, logic, logics, folder)


def _use_offscreen_window() -> None:
    """Use EGL (libegl), which draws off screen, if there is no display; VTK would try X first and print a warning."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def _add_crosshair(scene: Any) -> None:
    import slicer

    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)


def _create_module_logics(scene: Any, logic: Any, folder: Path) -> dict[str, Any]:
    import slicer

    logics: dict[str, Any] = {}
    _write_terminologies(folder)
    for name, class_name in _MODULE_LOGICS.items():
        module_logic = getattr(slicer, class_name)()
        if name == "Terminologies":
            module_logic.SetModuleShareDirectory(str(folder))
        module_logic.SetMRMLScene(scene)
        module_logic.SetMRMLApplicationLogic(logic)
        logic.SetModuleLogic(name, module_logic)
        logics[name] = module_logic
    return logics


def _enable_scene_reading(scene: Any, logic: Any, folder: Path) -> Any:
    """Add the logic with which the scene unpacks .mrb files."""
    import slicer

    cache = folder / "cache"
    cache.mkdir()
    (cache / ".slicer-cache").touch()  # marks the folder as one that the cache may empty
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLApplicationLogic(logic)
    remote.SetMRMLScene(scene)
    remote.GetCacheManager().SetRemoteCacheDirectory(str(cache))
    remote.AddDataIOToScene()
    return remote


def _write_terminologies(folder: Path) -> None:
    """Write minimal terminologies that the Terminologies logic accepts; slicer-core contains none."""

    def code(value: str, meaning: str) -> dict[str, Any]:
        return {"CodingSchemeDesignator": "SCT", "CodeValue": value, "CodeMeaning": meaning}

    schemas = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas"
    tissue = code("85756007", "Tissue")
    types = [{**tissue, "recommendedDisplayRGBValue": [128, 174, 128]}]
    categories = [{**tissue, "showAnatomy": "true", "Type": types}]
    for context, file_name in (
        ("Segmentation category and type - 3D Slicer General Anatomy list", "SlicerGeneralAnatomy"),
        ("Segmentation category and type - DICOM master list", "DICOM-Master"),
    ):
        content = {
            "@schema": f"{schemas}/segment-context-schema.json#",
            "SegmentationCategoryTypeContextName": context,
            "SegmentationCodes": {"Category": categories},
        }
        path = folder / f"SegmentationCategoryTypeModifier-{file_name}.term.json"
        path.write_text(json.dumps(content), encoding="utf-8")
    regions = {
        "@schema": f"{schemas}/anatomic-context-schema.json#",
        "AnatomicContextName": "Anatomic codes - DICOM master list",
        "AnatomicCodes": {"AnatomicRegion": [code("38266002", "Entire body")]},
    }
    path = folder / "AnatomicRegionAndModifier-DICOM-Master.term.json"
    path.write_text(json.dumps(regions), encoding="utf-8")
