"""The times that a user notices can be measured; no time is asserted."""

from __future__ import annotations

from .conftest import RunBenchmark


def test_times_are_measured(benchmark: RunBenchmark):
    import timings

    assert timings.time_image_statistics((60, 70, 80)) > 0
    assert timings.time_missing_file() > 0
