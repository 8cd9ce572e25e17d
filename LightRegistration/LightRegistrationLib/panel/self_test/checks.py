"""Scenarios of the self-test about the checks of a result: landmarks, places, cursor, layout, what goes with it."""

# ruff: noqa: PT009 - Slicer runs these with unittest, whose own assertions report more

from __future__ import annotations

import json
from typing import Any

import numpy as np
import qt
import slicer
import slicer.util

from ...commands.phantom.pair import PhantomPair
from ...core.geometry.geometry import apply_affine
from ...core.geometry.volume import Segment, Segmentation
from ...scene.nodes.probe import read_voxel
from ...scene.nodes.results import RegistrationNodes, publish_result
from ...scene.nodes.review import read_review
from ...scene.nodes.segmentations import segmentation_node_from_segmentation
from .event_loop import EventLoopWatch, report_stops

LANDMARKS_MM = ((0.0, 20.0, 10.0), (-30.0, -10.0, 0.0), (25.0, 0.0, -15.0))
"""Points inside the head of the built-in pair, RAS mm."""

MANY = 130
"""Structures of a segmentation of the whole body."""


def find_shown_place() -> tuple[float, ...]:
    """Return the point, RAS mm, in which the three standard slice views intersect."""
    views = (("Yellow", 0), ("Green", 1), ("Red", 2))
    manager = slicer.app.layoutManager()
    return tuple(manager.sliceWidget(name).mrmlSliceNode().GetSliceToRAS().GetElement(axis, 3) for name, axis in views)


