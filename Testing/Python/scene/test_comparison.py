"""Both volumes of a slice view in one picture, drawn by real slice views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from LightRegistrationLib.scene.display.comparison import GLASS_RADIUS_PIXELS, ComparedView, Comparison
from LightRegistrationLib.scene.display.result_display import ResultDisplay
from LightRegistrationLib.scene.headless.slice_views import SliceView

from .nodes import GEOMETRIES
from .pair import make_pair

SIZE = (320, 240)


class Shown:
    """A view with the fixed volume and the unregistered moving one; alone: what it draws of each of them."""

    def __init__(self, application: Any, scene: Any) -> None:
        self.pair = make_pair(scene, GEOMETRIES[0], 0.0)
        self.nodes = self.pair.publish(scene)
        for node in (self.pair.fixed_segmentation, self.pair.moving_segmentation):
            node.SetDisplayVisibility(False)
        self.view = SliceView(application, "Axial", SIZE)
        self.display = ResultDisplay(application.logic, self.nodes)
        self.display.show_before()
        self.composite = self.view.logic.GetSliceCompositeNode()
        self.fixed, self.moving = self._draw_alone(0.0), self._draw_alone(1.0)
        self.composite.SetForegroundOpacity(0.5)
        self.compared = ComparedView(self.view.logic, self.view.renderer)

    def _draw_alone(self, opacity: float) -> Any:
        self.composite.SetForegroundOpacity(opacity)
        return self.view.render().astype(int)

    def draw(self, kind: Comparison) -> Any:
        self.compared.show(kind)
        return self.view.render().astype(int)


@pytest.fixture
def shown(application: Any, scene: Any):
    found = Shown(application, scene)
    assert np.abs(found.fixed - found.moving).mean() > 2
    yield found
    found.compared.hide()
    found.display.restore()
    found.view.close()


def test_two_colors_are_red_and_cyan_and_gray_where_both_are_equal(shown) -> None:
    drawn = shown.draw(Comparison.COLORS)
    assert np.abs(drawn[..., 0] - shown.fixed[..., 0]).max() <= 1
    for channel in (1, 2):
        assert np.abs(drawn[..., channel] - shown.moving[..., channel]).max() <= 1


def test_the_difference_is_gray_where_both_are_equal_and_brighter_where_the_moving_volume_is(shown) -> None:
    drawn = shown.draw(Comparison.DIFFERENCE)
    assert np.abs(drawn - (127.5 + (shown.moving - shown.fixed) / 2)).max() <= 2


def test_the_tiles_of_the_checkerboard_are_of_one_and_of_the_other(shown) -> None:
    drawn = shown.draw(Comparison.CHECKERBOARD)
    is_fixed, is_moving = ((drawn == one).all(-1) for one in (shown.fixed, shown.moving))
    assert (is_fixed | is_moving).mean() > 0.99
    differs = (shown.fixed != shown.moving).any(-1)
    assert 0.2 < is_fixed[differs].mean() < 0.8


def test_flicker_shows_one_after_the_other(shown) -> None:
    assert (shown.draw(Comparison.FLICKER) == shown.moving).all()
    shown.compared.alternate(Comparison.FLICKER, False)
    assert (shown.view.render() == shown.fixed).all()


@pytest.mark.parametrize("kind", [Comparison.GLASS, Comparison.GLASS_REVERSED])
def test_the_spy_glass_shows_the_other_volume_around_the_cursor(shown, kind) -> None:
    around, inside = (shown.fixed, shown.moving) if kind is Comparison.GLASS else (shown.moving, shown.fixed)
    assert (shown.draw(kind) == around).all(), "no cursor, no glass"
    for center in ((160, 120), (100, 140)):
        assert shown.compared.move_glass(center)
        drawn = shown.view.render().astype(int)
        rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
        distance = np.hypot(columns - center[0], (SIZE[1] - 1 - rows) - center[1])
        assert (drawn == inside)[distance < GLASS_RADIUS_PIXELS - 3].all()
        assert (drawn == around)[distance > GLASS_RADIUS_PIXELS + 3].all()
        assert (around != inside)[distance < GLASS_RADIUS_PIXELS - 3].any()
    assert not shown.compared.move_glass(center), "it has not moved"


def test_the_spy_glass_stays_round_when_the_view_changes_its_size(shown) -> None:
    shown.compared.move_glass((160, 120))
    first = shown.draw(Comparison.GLASS)
    for width, height in ((500, 400), SIZE):
        shown.view.logic.ResizeSliceNode(width, height)
        shown.view.renderer.GetRenderWindow().SetSize(width, height)
        drawn = shown.view.render().astype(int)
        assert drawn.shape[:2] == (height, width)
        assert (drawn[..., 0] - drawn[..., 2] > 100).sum() > 300, "the ring"
    assert (drawn == first).all()


def test_a_comparison_follows_the_slices_and_leaves_no_trace(shown, scene) -> None:
    nodes = scene.GetNumberOfNodes()
    own = shown.draw(Comparison.FADE)
    first = shown.draw(Comparison.COLORS)
    shown.view.node.SetSliceOffset(shown.view.node.GetSliceOffset() + 15)
    assert np.abs(shown.view.render().astype(int) - first).mean() > 1
    shown.view.node.SetSliceOffset(shown.view.node.GetSliceOffset() - 15)
    shown.compared.hide()
    assert (shown.view.render() == own).all()
    assert scene.GetNumberOfNodes() == nodes


def test_the_match_map_is_drawn_on_a_comparison_and_other_volumes_are_noticed(shown) -> None:
    without = shown.draw(Comparison.COLORS)
    assert shown.compared.is_current
    shown.display.show_match(True)
    assert not shown.compared.is_current
    drawn = shown.draw(Comparison.COLORS)
    red = (drawn[..., 0] > 120) & (drawn[..., 1] < 100)
    assert red.sum() > 50 + ((without[..., 0] > 120) & (without[..., 1] < 100)).sum()
    shown.display.show_fixed()
    assert not shown.compared.is_current
    shown.display.show_match(False)
    assert (shown.draw(Comparison.COLORS) == shown.fixed).all(), "one volume has no comparison"
