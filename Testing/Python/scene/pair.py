"""A registered pair in the scene, with a known result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from LightRegistrationLib.core.geometry.geometry import Geometry
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.geometry.volume import Segmentation, Volume
from LightRegistrationLib.scene.nodes.results import RegistrationNodes, publish_result
from LightRegistrationLib.scene.nodes.segmentations import segmentation_node_from_segmentation
from LightRegistrationLib.scene.nodes.volumes import volume_node_from_volume

from ..analytic import linear_warp, nearest_warp, phantom, smooth_field


@dataclass(frozen=True)
class Pair:
    """The nodes of a user, and the result of their registration."""

    fixed: Any
    moving: Any
    fixed_segmentation: Any
    moving_segmentation: Any
    field: DisplacementField
    warped: Volume
    warped_segmentation: Segmentation

    def inputs(self) -> list[Any]:
        return [self.fixed, self.moving, self.fixed_segmentation, self.moving_segmentation]

    def publish(self, scene: Any, **options: Any) -> RegistrationNodes:
        return publish_result(
            scene,
            self.fixed,
            self.moving,
            self.field,
            self.warped,
            self.warped_segmentation,
            fixed_segmentation=self.fixed_segmentation,
            moving_segmentation=self.moving_segmentation,
            **options,
        )


def make_pair(scene: Any, geometry: Geometry, share: float = 1.0) -> Pair:
    """A phantom as moving, its warp as fixed; the result holds `share` of the true displacement."""
    moving, labels = phantom(geometry)
    true = smooth_field(geometry)
    found = DisplacementField(true.array * np.float32(share), true.affine)
    images = [linear_warp(moving.array, moving.affine, f, geometry).astype(np.int16) for f in (true, found)]
    maps = [nearest_warp(labels.layers[0], labels.affine, f, geometry) for f in (true, found)]
    fixed_labels = Segmentation((maps[0],), geometry.affine, labels.segments)
    fixed = volume_node_from_volume(scene, Volume(images[0], geometry.affine), "fixed")
    for node in (moving_node := volume_node_from_volume(scene, moving, "moving"), fixed):
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevel(300, 150)
    return Pair(
        fixed,
        moving_node,
        segmentation_node_from_segmentation(scene, fixed_labels, "fixed organs"),
        segmentation_node_from_segmentation(scene, labels, "moving organs"),
        found,
        Volume(images[1], geometry.affine, "warped"),
        Segmentation((maps[1],), geometry.affine, labels.segments, "warped"),
    )