def _make_blocks(shape: tuple[int, ...], count: int) -> np.ndarray:
    """Return labels from 1 to a count, each a block of a regular grid (k, j, i)."""
    k, j, i = (np.arange(n) * 6 // n for n in shape)
    blocks = 1 + k[:, None, None] * 36 + j[:, None] * 6 + i
    return np.where(blocks <= count, blocks, 0).astype(np.int16)


class CheckScenarios:
    """What a user does to check a result; a mixin for unittest.TestCase with the nodes of the built-in pair."""

    def test_landmarks_show_their_error(self) -> None:
        """Landmarks that the known deformation maps onto each other have no error after, and one before."""
        true_field = self._pair().true_field
        self._show_known_result()
        lists = {"fixed": LANDMARKS_MM, "moving": true_field(LANDMARKS_MM)}
        for name, points in lists.items():
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", f"{name} landmarks")
            for point in points:
                node.AddControlPoint(*(float(value) for value in point))
            getattr(self.ui, f"{name}LandmarksSelector").setCurrentNode(node)
        text = self.ui.landmarksLabel.text
        self.assertIn("of 3 landmarks", text)
        self.assertIn("after: mean 0.0", text)
        self.assertNotIn("before: mean 0.0", text)

    def test_a_checked_place_is_listed(self) -> None:
        """A place in the fixed volume and the same place in the result give the error; it is kept with the result."""
        self._show_known_result()
        composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
        self.ui.checkPlaceButton.click()
        self.assertIsNone(composite.GetForegroundVolumeID(), "the fixed volume alone")
        logic = slicer.app.applicationLogic()
        interaction = logic.GetInteractionNode()
        self.assertEqual(interaction.GetCurrentInteractionMode(), interaction.Place)
        line = slicer.mrmlScene.GetNodeByID(logic.GetSelectionNode().GetActivePlaceNodeID())
        line.AddControlPoint(0.0, 20.0, 10.0)
        self.assertIsNotNone(composite.GetForegroundVolumeID(), "the result")
        line.AddControlPoint(3.0, 20.0, 6.0)
        interaction.SwitchToViewTransformMode()
        self.assertEqual(self.ui.placesTable.rowCount, 1)
        texts = [self.ui.placesTable.item(0, column).text() for column in range(1, 5)]
        self.assertEqual(texts, ["5.0", "+3.0", "+0.0", "-4.0"])

        self.ui.checkPlaceButton.click()
        interaction.SwitchToViewTransformMode()
        self.assertEqual(self.ui.checkPlaceButton.text, "Check a place")
        self.assertEqual(self.ui.placesTable.rowCount, 1)

    def test_the_cursor_shows_the_known_displacement(self) -> None:
        """The tab shows the displacement of the known deformation under the cursor, and the structure there."""
        self._show_known_result()
        tabs = self.ui.checkTabs
        tabs.setCurrentIndex(tabs.indexOf(self.ui.cursorTab))
        point = LANDMARKS_MM[1]
        slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode").SetCursorPositionRAS(point)
        expected = np.subtract(self._pair().true_field(point), point)
        right, anterior, superior = (f"{value:+.1f}" for value in expected)
        text = self.ui.cursorDisplacementLabel.text
        self.assertIn(f"R {right}, A {anterior}, S {superior} mm", text)
        self.assertIn(f"{np.linalg.norm(expected):.1f} mm:", text)
        self.assertIn("(", self.ui.cursorFixedLabel.text, "the structure there")
        tabs.setCurrentIndex(0)

    def test_maps_show_the_known_deformation(self) -> None:
        """The maps of displacement and Jacobian are in the views, with a legend, and hold the known values."""
        self._show_known_result()
        point = LANDMARKS_MM[1]
        expected = np.linalg.norm(np.subtract(self._pair().true_field(point), point))
        composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
        self.ui.displacementButton.click()
        labels = slicer.mrmlScene.GetNodeByID(composite.GetLabelVolumeID())
        value = read_voxel(labels, point)
        low, high = labels.GetDisplayNode().GetColorNode().GetColorName(int(value)).split(" to ")
        self.assertTrue(float(low) - 0.1 <= expected <= float(high) + 0.1, f"{low} to {high} mm, not {expected} mm")
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode"), 1)

        self.ui.jacobianButton.click()
        labels = slicer.mrmlScene.GetNodeByID(composite.GetLabelVolumeID())
        names = labels.GetDisplayNode().GetColorNode()
        used = {names.GetColorName(int(value)) for value in np.unique(slicer.util.arrayFromVolume(labels))}
        self.assertIn("0.9 to 1.1", used)
        self.assertNotIn("folded", used)
        self.ui.noOverlayButton.click()
        self.assertIsNone(composite.GetLabelVolumeID())
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode"), 0)

    def test_fade_between_fixed_and_result(self) -> None:
        """The slider sets how opaque the result is in all views, follows the views, and is off for the fixed volume."""
        self._show_known_result()
        slider = self.ui.fadeSlider
        manager = slicer.app.layoutManager()
        composites = [manager.sliceWidget(name).mrmlSliceCompositeNode() for name in ("Red", "Green", "Yellow")]
        self.assertEqual(slider.value, 50)
        for percent in (0, 100, 20):
            slider.setValue(percent)
            for composite in composites:
                self.assertAlmostEqual(composite.GetForegroundOpacity(), percent / 100)
        self.ui.beforeButton.click()
        self.assertEqual(slider.value, 20, "it stays when the picture changes")
        composites[0].SetForegroundOpacity(0.7)
        self.assertEqual(slider.value, 70)
        self.ui.fixedButton.click()
        self.assertFalse(slider.enabled)
        self.ui.afterButton.click()
        self.assertTrue(slider.enabled)

    def test_comparisons_are_drawn_and_change_no_node(self) -> None:
        """Each way to compare is what the switches say; the views and their nodes stay as they are."""
        self._show_known_result()
        view = slicer.app.layoutManager().sliceWidget("Red")
        composite = view.mrmlSliceCompositeNode()

        def read() -> tuple[Any, ...]:
            volumes = (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID())
            return (*volumes, composite.GetForegroundOpacity(), composite.GetCompositing())

        def count_props() -> int:
            window = view.sliceView().renderWindow()
            return int(window.GetRenderers().GetFirstRenderer().GetViewProps().GetNumberOfItems())

        before, props = read(), count_props()
        box = self.ui.comparisonBox
        for number in range(1, box.count):
            box.setCurrentIndex(number)
            view.sliceView().forceRender()
            self.assertGreater(count_props(), props, box.currentText)
            self.assertEqual(read(), before)
            self.assertEqual(self.ui.showButton.text, "Shown")
            self.assertFalse(self.ui.fadeSlider.enabled)
        box.setCurrentIndex(0)
        self.assertEqual(count_props(), props)
        self.assertTrue(self.ui.fadeSlider.enabled)

    def test_a_click_on_a_structure_shows_it(self) -> None:
        """The slice views jump into the clicked structure of the fixed volume; the row of the mean moves nothing."""
        self._show_known_result()
        segments = self._pair().fixed_segmentation.segments
        score = {"dice": 1.0, "volume_change_percent": 0.0}
        rows = [{"name": s.name, "value": s.value, "before": score, "after": score} for s in segments]
        numbers = _NO_NUMBERS | {"structures": rows, "mean": {"before": score, "after": score}}
        self.panel.logic.getParameterNode().report = json.dumps(numbers)
        table, seen = self.ui.resultTable, []
        for row, segment in enumerate(segments, start=1):
            table.cellClicked(row, 0)
            place = find_shown_place()
            seen.append(place)
            mask, affine = self._pair().fixed_segmentation.mask(segment), self._pair().fixed.affine
            i, j, k = (round(x) for x in apply_affine(np.linalg.inv(affine), place))
            self.assertTrue(mask[k, j, i], f"{segment.name} is not at {place}")
        self.assertGreater(len(set(seen)), 1)
        table.cellClicked(0, 0)
        self.assertEqual(find_shown_place(), seen[-1])

    def test_compare_shows_four_views_and_leads_back(self) -> None:
        """Fixed volume, result and difference are in the views of the layout; the button leads back to the user's."""
        nodes = self._show_known_result()
        manager, scene = slicer.app.layoutManager(), slicer.mrmlScene
        before = manager.layout
        self.ui.compareButton.click()
        for _turn in range(20):
            slicer.app.processEvents()
        shown = {}
        for view in ("Fixed", "Result", "Difference"):
            composite = manager.sliceWidget(f"LightRegistration{view}").mrmlSliceCompositeNode()
            shown[view] = scene.GetNodeByID(composite.GetBackgroundVolumeID()).GetName()
        self.assertEqual(shown["Fixed"], self.fixed.GetName())
        self.assertEqual(shown["Result"], self.fixed.GetName())
        self.assertEqual(shown["Difference"], "Difference")
        composite = manager.sliceWidget("LightRegistrationResult").mrmlSliceCompositeNode()
        self.assertEqual(composite.GetForegroundVolumeID(), nodes.warped.GetID())
        self.assertTrue(self.ui.compareButton.checked)
        self.ui.compareButton.click()
        self.assertEqual(manager.layout, before)
        self.assertFalse(self.ui.compareButton.checked)

    def test_points_are_carried_along_and_back(self) -> None:
        """Points of the moving scan lie on the fixed volume while they are under the transform."""
        points = self._pair().true_field(LANDMARKS_MM)
        self._show_known_result()
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "other points")
        for point in points:
            node.AddControlPoint(*(float(value) for value in point))
        slicer.app.processEvents()
        rows = self.ui.carryList.count
        row = next(n for n in range(rows) if self.ui.carryList.item(n).text() == "other points")
        self.ui.carryList.item(row).setCheckState(qt.Qt.Checked)
        for goal in (LANDMARKS_MM, points):
            self.ui.carrySwitch.click()
            found = [node.GetNthControlPointPositionWorld(n) for n in range(len(LANDMARKS_MM))]
            self.assertTrue(np.abs(np.subtract(found, goal)).max() < 0.1)
        self.ui.carryCopyButton.click()
        copy = slicer.util.getNode("other points on *")
        found = [copy.GetNthControlPointPositionWorld(n) for n in range(len(LANDMARKS_MM))]
        self.assertTrue(np.abs(np.subtract(found, LANDMARKS_MM)).max() < 0.1)

    def test_switching_many_structures_is_measured(self) -> None:
        """How long the event loop stands still when the outlines of 130 structures are switched; printed."""
        self._show_known_result()
        pair, names = self._pair(), [f"Structure {number}" for number in range(1, MANY + 1)]
        labels = _make_blocks(pair.fixed.array.shape, MANY)
        segments = tuple(Segment(name, number) for number, name in enumerate(names, start=1))
        many = Segmentation((labels,), pair.fixed.affine, segments)
        nodes = [segmentation_node_from_segmentation(slicer.mrmlScene, many, name) for name in ("many", "many moving")]
        result = publish_result(
            slicer.mrmlScene,
            self.fixed,
            self.moving,
            pair.true_field,
            pair.fixed,
            many,
            fixed_segmentation=nodes[0],
            moving_segmentation=nodes[1],
        )
        self.panel.logic.getParameterNode().result = result.transform
        stops = {}
        with EventLoopWatch() as watch:
            for button in ("noOverlayButton", "outlinesButton", "beforeButton", "noOverlayButton"):
                watch.stops.clear()
                watch.run(getattr(self.ui, button).click)
                stops[f"{button} with {MANY} structures"] = watch.find_longest()
        report_stops(stops)
        self.assertEqual(len(stops), 3)
        self.assertGreater(stops[f"outlinesButton with {MANY} structures"].total_ms, 0)

    def test_the_verdict_is_the_reviewers(self) -> None:
        """A result is not reviewed until the reviewer says something else; that is stored with the transform."""
        nodes = self._show_known_result()
        self.assertEqual(self.ui.verdictBox.currentText, "Not reviewed")
        self.ui.verdictBox.setCurrentIndex(2)
        self.ui.noteEdit.setPlainText("brain stem only")
        review = read_review(nodes.transform)
        self.assertEqual((review["verdict"], review["note"]), ("accepted with limits", "brain stem only"))

    def _show_known_result(self) -> RegistrationNodes:
        """Show a result with the known deformation; returns its nodes."""
        pair = self._pair()
        nodes = publish_result(
            slicer.mrmlScene,
            self.fixed,
            self.moving,
            pair.true_field,
            pair.fixed,
            pair.fixed_segmentation,
            fixed_segmentation=self.fixed_segmentation,
            moving_segmentation=self.moving_segmentation,
        )
        parameters = self.panel.logic.getParameterNode()
        parameters.report = json.dumps(_NO_NUMBERS)
        parameters.result = nodes.transform
        return nodes

    def _pair(self) -> PhantomPair:
        raise NotImplementedError

    panel: Any
    ui: Any
    fixed: Any
    moving: Any
    fixed_segmentation: Any
    moving_segmentation: Any
    assertTrue: Any
    assertFalse: Any
    assertAlmostEqual: Any
    assertEqual: Any
    assertGreater: Any
    assertIn: Any
    assertNotIn: Any
    assertIsNone: Any
    assertIsNotNone: Any


_NO_NUMBERS = {
    "fixed": {"spacing_mm": [1.0, 1.0, 1.0]},
    "moving": {"spacing_mm": [1.0, 1.0, 1.0]},
    "jacobian": {"percent_nonpositive": 0.0, "minimum": 1.0},
    "seconds": {},
    "model": {"name": "none"},
    "warnings": [],
    "structures": None,
    "mean": None,
}
"""What the panel needs of a report."""
