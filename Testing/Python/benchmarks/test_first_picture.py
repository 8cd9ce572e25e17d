"""The first picture of the panel can be measured, part by part; no time is asserted."""

from __future__ import annotations

from LightRegistrationLib.commands.phantom.pair import make_phantom_pair
from slicer_host.pytest_plugin import slicer_host, slicer_host_process

from .. import quick_model
from .conftest import RunBenchmark

__all__ = ["slicer_host", "slicer_host_process"]


def test_the_parts_up_to_the_first_picture_and_the_result_are_measured(benchmark: RunBenchmark, slicer_host):
    import first_picture

    pair = make_phantom_pair(spacing_mm=8.0)
    volumes = (pair.fixed, pair.fixed_segmentation), (pair.moving, pair.moving_segmentation)
    panel = slicer_host.create_widget("LightRegistration")
    rows = first_picture.measure(slicer_host, panel, volumes, 1, "none", True, quick_model.NAME)
    assert len(rows) == 2, "the first one in a fresh worker"
    for row in rows:
        assert 0 < row["first picture"] < row["whole result"]
        assert row["publish the preview"] + row["first render"] < row["first picture"]
        assert row["copy to the worker"] > 0
        assert row["core: network"] > 0
    table = first_picture.table(rows)
    for name in ("core: network", "then: publish the result", "whole result"):
        assert f"| {name} " in table
