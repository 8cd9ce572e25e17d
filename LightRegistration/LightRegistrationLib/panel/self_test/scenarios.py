"""The scenarios of the module's self-test: what a user does with a synthetic pair of volumes, and the expected result.

They run in Slicer and in the host double, with the real panel, worker, and scene.
"""

# ruff: noqa: PT009, PT027 - Slicer runs these with unittest, whose own assertions report more

from __future__ import annotations

import json
import os
import time
from typing import Any

import numpy as np
import qt
import slicer
import slicer.util

from ...commands.phantom.pair import PhantomPair, make_phantom_pair
from ...core.errors import InputError
from ...core.geometry.transforms import DisplacementField
from ...core.result.settings import AUTO_MODEL, RegistrationSettings
from ...scene.nodes.segmentations import segmentation_node_from_segmentation
from ...scene.nodes.transforms import FIXED_ROLE, MOVING_ROLE, transform_node_from_field
from ...scene.nodes.volumes import volume_node_from_volume
from ..state import DOUBLE_CLICK_S
from .checks import CheckScenarios
from .event_loop import EventLoopWatch, describe_picture, name_pictures, report_stops
from .quality import assert_good_result, compute_mean_dice

WAIT_SECONDS = 120.0
MODEL = os.environ.get("LIGHTREG_SELF_TEST_MODEL", AUTO_MODEL)
"""The model of all scenarios but one, which registers as the panel does by itself."""
_pair: list[PhantomPair] = []


def phantom_pair() -> PhantomPair:
    """Return the built-in pair with coarse voxels; created once."""
    if not _pair:
        _pair.append(make_phantom_pair(seed=0, spacing_mm=3.0))
    return _pair[0]


