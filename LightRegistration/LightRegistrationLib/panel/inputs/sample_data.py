"""The built-in pair of volumes as sample data of Slicer: nothing is downloaded, the nodes are made."""

from __future__ import annotations

from typing import Any

import slicer
import slicer.util

from ...scene.nodes.segmentations import segmentation_node_from_segmentation
from ...scene.nodes.volumes import volume_node_from_volume
from ..translation import translate

SAMPLE_NAME = "LightRegistrationPhantom"
SPACING_MM = 2.0
"""Of the fixed volume; with 1.5 mm the pair takes seconds to make."""


def register_sample_data(thumbnail: str) -> None:
    """Offer the built-in pair in Slicer's module Sample Data. thumbnail: path of a PNG file.

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
