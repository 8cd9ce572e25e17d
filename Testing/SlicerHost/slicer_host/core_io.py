"""``slicer.app.coreIOManager()``: reads and writes nodes through slicer-core's own logics and storage nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore

from .exports import stand_in
from .scene import SceneHost

_SEGMENTATION_ENDINGS = (".seg.nrrd", ".seg.nhdr", ".seg.vtm")
_TRANSFORM_ENDINGS = (".h5", ".tfm", ".mat", ".hdf5")
_SCENE_ENDINGS = (".mrml", ".mrb")


def find_file_type(path: str) -> str:
    """Return Slicer's file type for the ending of ``path``; an unknown ending means a volume."""
    name = path.lower()
    for endings, kind in (
        (_SEGMENTATION_ENDINGS, "SegmentationFile"),
        (_TRANSFORM_ENDINGS, "TransformFile"),
        (_SCENE_ENDINGS, "SceneFile"),
    ):
        if name.endswith(endings):
            return kind
    return "VolumeFile"


@stand_in
class qSlicerCoreIOManager(QtCore.QObject):
    """Methods that the load and save functions of slicer.util call; a failure returns False and adds a user message."""

    def __init__(self, host: SceneHost) -> None:
        super().__init__()
        self._host = host

    def fileType(self, path: str) -> str:
        return find_file_type(str(path))

    def fileWriterFileType(self, node: Any) -> str:
        return "NodeFile"

    def loadNodes(self, kind: str, properties: dict, nodes: Any, messages: Any = None) -> bool:
        path = properties["fileName"]
        node = None
        if not Path(path).exists():
            _tell(messages, f"File not found: {path}")
        else:
            node = _READERS[kind](self._host, path, properties)
        if node is None:
            return False
        if node is not True:
            nodes.AddItem(node)
        return True

    def saveNodes(self, kind: str, properties: dict, messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return self._save_scene(path)
        node = self._host.scene.GetNodeByID(properties["nodeID"])
        storage = node.GetStorageNode()
        if storage is None:
            node.AddDefaultStorageNode(path)
            storage = node.GetStorageNode()
        storage.SetFileName(path)
        storage.SetUseCompression(int(properties.get("useCompression", 1)))
        return bool(storage.WriteData(node))

    def _save_scene(self, path: str) -> bool:
        scene = self._host.scene
        if path.lower().endswith(".mrb"):
            return bool(scene.WriteToMRB(path, None))
        if path.lower().endswith(".mrml"):
            scene.SetURL(path)
            return bool(scene.Commit())
        return bool(self._host.application_logic.SaveSceneToSlicerDataBundleDirectory(path, None))


def _tell(messages: Any, text: str) -> None:
    if messages is not None:
        messages.AddMessage(slicer.vtkCommand.ErrorEvent if hasattr(slicer, "vtkCommand") else 1, text)


def _read_volume(host: SceneHost, path: str, properties: dict) -> Any:
    options = (
        int(bool(properties.get("labelmap")))
        + 2 * int(bool(properties.get("center")))
        + 4 * int(bool(properties.get("singleFile")))
        + 8 * int(bool(properties.get("autoWindowLevel", True)))
        + 16 * int(bool(properties.get("discardOrientation")))
    )
    name = properties.get("name") or _stem(path)
    node = host.logics["Volumes"].AddArchetypeVolume(path, name, options)
    if node is not None and properties.get("show", True):
        selection = host.application_logic.GetSelectionNode()
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            selection.SetActiveLabelVolumeID(node.GetID())
        else:
            selection.SetActiveVolumeID(node.GetID())
        host.application_logic.PropagateVolumeSelection(1)
    return node


def _read_segmentation(host: SceneHost, path: str, properties: dict) -> Any:
    node = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", properties.get("name") or _stem(path))
    storage = slicer.vtkMRMLSegmentationStorageNode()
    host.scene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
    node.CreateDefaultDisplayNodes()
    return _read_into(host, node, storage, path)


def _read_transform(host: SceneHost, path: str, properties: dict) -> Any:
    # Slicer chooses the node class by the file's content; here .h5 and .tfm become general transforms.
    images = (".nrrd", ".nii", ".nii.gz", ".mha", ".mhd", ".nhdr")
    class_name = "vtkMRMLGridTransformNode" if path.lower().endswith(images) else "vtkMRMLTransformNode"
    node = host.scene.AddNewNodeByClass(class_name, properties.get("name") or _stem(path))
    storage = slicer.vtkMRMLTransformStorageNode()
    host.scene.AddNode(storage)
    node.SetAndObserveStorageNodeID(storage.GetID())
    return _read_into(host, node, storage, path)


def _read_into(host: SceneHost, node: Any, storage: Any, path: str) -> Any:
    storage.SetFileName(path)
    if storage.ReadData(node):
        return node
    host.scene.RemoveNode(node)
    host.scene.RemoveNode(storage)
    return None


def _read_scene(host: SceneHost, path: str, properties: dict) -> Any:
    clear = properties.get("clear", False)
    if path.lower().endswith(".mrb"):
        return True if host.scene.ReadFromMRB(path, clear) else None
    host.scene.SetURL(path)
    return True if (host.scene.Connect() if clear else host.scene.Import()) else None


def _stem(path: str) -> str:
    name = Path(path).name
    for ending in (".seg.nrrd", ".nii.gz"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return Path(path).stem


_READERS = {
    "VolumeFile": _read_volume,
    "SegmentationFile": _read_segmentation,
    "TransformFile": _read_transform,
    "SceneFile": _read_scene,
}
