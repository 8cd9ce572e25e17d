"""Writes the phantom pair as files: volumes, segmentations and the known deformation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...scene.files.saving import save_node, save_segmentation
from ...scene.nodes.segmentations import segmentation_node_from_segmentation
from ...scene.nodes.transforms import transform_node_from_field
from ...scene.nodes.volumes import volume_node_from_volume
from .pair import PhantomPair

TRUE_TRANSFORM_FILE = "true_transform.h5"


def write_phantom(pair: PhantomPair, folder: Path, scene: Any) -> dict[str, Path]:
    """Write volumes, segmentations and the known deformation into a folder; returns the input files by their role."""
    files = {}
    nodes = []
    for volume, segmentation in ((pair.fixed, pair.fixed_segmentation), (pair.moving, pair.moving_segmentation)):
        node = volume_node_from_volume(scene, volume, volume.name)
        files[volume.name] = folder / f"{volume.name}.nii.gz"
        save_node(node, files[volume.name])
        labels = segmentation_node_from_segmentation(scene, segmentation, segmentation.name)
        files[f"{volume.name}_segmentation"] = folder / f"{volume.name}_segmentation.seg.nrrd"
        save_segmentation(labels, files[f"{volume.name}_segmentation"])
        nodes += [node, labels]
    truth = transform_node_from_field(scene, pair.true_field, "true transform")
    save_node(truth, folder / TRUE_TRANSFORM_FILE)
    for node in (*nodes, truth):
        scene.RemoveNode(node)
    return files