class LightRegistrationScenarios(CheckScenarios):
    """The scenarios; a mixin for unittest.TestCase."""

    def setUp(self) -> None:
        """Start with the phantom in an otherwise empty scene and an open panel."""
        slicer.mrmlScene.Clear()
        pair, scene = phantom_pair(), slicer.mrmlScene
        self.fixed = volume_node_from_volume(scene, pair.fixed, "Phantom fixed")
        self.moving = volume_node_from_volume(scene, pair.moving, "Phantom moving")
        self.fixed_segmentation = segmentation_node_from_segmentation(scene, pair.fixed_segmentation, "Fixed organs")
        self.moving_segmentation = segmentation_node_from_segmentation(scene, pair.moving_segmentation, "Moving organs")
        self.panel = slicer.modules.lightregistration.widgetRepresentation().self()
        self.panel.enter()
        self.panel.logic.getParameterNode().model = MODEL
        self.ui = self.panel.ui

    def tearDown(self) -> None:
        """Cancel a running registration and empty the scene."""
        self.panel.logic.cancel()
        slicer.mrmlScene.Clear()

    def test_register_pair_with_segmentations(self) -> None:
        """One click: Dice rises, all result nodes exist and reference their inputs, and the inputs are not changed."""
        before = self._fingerprints()
        self.panel.logic.getParameterNode().model = AUTO_MODEL
        self._choose(segmentations=True)
        self.ui.registerButton.click()
        self.assertTrue(self.panel.logic.is_busy)
        self.assertEqual(self.ui.registerButton.text, "Cancel")
        self.panel.logic.wait(WAIT_SECONDS)

        result = self._result()
        assert_good_result(result, self.fixed, self.fixed_segmentation, self.moving_segmentation)
        self.assertIs(result.GetNodeReference(FIXED_ROLE), self.fixed)
        self.assertIs(result.GetNodeReference(MOVING_ROLE), self.moving)
        self.assertEqual(self._fingerprints(), before)
        self.assertEqual(self.ui.registerButton.text, "Register")
        self.assertIn("mean Dice", self.ui.statusLabel.text)
        structures = phantom_pair().fixed_segmentation.segments
        self.assertEqual(self.ui.resultTable.rowCount, len(structures) + 1)
        self.assertIn("Folding", self.ui.summaryLabel.text)
        self._check_warped_nodes()

    def test_quality_check_refuses_identity(self) -> None:
        """The quality check fails for the identity and passes for the true transform."""
        grid = phantom_pair().true_field
        zero_field = DisplacementField(np.zeros_like(grid.array), grid.affine)
        identity = transform_node_from_field(slicer.mrmlScene, zero_field, "identity", self.fixed, self.moving)
        with self.assertRaises(AssertionError):
            assert_good_result(identity, self.fixed, self.fixed_segmentation, self.moving_segmentation)
        truth = transform_node_from_field(slicer.mrmlScene, grid, "truth", self.fixed, self.moving)
        dice = assert_good_result(truth, self.fixed, self.fixed_segmentation, self.moving_segmentation)
        self.assertGreater(dice, 0.75)

    def test_panel_says_what_is_missing(self) -> None:
        """The panel shows one line for each missing or impossible choice, and Register stays disabled."""
        ui = self.ui
        self.assertIs(ui.fixedSelector.currentNode(), self.fixed, "the only two volumes are chosen")
        self.assertIs(ui.movingSelector.currentNode(), self.moving)
        self.assertTrue(ui.registerButton.enabled)
        ui.fixedSelector.setCurrentNode(None)
        ui.movingSelector.setCurrentNode(None)
        self.assertIn("fixed volume", ui.statusLabel.text)
        ui.fixedSelector.setCurrentNode(self.fixed)
        self.assertIn("moving volume", ui.statusLabel.text)
        ui.movingSelector.setCurrentNode(self.fixed)
        self.assertIn("same volume", ui.statusLabel.text)
        self.assertFalse(ui.registerButton.enabled)
        ui.movingSelector.setCurrentNode(self.moving)
        self.assertTrue(ui.registerButton.enabled)
        ui.outputVolumeSelector.setCurrentNode(self.moving)
        self.assertIn("never changed", ui.statusLabel.text)
        self.assertFalse(ui.registerButton.enabled)

    def test_cancel_at_once(self) -> None:
        """Cancel ends the registration within half a second and leaves no node; the next registration works."""
        self._choose(segmentations=True)
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        self.ui.registerButton.click()
        time.sleep(1.1 * DOUBLE_CLICK_S)  # an earlier press would belong to a double click
        start = time.perf_counter()
        self.ui.registerButton.click()
        self.assertLess(time.perf_counter() - start, 0.5)
        self.assertFalse(self.panel.logic.is_busy)
        self.assertEqual(self.ui.statusLabel.text, "Canceled.")
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)

        self.ui.registerButton.click()
        self.panel.logic.wait(WAIT_SECONDS)
        self.assertIsNotNone(self._result())

    def test_scene_closed_during_registration(self) -> None:
        """Closing the scene ends the registration and its process; the panel says so and starts again."""
        self._choose(segmentations=False)
        self.ui.registerButton.click()
        process = self.panel.logic.worker_process_id
        slicer.mrmlScene.Clear()
        self.assertFalse(self.panel.logic.is_busy)
        self.assertNotEqual(self.panel.logic.worker_process_id, process)
        self.panel.enter()
        self.assertIn("The scene was closed", self.ui.statusLabel.text)
        self.assertFalse(self.ui.registerButton.enabled)

    def test_input_removed_during_registration(self) -> None:
        """Removing an input cancels the registration."""
        self._choose(segmentations=False)
        self.ui.registerButton.click()
        slicer.mrmlScene.RemoveNode(self.moving)
        self.assertFalse(self.panel.logic.is_busy)

    def test_switches_change_what_views_show(self) -> None:
        """Before and after, deformation grid, and match map appear in the slice views."""
        self._choose(segmentations=True)
        self.ui.registerButton.click()
        self.panel.logic.wait(WAIT_SECONDS)
        composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
        after = composite.GetForegroundVolumeID()
        self.assertEqual(composite.GetBackgroundVolumeID(), self.fixed.GetID())
        self._click(self.ui.beforeButton)
        self.assertEqual(composite.GetForegroundVolumeID(), self.moving.GetID())
        self._click(self.ui.afterButton)
        self.assertEqual(composite.GetForegroundVolumeID(), after)

        for _turn in range(2):
            self._click(self.ui.gridBox)
            grids = slicer.util.getNodesByClass("vtkMRMLTransformDisplayNode")
            drawn = any(grid.GetVisibility() and grid.GetVisibility2D() for grid in grids)
            self.assertEqual(drawn, self.ui.gridBox.checked)
        self._click(self.ui.matchButton)
        self.assertIsNotNone(composite.GetLabelVolumeID())
        self.assertFalse(self.ui.outlinesButton.checked, "one overlay replaces the other")
        self._click(self.ui.noOverlayButton)
        self.assertIsNone(composite.GetLabelVolumeID())
        self._click(self.ui.fixedButton)
        self.assertIsNone(composite.GetForegroundVolumeID())

    def test_script_waits_for_completion(self) -> None:
        """A script registers with one call; impossible input raises InputError."""
        logic = self.panel.logic
        registered = logic.register(
            self.fixed,
            self.moving,
            fixed_segmentation=self.fixed_segmentation,
            moving_segmentation=self.moving_segmentation,
            settings=RegistrationSettings(MODEL, initial="affine"),
        )
        nodes, mean = registered.nodes, registered.report["mean"]
        assert_good_result(nodes.transform, self.fixed, self.fixed_segmentation, self.moving_segmentation)
        before = compute_mean_dice(self.fixed_segmentation, self.moving_segmentation, self.fixed)
        after = compute_mean_dice(self.fixed_segmentation, nodes.warped_segmentation, self.fixed)
        self.assertAlmostEqual(mean["before"]["dice"], before, delta=0.005)
        self.assertAlmostEqual(mean["after"]["dice"], after, delta=0.005)
        with self.assertRaises(InputError):
            logic.register(self.fixed, self.fixed)

    def test_refinement(self) -> None:
        """Fast refinement raises the similarity, appears in the summary, and preserves the volume of one structure.

        How long the event loop stands still when pictures appear is measured and printed.
        """
        self._choose(segmentations=True)
        self.ui.refineBox.setCurrentIndex(1)
        structure = self.ui.keepVolumeList.item(0)
        structure.setCheckState(qt.Qt.Checked)
        with EventLoopWatch(describe_picture) as watch:
            self.ui.registerButton.click()
            self.panel.logic.wait(WAIT_SECONDS)
        stops = name_pictures(watch.find_longest_by_picture())
        report_stops(stops)
        self.assertIn("first picture", stops)
        self.assertIn("result", stops)
        refined = self._report()
        assert_good_result(self._result(), self.fixed, self.fixed_segmentation, self.moving_segmentation)
        self.assertEqual(refined["settings"]["refine"], "fast")
        self.assertGreater(refined["refinement"]["similarity_after"], refined["refinement"]["similarity_before"])
        self.assertGreater(refined["mean"]["after"]["dice"], refined["mean"]["before"]["dice"] + 0.3)
        self.assertEqual(refined["jacobian"]["percent_nonpositive"], 0)
        self.assertEqual([kept["name"] for kept in refined["kept"]], [structure.text()])
        self.assertIn("Refinement", self.ui.summaryLabel.text)
        self.assertIn(f"Volume of {structure.text()}", self.ui.summaryLabel.text)

    def test_series_becomes_a_sequence_of_transforms(self) -> None:
        """Both volumes as frames of a sequence: a transform for each, and points over time as a plot."""
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "frames")
        for number, node in enumerate((self.fixed, self.moving)):
            sequence.SetDataNodeAtValue(node, str(number))
        points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "followed")
        points.AddControlPoint(0.0, 20.0, 10.0)
        self.ui.seriesSelector.setCurrentNode(sequence)
        self.ui.seriesPointsSelector.setCurrentNode(points)
        self.ui.seriesButton.click()
        self.panel.logic.wait(WAIT_SECONDS)
        self.assertIn("2 of 2 frames", self.ui.statusLabel.text)
        (transforms,) = (n for n in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if n is not sequence)
        self.assertEqual(transforms.GetNumberOfDataNodes(), 2)
        self.assertEqual(slicer.util.getNode("followed over time").GetNumberOfPlotSeriesNodes(), 1)

    def test_initial_transform_of_the_scene(self) -> None:
        """A linear transform of the scene is the initial alignment, and the result names it."""
        self._choose(segmentations=False)
        self.ui.initialBox.setCurrentIndex(self.ui.initialBox.count - 1)
        self.assertIn("Choose the transform", self.ui.statusLabel.text)
        self.assertFalse(self.ui.registerButton.enabled)
        matrix = np.eye(4)
        matrix[:3, 3] = 2, -1, 0
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "made by hand")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        self.ui.initialTransformSelector.setCurrentNode(transform)
        self.ui.registerButton.click()
        self.panel.logic.wait(WAIT_SECONDS)
        self.assertIsNotNone(self._result())
        self.assertIn("made by hand", self.ui.summaryLabel.text)
        initial = np.array(self._report()["initial_matrix_fixed_to_moving_ras_mm"])
        np.testing.assert_allclose(initial, np.linalg.inv(matrix), atol=1e-6)

    def _pair(self) -> PhantomPair:
        return phantom_pair()

    def _report(self) -> Any:
        return json.loads(self.panel.logic.getParameterNode().report)

    def _choose(self, segmentations: bool) -> None:
        self.ui.fixedSelector.setCurrentNode(self.fixed)
        self.ui.movingSelector.setCurrentNode(self.moving)
        if segmentations:
            self.ui.fixedSegmentationSelector.setCurrentNode(self.fixed_segmentation)
            self.ui.movingSegmentationSelector.setCurrentNode(self.moving_segmentation)
        self.assertTrue(self.ui.registerButton.enabled, self.ui.statusLabel.text)

    def _click(self, switch: Any) -> None:
        """Press a switch, and show all of what it says."""
        switch.click()
        self.panel.logic.finish_showing()

    def _result(self) -> Any:
        result = self.panel.logic.getParameterNode().result
        self.assertIsNotNone(result, self.ui.statusLabel.text)
        return result

    def _fingerprints(self) -> list[Any]:
        """Return everything of the user's nodes that must not change."""
        return [
            (
                node.GetName(),
                node.GetTransformNodeID(),
                None if node.GetStorageNode() is None else node.GetStorageNode().GetFileName(),
                slicer.util.arrayFromVolume(node).tobytes() if node.IsA("vtkMRMLVolumeNode") else _labels(node),
            )
            for node in (self.fixed, self.moving, self.fixed_segmentation, self.moving_segmentation)
        ]

    def _check_warped_nodes(self) -> None:
        scene, fixed = slicer.mrmlScene, slicer.util.arrayFromVolume(self.fixed)
        warped = scene.GetNodeByID(scene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode").GetForegroundVolumeID())
        self.assertEqual(slicer.util.arrayFromVolume(warped).shape, fixed.shape)
        self.assertEqual(slicer.util.arrayFromVolume(warped).dtype, slicer.util.arrayFromVolume(self.moving).dtype)


def _labels(node: Any) -> list[Any]:
    segmentation = node.GetSegmentation()
    return [
        (segment_id, segmentation.GetSegment(segment_id).GetName(), segmentation.GetSegment(segment_id).GetColor())
        for segment_id in segmentation.GetSegmentIDs()
    ]
