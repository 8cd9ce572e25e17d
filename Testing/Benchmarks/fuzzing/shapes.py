"""Made-up segmentations (.seg.nrrd) and surfaces, sound and damaged."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from LightRegistrationLib.core.geometry.volume import Segment, Segmentation
from LightRegistrationLib.scene.files.messages import capture_messages
from LightRegistrationLib.scene.files.saving import save_segmentation
from LightRegistrationLib.scene.files.segmentation_loading import load_segmentation
from LightRegistrationLib.scene.files.shapes import load_surface, read_surface_points
from LightRegistrationLib.scene.headless.application import headless_application
from LightRegistrationLib.scene.nodes.removal import remove_new_nodes
from LightRegistrationLib.scene.nodes.segmentations import segmentation_from_node, segmentation_node_from_segmentation

from .damage import damage_binary, damage_text
from .images import make_affine
from .judging import Wrong, check_line

_HEADER_BYTES = 400
_TOLERANCE_MM = 0.01


def read_damaged_segmentation(random: Random, folder: Path) -> None:
    """A .seg.nrrd file of Slicer whose header or voxels are damaged; undamaged, it is read as it was written."""
    path = folder / "a.seg.nrrd"
    counts = _write_segmentation(random, path)
    is_sound = random.random() < 0.1
    if not is_sound:
        content = path.read_bytes()
        path.write_bytes(damage_text(content, random, content.find(b"\n\n") + 2))
    scene = headless_application().scene
    with remove_new_nodes(scene):
        found = segmentation_from_node(load_segmentation(scene, path, on_warning=check_line))
    if is_sound and [int(found.mask(segment).sum()) for segment in found.segments] != counts:
        raise Wrong(f"other voxels than {counts}")


def read_damaged_surface(random: Random, folder: Path) -> None:
    """A surface whose file is damaged: refused, or points that are finite; undamaged, it is read as it was written."""
    path = folder / f"a{random.choice(('.vtk', '.vtp', '.stl', '.ply'))}"
    is_binary = random.random() < 0.5
    points = _write_sphere(path, is_binary)
    is_sound = random.random() < 0.1
    if not is_sound:
        damage = damage_binary if is_binary else damage_text
        content = path.read_bytes()
        path.write_bytes(damage(content, random, min(len(content), _HEADER_BYTES)))
    scene = headless_application().scene
    with remove_new_nodes(scene):
        found = read_surface_points(load_surface(scene, path))
    if not np.isfinite(found).all():
        raise Wrong("points that are not finite")
    if is_sound and not np.allclose(np.abs(found).max(0), np.abs(points).max(0), atol=_TOLERANCE_MM):
        raise Wrong("other points")


def _write_segmentation(random: Random, path: Path) -> list[int]:
    """Write two structures, in one layer or overlapping in two; returns the voxels of each."""
    layers = [np.zeros((7, 8, 9), np.uint8) for _ in range(random.choice((1, 2)))]
    segments = []
    for number in range(2):
        layer = number % len(layers)
        layers[layer][1:6, 2:6, 2 + 3 * number : 4 + 3 * number] = number + 1
        segments.append(Segment(f"s{number}", number + 1, layer))
    made = Segmentation(tuple(layers), make_affine(random), tuple(segments))
    scene = headless_application().scene
    with remove_new_nodes(scene), capture_messages():
        save_segmentation(segmentation_node_from_segmentation(scene, made, "made"), path)
    return [int(made.mask(segment).sum()) for segment in made.segments]


def _write_sphere(path: Path, is_binary: bool) -> NDArray[np.float64]:
    """Write a sphere, and return its points (n, 3)."""
    source = vtk.vtkSphereSource()
    source.SetRadius(50)
    source.Update()
    node = slicer.vtkMRMLModelNode()
    node.SetAndObserveMesh(source.GetOutput())
    writers = {
        ".vtk": vtk.vtkPolyDataWriter,
        ".vtp": vtk.vtkXMLPolyDataWriter,
        ".stl": vtk.vtkSTLWriter,
        ".ply": vtk.vtkPLYWriter,
    }
    writer = writers[path.suffix]()
    writer.SetInputData(source.GetOutput())
    writer.SetFileName(str(path))
    if path.suffix == ".vtp":
        (writer.SetDataModeToAppended if is_binary else writer.SetDataModeToAscii)()
    else:
        (writer.SetFileTypeToBinary if is_binary else writer.SetFileTypeToASCII)()
    writer.Write()
    return read_surface_points(node)
