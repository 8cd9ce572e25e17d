"""Pairs of volumes in Slicer's module Sample Data: the built-in pair, which is made, and public ones, downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer
import slicer.util

from ...scene.nodes.segmentations import segmentation_node_from_segmentation
from ...scene.nodes.volumes import volume_node_from_volume
from ..translation import translate

SAMPLE_NAME = "LightRegistrationPhantom"
SPACING_MM = 2.0
"""Of the fixed volume; with 1.5 mm the pair takes seconds to make."""


@dataclass(frozen=True)
class SampleVolume:
    """A volume of Slicer's own sample data. file: its name in Slicer's cache. sha256: its hash, and its address."""

    name: str
    file: str
    sha256: str


# Files and hashes: Slicer, Modules/Scripted/SampleData/SampleData.py. What Slicer has downloaded already is not
# downloaded again.
SAMPLE_PAIRS = {
    "LightRegistrationBrainTumor": (
        SampleVolume(
            "MRBrainTumor1", "RegLib_C01_1.nrrd", "998cb522173839c78657f4bc0ea907cea09fd04e44601f17c82ea27927937b95"
        ),
        SampleVolume(
            "MRBrainTumor2", "RegLib_C01_2.nrrd", "1a64f3f422eb3d1c9b093d1a18da354b13bcf307907c66317e2463ee530b7a97"
        ),
    ),
    "LightRegistrationDentalSurgery": (
        SampleVolume(
            "PreDentalSurgery",
            "PreDentalSurgery.gipl.gz",
            "7bfa16945629c319a439f414cfb7edddd2a97ba97753e12eede3b56a0eb09968",
        ),
        SampleVolume(
            "PostDentalSurgery",
            "PostDentalSurgery.gipl.gz",
            "4cdc3dc35519bb57daeef4e5df89c00849750e778809e94971d3876f95cc7bbd",
        ),
    ),
    "LightRegistrationBrainMRCT": (
        SampleVolume(
            "MRBrainT1", "MR-brain-T1.nrrd", "2da3f655ed20356ee8cdf32aa0f8f9420385de4b6e407d28e67f9974d7ce1593"
        ),
        SampleVolume("CTBrain", "CT-brain.nrrd", "6a5b6caccb76576a863beb095e3bfb910c50ca78f4c9bf043aa42f976cfa53d1"),
    ),
}
"""Public pairs by the name of the sample, the fixed volume first."""
_ADDRESS = "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{sha256}"


def register_sample_data(thumbnail: str) -> None:
    """Offer the built-in pair and public ones in Slicer's module Sample Data. thumbnail: path of a PNG file.

    Call it after the start of Slicer, when that module can be imported.
    """
    import SampleData

    # Empty lists, not None: Sample Data takes the lengths of these lists.
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="LightRegistration",
        sampleName=SAMPLE_NAME,
        uris=[],
        fileNames=[],
        nodeNames=[],
        customDownloader=load_phantom,
        thumbnailFileName=thumbnail,
    )
    for name, volumes in SAMPLE_PAIRS.items():
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="LightRegistration",
            sampleName=name,
            uris=[_ADDRESS.format(sha256=volume.sha256) for volume in volumes],
            fileNames=[volume.file for volume in volumes],
            nodeNames=[volume.name for volume in volumes],
            checksums=[f"SHA256:{volume.sha256}" for volume in volumes],
        )


def load_phantom(_source: Any = None) -> list[Any]:
    """Add the two volumes of the built-in pair, an artificial head, and their segmentations, and show the first one.

    Returns the nodes: fixed, moving, fixed structures, moving structures.
    """
    from ...commands.phantom.pair import make_phantom_pair

    scene, pair = slicer.mrmlScene, make_phantom_pair(seed=0, spacing_mm=SPACING_MM)
    volumes = [
        volume_node_from_volume(scene, pair.fixed, translate("LightRegistration", "Phantom fixed")),
        volume_node_from_volume(scene, pair.moving, translate("LightRegistration", "Phantom moving")),
    ]
    segmentations = [
        segmentation_node_from_segmentation(scene, segmentation, name)
        for segmentation, name in (
            (pair.fixed_segmentation, translate("LightRegistration", "Phantom fixed structures")),
            (pair.moving_segmentation, translate("LightRegistration", "Phantom moving structures")),
        )
    ]
    for node in segmentations:
        node.SetDisplayVisibility(False)
    slicer.util.setSliceViewerLayers(background=volumes[0], fit=True)
    return [*volumes, *segmentations]
