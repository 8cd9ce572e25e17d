"""The cost of a cold command can be measured; no time is asserted."""

from __future__ import annotations

from .conftest import RunBenchmark


def test_the_cost_of_help_is_measured(benchmark: RunBenchmark):
    import cold_start

    cost, stderr = cold_start.run(cold_start.LIBRARY, ["--help"], "-X", "importtime")
    assert cost.cpu_s > 0
    assert any(cold_start.IMPORT_LINE.match(line) for line in stderr.splitlines())
    costs = {"help": [cost, cold_start.Cost(2 * cost.cpu_s, cost.wall_s)]}
    text = cold_start.format_results(costs, {"reading": 1.0, "writing": 3.0})
    assert text.splitlines()[2].endswith("| 0.50 |")
    assert "| writing | 75 % |" in text
