"""The watch that the self-test measures the event loop with."""

from __future__ import annotations

import time

import pytest
import slicer


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_a_stop_is_measured_and_redrawing_told_apart(slicer_host):
    from LightRegistrationLib.panel.self_test.event_loop import EventLoopWatch

    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    view.forceRender()
    drawn = []

    def work_and_draw() -> None:
        busy(0.06)
        start = time.perf_counter()
        for _turn in range(5):
            view.forceRender()
        drawn.append(1000 * (time.perf_counter() - start))

    with EventLoopWatch() as watch:
        watch.run(work_and_draw, settle_ms=50)
    stop = watch.find_longest()
    assert stop.own_ms >= 57
    assert stop.total_ms >= stop.own_ms + stop.redraw_ms - 0.1
    assert stop.redraw_ms == pytest.approx(drawn[0], rel=0.5)
    assert 0 < stop.processor_ms <= stop.total_ms + 5
    assert 0 < stop.redraw_processor_ms < stop.processor_ms
    assert stop.own_processor_ms == pytest.approx(stop.processor_ms - stop.redraw_processor_ms)
    assert "redrawing" in str(stop)


def test_a_stop_is_named_by_what_came_to_be_shown(slicer_host):
    from LightRegistrationLib.panel.self_test.event_loop import EventLoopWatch, name_pictures

    shown = ["nothing"]

    def show(what: str) -> None:
        busy(0.03)
        shown[0] = what

    with EventLoopWatch(lambda: shown[0]) as watch:
        for what in ("preview 1", "preview 2", "registered"):
            watch.run(lambda w=what: show(w), settle_ms=20)
    stops = name_pictures(watch.find_longest_by_picture())
    assert list(stops) == ["first picture", "refined picture", "result"]
    assert all(stop.total_ms > 25 for stop in stops.values())
