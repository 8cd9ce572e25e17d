"""Whether a result is a registration at all, measured in the scene and not by what made it."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

LEAST_RISE = 0.15
"""Mean Dice must rise by this much on the built-in pair; the identity rises by nothing."""


def assert_good_result(transform: Any, fixed: Any, fixed_segmentation: Any, moving_segmentation: Any) -> float:
    """Raise AssertionError unless the transform makes the structures match much better; returns the mean Dice after."""
    before = mean_dice(fixed_segmentation, moving_segmentation, fixed)
    after = mean_dice(fixed_segmentation, moving_segmentation, fixed, transform)
    if after < before + LEAST_RISE:
        raise AssertionError(f"mean Dice {before:.3f} before and {after:.3f} after: this is no registration")
    return after


def mean_dice(fixed_segmentation: Any, moving_segmentation: Any, fixed: Any, transform: Any = None) -> float:
    """Mean Dice of segments of equal name on the fixed volume's voxels, the moving ones seen through a transform.

    Slicer itself resamples a copy of the moving segmentation that is put under the transform node: twice, by way of
    the moving grid, which costs small structures some Dice. Segments of one segmentation must not overlap.
    """
    scene = slicer.mrmlScene
    copy = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "copy for the quality check")
    try:
        copy.GetSegmentation().DeepCopy(moving_segmentation.GetSegmentation())
        copy.SetAndObserveTransformNodeID(None if transform is None else transform.GetID())
        target, moved = _masks(fixed_segmentation, fixed), _masks(copy, fixed)
    finally:
        scene.RemoveNode(copy)
    return float(np.mean([_dice(mask, moved[name]) for name, mask in target.items()]))


def _masks(node: Any, reference: Any) -> dict[str, np.ndarray]:
    """Segment name -> booleans (k, j, i) on the reference volume's grid."""
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
        # Slicer numbers exported segments from 1 in the order in which they were asked for.
        return {
            segmentation.GetSegment(ids.GetValue(index)).GetName(): array == index + 1
            for index in range(ids.GetNumberOfValues())
        }
    finally:
        scene.RemoveNode(labels)


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    total = first.sum() + second.sum()
    return float(2 * (first & second).sum() / total) if total else 1.0
