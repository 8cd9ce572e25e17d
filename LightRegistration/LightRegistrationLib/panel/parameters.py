"""The parameter node of the module: what the user chose, and the latest result."""

from __future__ import annotations

from typing import Union

from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLSequenceNode,
    vtkMRMLTransformNode,
)
from slicer.parameterNodeWrapper import parameterNodeWrapper

from ..scene.display.comparison import Comparison
from ..scene.display.deformation_grid import GridKind
from .views.view_content import Overlay, Picture

# Slicer's parameter node supports a Union with None, but not the newer A | B.
SegmentationOrLabels = Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007


@parameterNodeWrapper
class LightRegistrationParameterNode:
    """The user's choices and the latest result; saved with the scene.

    initialTransform: used if initial is "transform".
    Masks: where the volumes are compared, None for everywhere. keepVolume: names of moving segments, one per line.
    followUp: both volumes are scans of one person. checkConsistency: also register in the opposite
    direction. cascades, threads: 0 for as trained, and for all cores.
    Landmarks: corresponding points of both volumes, for the target registration error; showErrorLines: in the views.
    series: 4-D, every frame is registered to one of them. seriesPoints: of that frame, to follow over time.
    seriesWarped: whether the warped frames are added.
    An output that is None is created, or that of the latest result is taken if the same nodes are registered again, but
    for keepResults. result: the transform of the latest run; it references all nodes of
    that run. report: the numbers of that run as JSON. picture, overlay, showGrid, gridKind, comparison: what the views
    show (ViewContent).
    """

    fixedVolume: vtkMRMLScalarVolumeNode
    movingVolume: vtkMRMLScalarVolumeNode
    fixedSegmentation: SegmentationOrLabels
    movingSegmentation: SegmentationOrLabels
    model: str = "auto"
    initial: str = "affine"
    initialTransform: vtkMRMLTransformNode
    refine: str = "none"
    fixedMask: SegmentationOrLabels
    movingMask: SegmentationOrLabels
    keepVolume: str = ""
    fixedLandmarks: vtkMRMLMarkupsFiducialNode
    movingLandmarks: vtkMRMLMarkupsFiducialNode
    showErrorLines: bool = False
    followUp: bool = False
    checkConsistency: bool = False
    cascades: int = 0
    threads: int = 0
    keepResults: bool = False
    series: vtkMRMLSequenceNode
    seriesPoints: vtkMRMLMarkupsFiducialNode
    seriesWarped: bool = False
    outputTransform: vtkMRMLTransformNode
    outputVolume: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    result: vtkMRMLTransformNode
    report: str = ""
    picture: str = Picture.AFTER.value
    overlay: str = Overlay.OUTLINES.value
    showGrid: bool = False
    gridKind: str = GridKind.GRID.value
    comparison: str = Comparison.FADE.value
