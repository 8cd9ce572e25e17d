"""Writes a template: mean images, labels, transforms to the scans, a picture, and the summary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry.volume import Volume
from ...core.label_fusion.fusion import fuse
from ...core.label_fusion.settings import FusionMethod, FusionSettings
from ...core.review.drawing import Picture, draw_gray, find_window, scale_to_gray
from ...core.review.planes import make_planes, sample_values
from ...core.sampling.warping import warp_segmentation
from ...core.template.image import find_foreground, measure_gradient_energy
from ...core.threads import limit_threads
from ...scene.files.png import save_png
from ...scene.files.saving import save_node
from ...scene.nodes.removal import remove_new_nodes
from ...scene.nodes.transforms import transform_node_from_field
from ...scene.nodes.volumes import volume_node_from_volume
from ..files.json_files import write_json
from ..fuse.outputs import FusionWriter
from ..fuse.scans import LabeledScans, map_array
from ..register.report import describe_settings
from ..terminal.versions import read_versions
from .group import Group
from .iteration import Iteration, iterate_maps
from .jobs import WarpJob
from .request import (
    AFFINE_MEAN_FILE,
    PICTURE_FILE,
    SUMMARY_FILE,
    TEMPLATE_FILE,
    TRANSFORMS_FOLDER,
    TemplateRequest,
)

_VOTES_FOLDER = "votes"
_PICTURE_GAP_PIXELS = 6


def write_template(
    scene: Any,
    request: TemplateRequest,
    group: Group,
    iterations: Sequence[Iteration],
    warps: Sequence[WarpJob],
    key: str,
    warnings: Sequence[str],
    folder: Path,
) -> dict[str, Any]:
    """Write all into an empty folder; returns the summary. Raises InputError if something cannot be written."""
    affine_mean, last = iterations[0], iterations[-1]
    files = [
        _write_image(scene, last.image, folder, TEMPLATE_FILE, request.compress),
        _write_image(scene, affine_mean.image, folder, AFFINE_MEAN_FILE, request.compress),
        PICTURE_FILE,
    ]
    save_png(draw_means(affine_mean.image, last.image), folder / PICTURE_FILE)
    transforms = _write_transforms(scene, warps, folder)
    structures: list[dict[str, Any]] | None = None
    if group.labeled is not None:
        with limit_threads(warps[0].settings.threads):
            written = _write_labels(scene, request, group.labeled, warps, last, folder)
        files, structures = files + written.files, written.volumes
    summary = {
        "key": key,
        "start": group.scans[group.start].scan.name,
        "settings": _describe_settings(request),
        "grid": {
            "shape_kji": list(last.image.geometry.shape),
            "affine_ras": last.image.affine.tolist(),
        },
        "scans": _describe_scans(group, last, transforms),
        "iterations": [_describe_iteration(iteration) for iteration in iterations],
        "sharpness": measure_sharpness(affine_mean.image, last.image),
        "structures": structures,
        "outputs": [*files, *transforms],
        "versions": read_versions(),
        "warnings": list(dict.fromkeys(warnings)),
    }
    write_json(folder / SUMMARY_FILE, summary)
    return summary


def measure_sharpness(affine_mean: Volume, template: Volume) -> dict[str, float]:
    """Measure the gradient energy of both means in the foreground of the template, (intensity / mm)², and its ratio."""
    foreground = find_foreground(template.array)
    spacing = float(template.geometry.spacing_mm[0])
    after, before = (measure_gradient_energy(volume.array, foreground, spacing) for volume in (template, affine_mean))
    return {"template": round(after, 3), "affine_mean": round(before, 3), "ratio": round(after / before, 4)}


def draw_means(affine_mean: Volume, template: Volume) -> Picture:
    """Draw three planes of the affine mean (above) and of the template (below), in one window of intensities."""
    grid = template.geometry
    window = find_window(template)
    rows = []
    for volume in (affine_mean, template):
        pictures = [
            draw_gray(scale_to_gray(sample_values(volume, plane.points_mm), window))
            for plane in make_planes(grid, grid.center_mm)
        ]
        height = max(picture.shape[0] for picture in pictures)
        rows.append(np.concatenate([_pad(picture, height) for picture in pictures], axis=1))
    return np.concatenate([np.pad(row, ((0, _PICTURE_GAP_PIXELS), (0, 0), (0, 0))) for row in rows], axis=0)


def _pad(picture: Picture, height: int) -> Picture:
    above = (height - picture.shape[0]) // 2
    below = height - picture.shape[0] - above
    return np.pad(picture, ((above, below), (0, _PICTURE_GAP_PIXELS), (0, 0)))


def _write_image(scene: Any, volume: Volume, folder: Path, name: str, compress: bool) -> str:
    name = name if compress else name.removesuffix(".gz")
    with remove_new_nodes(scene):
        save_node(volume_node_from_volume(scene, volume, "template"), folder / name)
    return name


def _write_transforms(scene: Any, warps: Sequence[WarpJob], folder: Path) -> list[str]:
    """Write the transform from the template to each scan; returns the names of the files."""
    (folder / TRANSFORMS_FOLDER).mkdir()
    names = []
    for job, field in zip(warps, iterate_maps(warps), strict=True):
        names.append(f"{TRANSFORMS_FOLDER}/{job.name}.h5")
        with remove_new_nodes(scene):
            save_node(transform_node_from_field(scene, field, job.name), folder / names[-1])
    return names


def _write_labels(
    scene: Any, request: TemplateRequest, labeled: LabeledScans, warps: Sequence[WarpJob], last: Iteration, folder: Path
) -> Any:
    """Let the labels of all scans vote at each voxel of the template, and write what wins."""
    grid = last.image.geometry
    votes = folder / _VOTES_FOLDER
    votes.mkdir()
    warped = [
        map_array(warp_segmentation(labeled.number_labels(n), field, grid).layers[0], votes / f"{n}.npy")
        for n, field in enumerate(iterate_maps(warps))
    ]
    fused = fuse(last.image.array, [], warped, FusionSettings(FusionMethod.MAJORITY), votes)
    writer = FusionWriter(scene, labeled.structures, labeled.styles, grid, request.compress)
    written = writer.write(fused, folder, request.probabilities)
    for path in votes.iterdir():
        path.unlink()
    votes.rmdir()
    return written


def _describe_settings(request: TemplateRequest) -> dict[str, Any]:
    registration = describe_settings(request.registration)
    del registration["threads"]  # it does not change the result, nor the summary of a run that continues
    return {"iterations": request.iterations, "registration": registration}


def _describe_scans(group: Group, last: Iteration, transforms: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "name": read.scan.name,
            "image": str(read.scan.image),
            "labels": None if read.scan.labels is None else str(read.scan.labels),
            "size": size,
            "transform": transform,
            **registration,
        }
        for read, size, transform, registration in zip(
            group.scans, last.record["sizes"], transforms, last.record["registrations"], strict=True
        )
    ]


def _describe_iteration(iteration: Iteration) -> dict[str, Any]:
    record = iteration.record
    return {
        "number": iteration.number,
        "update_rms_mm": record["update_rms_mm"],
        "change_percent": record["change_percent"],
        "gradient_energy": round(record["gradient_energy"], 3),
        "cpu_seconds": {
            "registration": round(sum(own["cpu_seconds"] for own in record.get("registrations", ())), 3),
            "warping": round(record["warping_cpu_seconds"], 3),
        },
    }
