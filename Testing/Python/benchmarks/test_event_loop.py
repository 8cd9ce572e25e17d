"""The stops of the event loop can be measured; no time is asserted."""

from __future__ import annotations

import pytest

from slicer_host.pytest_plugin import slicer_host, slicer_host_process

from .. import quick_model
from .conftest import RunBenchmark

__all__ = ["slicer_host", "slicer_host_process"]


@pytest.fixture
def measure(benchmark: RunBenchmark, slicer_host, monkeypatch):
    """Measures cases on tiny volumes with a few structures."""
    import event_loop

    monkeypatch.setattr(event_loop, "SETTLE_MS", 30)
    panel = slicer_host.create_widget("LightRegistration")
    size = (24, 5, "none", quick_model.NAME)
    yield lambda *names: event_loop.measure(names, 1, lambda: event_loop.make_bench(slicer_host, panel, *size))
    panel.logic.close()


def test_each_switch_is_measured(measure):
    import event_loop

    rows = measure("switch")
    assert {f"switch: {name}" for name in event_loop.SWITCHES} <= set(rows)
    assert all(processor >= 0 for _, processor in rows.values())
    assert max(wall for wall, _ in rows.values()) > 0
    table = event_loop.format_table({"long": (30.0, 20.0), "longer": (40.0, 25.0), "short": (1.0, 1.0)})
    assert table.splitlines()[2:] == [f"| {'longer':<52} | 40 | 25 |", f"| {'long':<52} | 30 | 20 |"]


def test_registering_a_series_and_canceling_are_measured(measure):
    rows = measure("register", "series", "cancel")
    assert {"register: first picture", "register: result", "series: the end", "cancel"} <= set(rows)
