"""Writes a registered series: the warped 4-D series, transforms, the sequence for Slicer, points, and the summary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.files.nifti_series import SeriesWriter
from ...core.geometry.geometry import FloatArray, Geometry
from ...core.geometry.transforms import DisplacementField
from ...core.geometry.volume import Volume
from ...scene.files.saving import save_node
from ...scene.files.sequences import save_transform_sequence
from ...scene.nodes.removal import remove_new_nodes
from ...scene.nodes.transforms import transform_node_from_field
from ...scene.nodes.volumes import volume_node_from_volume
from ..files.json_files import write_json
from ..terminal.versions import read_versions
from .frames import Frame, FrameList
from .points import Points, draw_points, write_point_table
from .request import (
    MEAN_FILE,
    PLOT_FILE,
    POINTS_FILE,
    SEQUENCE_FILE,
    SUMMARY_FILE,
    TRANSFORMS_FOLDER,
    WARPED_FILE,
    SeriesRequest,
)


@dataclass
class SeriesWriting:
    """Writes the parts of a result into an empty folder; each raises InputError if it cannot be written."""

    scene: Any
    request: SeriesRequest
    frames: FrameList
    grid: Geometry
    folder: Path

    def __post_init__(self) -> None:
        self._files: list[str] = []

    @contextmanager
    def open_series(self) -> Iterator[Callable[[Volume], None]]:
        """Write the warped series during the block; yields what is called with each frame.

        Frames that were files of their own may differ in their voxel type; the series has one that holds all of them.
        """
        kind = self.frames.voxel_type
        name = self._name(WARPED_FILE)
        part = self.folder / ".frame.nii"
        with SeriesWriter(self.folder / name, self.frames.timing, len(self.frames.frames)) as writer:

            def add(volume: Volume) -> None:
                with remove_new_nodes(self.scene):
                    frame = replace(volume, array=volume.array.astype(kind, copy=False))
                    save_node(volume_node_from_volume(self.scene, frame, "frame"), part)
                writer.append(part)

            yield add
        part.unlink(missing_ok=True)
        self._files.append(name)

    def write_transform(self, field: DisplacementField, frame: Frame) -> str:
        """Write the transform from the reference to a frame; returns its name."""
        (self.folder / TRANSFORMS_FOLDER).mkdir(exist_ok=True)
        digits = max(3, len(str(len(self.frames.frames) - 1)))
        name = f"{TRANSFORMS_FOLDER}/frame_{frame.number:0{digits}d}.h5"
        with remove_new_nodes(self.scene):
            save_node(transform_node_from_field(self.scene, field, f"frame {frame.number}"), self.folder / name)
        return name

    def write_sequence(self, items: Iterable[tuple[str, DisplacementField]]) -> None:
        """Write all transforms as a sequence of Slicer."""
        with remove_new_nodes(self.scene):
            save_transform_sequence(self.scene, items, self.folder / SEQUENCE_FILE, self.frames.index)
        self._files.append(SEQUENCE_FILE)

    def write_mean(self, mean: Volume) -> None:
        """Write the mean of the registered frames."""
        name = self._name(MEAN_FILE)
        with remove_new_nodes(self.scene):
            save_node(volume_node_from_volume(self.scene, mean, "mean"), self.folder / name)
        self._files.append(name)

    def write_points(self, points: Points, moved_mm: Sequence[FloatArray | None]) -> None:
        """Write where points of the reference are in each frame, as a table and as a plot."""
        index = self.frames.index
        write_point_table(self.folder / POINTS_FILE, points, self.frames.frames, moved_mm, index.name or "frame")
        axis = f"{index.name or 'frame'}{f', {index.unit}' if index.unit else ''}"
        plot = draw_points(points, self.frames.frames, moved_mm, axis)
        (self.folder / PLOT_FILE).write_text(plot, encoding="utf-8")
        self._files += [POINTS_FILE, PLOT_FILE]

    def write_summary(
        self, reference: str, frames: Sequence[dict[str, Any]], settings: dict[str, Any], warnings: Sequence[str]
    ) -> dict[str, Any]:
        """Write series.json; returns its content."""
        summary = {
            "inputs": [str(path) for path in self.request.inputs],
            "reference": reference,
            "index": {"name": self.frames.index.name, "unit": self.frames.index.unit},
            "settings": settings,
            "frames": list(frames),
            "outputs": [*self._files, *(frame["transform"] for frame in frames if frame["transform"])],
            "versions": read_versions(),
            "warnings": list(dict.fromkeys(warnings)),
        }
        write_json(self.folder / SUMMARY_FILE, summary)
        return summary

    def _name(self, name: str) -> str:
        return name if self.request.compress else name.removesuffix(".gz")
