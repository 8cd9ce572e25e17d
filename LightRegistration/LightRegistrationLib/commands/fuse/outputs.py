"""Writes fused labels: label map, segmentation with names, volumes of the structures, probability maps, summary."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry.geometry import Geometry
from ...core.geometry.volume import Segment, Segmentation, Volume
from ...core.label_fusion.fusion import FusedLabels
from ...core.label_fusion.structures import Structures
from ...scene.files.saving import save_label_map, save_node, save_segmentation
from ...scene.nodes.removal import remove_new_nodes
from ...scene.nodes.segmentations import SegmentStyles, segmentation_node_in_style
from ...scene.nodes.volumes import volume_node_from_volume
from .request import LABELS_FILE, PROBABILITIES_FOLDER, SEGMENTATION_FILE, VOLUMES_FILE

_MAX_NAME = 60
_NOT_IN_FILE_NAMES = re.compile(r"[^\w.+-]+")


@dataclass(frozen=True)
class WrittenFusion:
    """What was written: the names of the files, relative to the folder, and the volume of each structure."""

    files: list[str]
    volumes: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class FusionWriter:
    """Writes fused labels. grid: of the target. compress: images as .nii.gz instead of .nii."""

    scene: Any
    structures: Structures
    styles: SegmentStyles
    grid: Geometry
    compress: bool

    def write(self, fused: FusedLabels, folder: Path, probabilities: bool) -> WrittenFusion:
        """Write label map, volumes, a segmentation if the atlases have names, and probability maps if asked for."""
        files = [*self._write_labels(fused, folder), VOLUMES_FILE]
        volumes = self._measure_volumes(fused)
        write_table(folder / VOLUMES_FILE, volumes)
        return WrittenFusion(files + (self._write_probabilities(fused, folder) if probabilities else []), volumes)

    def _write_labels(self, fused: FusedLabels, folder: Path) -> list[str]:
        values = self.structures.restore_values(fused.labels)
        segmentation = Segmentation((values,), self.grid.affine, self.structures.segments, "labels")
        name = LABELS_FILE if self.compress else LABELS_FILE.removesuffix(".gz")
        save_label_map(segmentation, folder / name)
        if not self.styles:
            return [name]
        with remove_new_nodes(self.scene):
            node = segmentation_node_in_style(self.scene, segmentation, "labels", self.styles)
            save_segmentation(node, folder / SEGMENTATION_FILE)
        return [name, SEGMENTATION_FILE]

    def _write_probabilities(self, fused: FusedLabels, folder: Path) -> list[str]:
        """Write a map of each structure, one at a time."""
        (folder / PROBABILITIES_FOLDER).mkdir()
        names = []
        for number, segment in enumerate(self.structures.segments, 1):
            names.append(f"{PROBABILITIES_FOLDER}/{_make_file_name(segment)}.nii{'.gz' if self.compress else ''}")
            volume = Volume(fused.compute_probability(number), self.grid.affine, segment.name)
            with remove_new_nodes(self.scene):
                save_node(volume_node_from_volume(self.scene, volume, "probability"), folder / names[-1])
        return names

    def _measure_volumes(self, fused: FusedLabels) -> list[dict[str, Any]]:
        """Measure the volume of each structure; those that no voxel got are listed with 0."""
        counts = np.bincount(fused.labels.ravel(), minlength=len(self.structures.segments) + 1)[1:]
        return [
            {
                "value": segment.value,
                "name": segment.name,
                "voxels": int(count),
                "volume_mm3": round(float(count * self.grid.voxel_volume_mm3), 3),
            }
            for segment, count in zip(self.structures.segments, counts, strict=True)
        ]


def _make_file_name(segment: Segment) -> str:
    """Return the label value and the name of a structure, without signs that a file name cannot have."""
    if segment.name == f"Label_{segment.value}":
        return segment.name
    return f"{segment.value}_{_NOT_IN_FILE_NAMES.sub('_', segment.name)[:_MAX_NAME]}"


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same keys as a CSV file; None is an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
