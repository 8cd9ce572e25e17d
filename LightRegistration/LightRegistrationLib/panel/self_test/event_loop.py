"""How long Qt's event loop stands still, during which windows do not respond; Slicer's redrawing is told apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

_INTERVAL_MS = 2


@dataclass(frozen=True)
class Stop:
    """A time in which the event loop handled no timer.

    before, after: what was shown when it began and ended. total_ms: how long. redraw_ms: of that, drawing of views.
    processor_ms: processor time of the thread; less than total_ms where it waited, as on a busy machine.
    redraw_processor_ms: of that, drawing of views.
    """

    before: str
    after: str
    total_ms: float
    redraw_ms: float
    processor_ms: float
    redraw_processor_ms: float = 0.0

    @property
    def own_ms(self) -> float:
        """What is not redrawing: this module, and what Slicer does at once when a node changes."""
        return max(self.total_ms - self.redraw_ms, 0.0)

    @property
    def own_processor_ms(self) -> float:
        """Processor time of what is not redrawing: on a busy machine, this is what can be compared."""
        return max(self.processor_ms - self.redraw_processor_ms, 0.0)

    def __str__(self) -> str:
        """One line for the log."""
        return (
            f"stopped for {self.total_ms:.0f} ms, of these {self.redraw_ms:.0f} ms redrawing; "
            f"{self.processor_ms:.0f} ms of processor time, of these {self.redraw_processor_ms:.0f} ms redrawing"
        )


class EventLoopWatch(VTKObservationMixin):
    """Measures stops with a timer while it is used in a `with` statement and the event loop runs.

    describe: called at each tick; returns what is shown.
    """

    def __init__(self, describe: Callable[[], str] = lambda: "") -> None:
        VTKObservationMixin.__init__(self)
        self._describe = describe
        self._timer = qt.QTimer()
        self._timer.setInterval(_INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)
        self._last = self._last_processor = self._redraw_s = self._redraw_processor_s = 0.0
        self._drawing: dict[Any, tuple[float, float]] = {}
        self._shown = ""
        self.stops: list[Stop] = []

    def __enter__(self) -> EventLoopWatch:
        """Begin to measure."""
        for window in _list_render_windows():
            self.addObserver(window, vtk.vtkCommand.StartEvent, self._on_drawing)
            self.addObserver(window, vtk.vtkCommand.EndEvent, self._on_drawn)
        self._begin(time.perf_counter(), time.thread_time(), self._describe())
        self._timer.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """End with the stop that has not ended yet."""
        self._tick()
        self._timer.stop()
        self.removeObservers()

    def run(self, action: Callable[[], None], settle_ms: int = 300) -> None:
        """Run the event loop, do something in it, and return a while later, when views are drawn."""
        loop, timers = qt.QEventLoop(), []
        for delay_ms, slot in ((20, action), (20 + settle_ms, loop.quit)):
            timer = qt.QTimer()
            timer.setSingleShot(True)
            timer.connect("timeout()", slot)
            timer.start(delay_ms)
            timers.append(timer)
        loop.exec_()

    def find_longest(self, stops: list[Stop] | None = None) -> Stop:
        """Return the stop that is longest without redrawing; one without length if there is none."""
        found = self.stops if stops is None else stops
        return max(found, key=lambda stop: stop.own_ms, default=Stop("", "", 0.0, 0.0, 0.0))

    def find_longest_by_picture(self) -> dict[str, Stop]:
        """Return for each thing that came to be shown the longest stop at whose end it was there."""
        changes = [stop for stop in self.stops if stop.after != stop.before]
        names = dict.fromkeys(stop.after for stop in changes)
        return {name: self.find_longest([stop for stop in changes if stop.after == name]) for name in names}

    def _tick(self) -> None:
        now, processor, shown = time.perf_counter(), time.thread_time(), self._describe()
        total_ms = 1000 * (now - self._last) - _INTERVAL_MS
        if total_ms > _INTERVAL_MS or shown != self._shown:
            processor_ms = 1000 * (processor - self._last_processor)
            redraw_ms, redraw_processor_ms = 1000 * self._redraw_s, 1000 * self._redraw_processor_s
            stop = Stop(self._shown, shown, max(total_ms, 0.0), redraw_ms, processor_ms, redraw_processor_ms)
            self.stops.append(stop)
        self._begin(now, processor, shown)

    def _begin(self, now: float, processor: float, shown: str) -> None:
        self._last, self._last_processor, self._shown = now, processor, shown
        self._redraw_s = self._redraw_processor_s = 0.0

    def _on_drawing(self, window: Any, _event: Any) -> None:
        self._drawing[window] = time.perf_counter(), time.thread_time()

    def _on_drawn(self, window: Any, _event: Any) -> None:
        start, processor = self._drawing.pop(window, (None, 0.0))
        if start is not None:
            # From the latest tick on: a window that is drawn may have begun before it.
            self._redraw_s += time.perf_counter() - max(start, self._last)
            self._redraw_processor_s += time.thread_time() - max(processor, self._last_processor)


def describe_picture() -> str:
    """Say which picture the first slice view shows: what was there before, a preview, or a result."""
    composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    identifier = None if composite is None else composite.GetForegroundVolumeID()
    node = None if identifier is None else slicer.mrmlScene.GetNodeByID(identifier)
    if node is None:
        return "no moving volume"
    parent = node.GetParentTransformNode()
    if node.GetHideFromEditors() and parent is not None:
        return f"preview {parent.GetTransformToWorldMTime()}"
    return str(node.GetName())


def name_pictures(stops: dict[str, Stop]) -> dict[str, Stop]:
    """Name what `describe_picture` said during a registration: first picture, refined picture, result."""
    names = iter(("first picture", "refined picture"))
    return {next(names, "picture") if shown.startswith("preview") else "result": stop for shown, stop in stops.items()}


def report_stops(stops: dict[str, Stop]) -> None:
    """Print one line for each measured stop."""
    for name, stop in stops.items():
        print(f"LightRegistration event loop: {name}: {stop}")  # noqa: T201 - beside the names of the scenarios


def _list_render_windows() -> list[Any]:
    manager = slicer.app.layoutManager()
    slices = [manager.sliceWidget(name).sliceView() for name in manager.sliceViewNames()]
    spaces = [manager.threeDWidget(number).threeDView() for number in range(manager.threeDViewCount)]
    return [view.renderWindow() for view in (*slices, *spaces)]
