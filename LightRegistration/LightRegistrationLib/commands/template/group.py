"""Reads the scans of a group; their voxels are kept in files, so that memory does not grow with their number."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import InputError
from ...core.geometry.geometry import Geometry
from ...core.template.image import IntensityMap, find_foreground, find_intensity_map
from ...core.template.settings import TEMPLATE
from ...scene.files.file_checks import OnWarning
from ...scene.files.volume_loading import load_volume
from ...scene.nodes.removal import remove_new_nodes
from ...scene.nodes.volumes import volume_from_node
from ..batch.task import describe_program, make_hasher
from ..files.path_errors import report_path_errors
from ..files.stored_values import store
from ..fuse.request import Atlas
from ..fuse.scans import LabeledScans, OnScan, read_scans
from ..register.inputs import check_right_angles
from .request import GroupScan, TemplateRequest

_SCANS_FOLDER, _LABELS_FOLDER = "scans", "labels"


@dataclass(frozen=True)
class ScanContent:
    """What is known of a scan before it is read: its files, and hashes of their contents."""

    scan: GroupScan
    image: str
    labels: str


@dataclass(frozen=True, eq=False)
class ReadScan:
    """A scan whose voxels lie in a folder. foreground_mm3: the volume of its body. center_mm: of the body, RAS."""

    scan: GroupScan
    content: str
    folder: Path
    grid: Geometry
    intensities: IntensityMap
    foreground_mm3: float
    center_mm: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Group:
    """The scans in an order that does not depend on that of their list, their labels, and which of them is first."""

    scans: tuple[ReadScan, ...]
    labeled: LabeledScans | None
    start: int


def list_contents(request: TemplateRequest) -> list[ScanContent]:
    """Hash all files; returns the scans in the order of their contents. Raises InputError for an image given twice."""
    compute_hash = make_hasher()
    contents = []
    for scan in request.scans:
        with report_path_errors(scan.image):
            labels = "" if scan.labels is None else compute_hash(scan.labels)
            contents.append(ScanContent(scan, compute_hash(scan.image), labels))
    contents.sort(key=lambda content: content.image)
    for first, second in pairwise(contents):
        if first.image == second.image:
            raise InputError(
                f"{first.scan.name} and {second.scan.name} are the same image, which would count twice; leave one out."
            )
    return contents


def compute_group_key(request: TemplateRequest, contents: list[ScanContent]) -> str:
    """Compute the hash of all that the iterations depend on, whatever their number."""
    return make_key(
        {
            "scans": [content.image for content in contents],
            "start": next((c.image for c in contents if c.scan.name == request.start), None),
            "spacing_mm": request.spacing_mm,
            "constants": asdict(TEMPLATE),
            **describe_program(request.registration),
        }
    )


def make_key(content: Any) -> str:
    """Compute the hash of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_group(
    scene: Any,
    request: TemplateRequest,
    contents: list[ScanContent],
    work: Path,
    on_warning: OnWarning,
    on_scan: OnScan,
) -> Group:
    """Read all scans and labels. Raises InputError, naming the file, for the first that cannot be used."""
    scans = []
    for number, content in enumerate(contents):
        scans.append(_read_scan(scene, content, work / _SCANS_FOLDER / content.scan.name, on_warning))
        on_scan(number + 1)
    labeled = None
    if request.has_labels:
        atlases = [Atlas(c.scan.name, c.scan.image, c.scan.labels) for c in contents if c.scan.labels is not None]
        folder = work / _LABELS_FOLDER
        folder.mkdir()
        labeled = read_scans(scene, atlases, folder, on_warning, lambda done: None)
    return Group(tuple(scans), labeled, _choose_start(scans, request.start))


def _read_scan(scene: Any, content: ScanContent, folder: Path, on_warning: OnWarning) -> ReadScan:
    path = content.scan.image
    with remove_new_nodes(scene):
        volume = volume_from_node(load_volume(scene, path, on_warning=on_warning))
        check_right_angles(volume, path, "scan")
        volume = replace(volume, array=np.array(volume.array), name=content.scan.name)
    is_body = find_foreground(volume.array)
    i, j, k = (float(index.mean()) for index in reversed(np.nonzero(is_body)))
    store(folder, content.image, volume, {})
    center = volume.affine @ (i, j, k, 1)
    return ReadScan(
        content.scan,
        content.image,
        folder,
        volume.geometry,
        find_intensity_map(volume.array),
        float(is_body.sum() * volume.geometry.voxel_volume_mm3),
        (float(center[0]), float(center[1]), float(center[2])),
    )


def _choose_start(scans: list[ReadScan], name: str | None) -> int:
    """Return the scan with this name, or the one of median volume."""
    if name is not None:
        return next(n for n, read in enumerate(scans) if read.scan.name == name)
    by_volume = sorted(range(len(scans)), key=lambda n: scans[n].foreground_mm3)
    return by_volume[(len(scans) - 1) // 2]
