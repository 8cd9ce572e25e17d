"""The quality check of a result: mean Dice as Slicer measures it, independent of the registration's own numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

MIN_DICE_GAIN = 0.15
"""By how much the mean Dice must rise on the built-in pair; with the identity it does not rise."""


def assert_good_result(transform: Any, fixed: Any, fixed_segmentation: Any, moving_segmentation: Any) -> float:
    """Raise AssertionError unless the transform clearly improves the match; returns the mean Dice after."""
    before = compute_mean_dice(fixed_segmentation, moving_segmentation, fixed)
    after = compute_mean_dice(fixed_segmentation, moving_segmentation, fixed, transform)
    if after < before + MIN_DICE_GAIN:
        raise AssertionError(
            f"mean Dice {before:.3f} before and {after:.3f} after: the transform does not register the volumes"
        )
    return after


def compute_mean_dice(fixed_segmentation: Any, moving_segmentation: Any, fixed: Any, transform: Any = None) -> float:
    """Return the mean Dice of segments of equal name on the fixed volume's grid, the moving ones after the transform.

    Slicer resamples a copy of the moving segmentation under the transform node. It resamples twice, through the moving
    grid, which lowers the Dice of small structures. Segments of one segmentation must not overlap.
    """
    scene = slicer.mrmlScene
    copy = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "copy for the quality check")
    try:
        copy.GetSegmentation().DeepCopy(moving_segmentation.GetSegmentation())
        copy.SetAndObserveTransformNodeID(None if transform is None else transform.GetID())
        target, moved = _export_masks(fixed_segmentation, fixed), _export_masks(copy, fixed)
    finally:
        scene.RemoveNode(copy)
    return float(np.mean([_compute_dice(mask, moved[name]) for name, mask in target.items()]))


def _export_masks(node: Any, reference: Any) -> dict[str, np.ndarray]:
    """Return for each segment name a mask (k, j, i), bool, on the reference volume's grid."""
    segmentation, scene = node.GetSegmentation(), slicer.mrmlScene
    ids = vtk.vtkStringArray()
    for segment_id in segmentation.GetSegmentIDs():
        ids.InsertNextValue(segment_id)
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels for the quality check")
    try:
        logic = slicer.modules.segmentations.logic()
        if not logic.ExportSegmentsToLabelmapNode(node, ids, labels, reference):
            raise AssertionError(f"Slicer cannot export {node.GetName()}")
        array = slicer.util.arrayFromVolume(labels)
        # Slicer numbers exported segments from 1, in the order of the given IDs.
        return {
            segmentation.GetSegment(ids.GetValue(index)).GetName(): array == index + 1
            for index in range(ids.GetNumberOfValues())
        }
    finally:
        scene.RemoveNode(labels)


def _compute_dice(first: np.ndarray, second: np.ndarray) -> float:
    total = first.sum() + second.sum()
    return float(2 * (first & second).sum() / total) if total else 1.0
