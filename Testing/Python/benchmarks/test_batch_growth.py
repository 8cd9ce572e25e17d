"""What the table of `batch_growth.py` concludes from its measurements."""

from __future__ import annotations

from .conftest import RunBenchmark


def test_growth_of_memory_and_the_last_choice_that_gains_are_found(benchmark: RunBenchmark):
    import batch_growth

    flat = [400.0, 700, *[900.0] * 18]
    assert batch_growth.compute_growth_mib(flat) == 0
    assert batch_growth.compute_growth_mib([900.0 + 5 * n for n in range(20)]) == 80
    speeds = {(1, 1): 20.0, (2, 1): 38.0, (1, 2): 21.0, (4, 1): 40.0}
    rows = [batch_growth.Growth(w, t, 8, 1.0, speed, 1.5, 900.0, 4.0) for (w, t), speed in speeds.items()]
    assert batch_growth.find_end(rows).startswith("Most that is worth it: 2 x 1 (processes x threads), 38.0 pairs")
    planning = batch_growth.Planning(100, 0.002, 0.001, 0.01, 20)
    text = batch_growth.format_report("Heads", rows, flat, planning)
    assert "| 4 | 1 | 8 | 40.0 | 1.50 | 900 | 4.0 |" in text
    assert "growth from the second to the last tenth 0.0 MiB" in text
    assert "preparing 2.00, again 1.00, client and scheduler 10.00" in text
