"""Means, intervals, bars and tables of the comparison, on rows whose statistics are known."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from scipy import stats

from .conftest import RunBenchmark

Row = dict[str, Any]


@pytest.fixture
def report(benchmark: RunBenchmark) -> Any:
    """The module of the tables."""
    from compare import report

    return report


@pytest.fixture
def statistics(benchmark: RunBenchmark) -> Any:
    """The module of the numbers."""
    from compare import statistics

    return statistics


@pytest.fixture
def plots(benchmark: RunBenchmark) -> Any:
    """The module of the plot."""
    from compare import plot

    return plot


@pytest.fixture
def bars(benchmark: RunBenchmark) -> Any:
    """The module of the bars."""
    from compare import bars

    return bars


def row(group: str, method: str, pair: int, **measures: float) -> Row:
    values = {"dice": None, "hd95_mm": None, "tre_mm": None, "folding_percent": 0.0, "std_log_jacobian": 0.1}
    times = {"seconds": 1.0, "cpu_seconds": 1.0, "peak_mb": 100.0, "threads": 1, "model": ""}
    return {"set": group, "pair": f"pair{pair}", "method": method, **values, **times, **measures}


def brain(**dice: list[float]) -> list[Row]:
    """Rows of the brain set by method (underscores for dashes), one a pair."""
    return [
        row("brain", method.replace("_", "-"), n, dice=d, seconds=SECONDS[method], cpu_seconds=SECONDS[method])
        for method, values in dice.items()
        for n, d in enumerate(values)
    ]


SECONDS = {"affine": 0.3, "ours_none": 0.5, "ours_fast": 3.0, "ours_best": 10.0, "syn": 40.0, "syn_cc": 200.0}
REACHED = {
    "affine": [0.4, 0.5],
    "ours_none": [0.51, 0.67],
    "ours_fast": [0.55, 0.69],
    "ours_best": [0.60, 0.71],
    "syn": [0.50, 0.68],
    "syn_cc": [0.59, 0.70],
}


def test_the_interval_is_that_of_a_paired_t_test(statistics):
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(0.6, 0.02, 12), rng.normal(0.58, 0.02, 12)
    rows = [row("brain", "ours-fast", n, dice=d) for n, d in enumerate(ours)]
    # One pair more, which the peer has not: it must not count.
    rows += [row("brain", "syn", n, dice=d) for n, d in enumerate(theirs)] + [row("brain", "ours-fast", 12, dice=0.1)]
    found = statistics.difference(rows[::-1], "brain", "ours-fast", "syn", "dice")
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(ours - theirs), *expected))
    assert (found.pairs, found.better) == (12, int((ours > theirs).sum()))


@pytest.mark.parametrize(
    ("measure", "ours", "verdict"),
    [
        ("dice", [0.6, 0.61, 0.62], "ours"),
        ("dice", [0.4, 0.41, 0.42], "peer"),
        ("dice", [0.4, 0.5, 0.61], "open"),
        ("tre_mm", [0.4, 0.41, 0.42], "ours"),
        ("tre_mm", [0.6, 0.61, 0.62], "peer"),
        ("tre_mm", [0.3], "open"),
    ],
)
def test_less_distance_is_better_and_one_pair_tells_nothing(statistics, measure, ours, verdict):
    rows = [row("liver", "ours-best", n, **{measure: v}) for n, v in enumerate(ours)]
    rows += [row("liver", "syn", n, **{measure: 0.5 + 0.01 * n}) for n in range(len(ours))]
    assert statistics.difference(rows, "liver", "ours-best", "syn", measure).verdict == verdict
    assert statistics.difference(rows, "liver", "ours-best", "demons", measure) is None


def test_summaries_use_the_pairs_that_both_have(statistics):
    rows = brain(affine=[0.5, 0.5, 0.5], ours_none=[0.6, 0.4, 0.7], syn=[0.55, 0.56])
    rows[3]["seconds"] = 3.5
    rows += [{"set": "brain", "pair": "pair2", "method": "syn", "error": "no memory"}]
    found = statistics.summarize(rows, "brain")
    ours, syn = found["ours-none"], found["syn"]
    assert ours.mean["dice"] == pytest.approx(1.7 / 3)
    assert ours.mean["tre_mm"] is None
    assert ours.dice30 == pytest.approx(0.4 + 0.6 * 0.2)  # between the worst and the middle one of three
    assert ours.below_affine == ("pair1",)
    assert ours.wall_ratio == pytest.approx((3.5 + 0.5) / 80)
    assert ours.cpu_ratio == pytest.approx(1 / 80)
    assert (syn.pairs, syn.errors, syn.wall_ratio) == (2, ("no memory",), 1.0)


def failing_rows() -> list[Row]:
    """Three pairs that a peer registers well, with a mirrored map, and with a map that leads away."""
    rows = [row("hippocampus", "none", n, dice=0.4, tre_mm=None) for n in range(3)]
    rows += [row("hippocampus", "ours-fast", n, dice=d) for n, d in enumerate((0.7, 0.8, 0.75))]
    rows += [row("hippocampus", "syn", 0, dice=0.6), row("hippocampus", "syn", 1, dice=0.5, folding_percent=100.0)]
    return [*rows, row("hippocampus", "syn", 2, dice=0.0)]


def test_a_mirrored_map_and_structures_moved_apart_count_as_failed(statistics):
    found = statistics.summarize(failing_rows(), "hippocampus")
    syn = found["syn"]
    assert syn.failures == {
        "pair1": "the map is mirrored or collapsed: 100 % of the cells are folded",
        "pair2": "Dice 0.000, as loaded 0.400",
    }
    assert (syn.pairs, syn.mean["dice"], syn.median["dice"]) == (3, pytest.approx(1.1 / 3), 0.5)
    assert syn.mean_of_good["dice"] == 0.6
    assert not found["ours-fast"].failures
    assert found["ours-fast"].mean_of_good == found["ours-fast"].mean
    gain = statistics.difference(failing_rows(), "hippocampus", "ours-fast", "syn", "dice")
    assert (gain.pairs, gain.mean) == (1, pytest.approx(0.1))  # a failed run says nothing of the size of the gain


def test_our_own_failures_count_like_those_of_a_peer(statistics):
    rows = [row("liver", "none", n, tre_mm=6.0) for n in range(3)]
    rows += [row("liver", "ours-best", 0, tre_mm=12.1), row("liver", "ours-best", 1, tre_mm=11.9)]
    rows += [{"set": "liver", "pair": "pair2", "method": "ours-best", "error": "no memory"}]
    found = statistics.summarize(rows, "liver")["ours-best"]
    assert found.failures == {"pair0": "landmark error 12.1 mm, as loaded 6.0 mm", "pair2": "no memory"}
    assert found.errors == ("no memory",)
    assert found.pairs == 2


@pytest.mark.parametrize(("dice", "is_failed"), [(0.05, False), (0.011, False), (0.009, True)])
def test_a_low_dice_is_a_failure_if_it_was_twice_as_high_before(statistics, dice, is_failed):
    rows = [row("brain", "none", 0, dice=0.02), row("brain", "syn", 0, dice=dice)]
    assert bool(statistics.summarize(rows, "brain")["syn"].failures) == is_failed


def test_times_of_two_processors_are_not_compared(statistics, bars, report):
    rows = brain(**REACHED)
    for r in rows:
        r["processor"] = "one" if r["method"].startswith("ours") else "another"
    assert statistics.summarize(rows, "brain")["ours-none"].cpu_ratio is None
    assert statistics.summarize(rows, "brain")["syn-cc"].cpu_ratio == 5
    found = results(bars, report, rows)
    assert {wanted for (_, wanted), reached in found.items() if reached is None} == {
        "wall time ≤ 1/40 of SyN",
        "wall time ≤ 1/8 of SyN",
        "CPU time ≤ 1/15 of SyN-CC",
    }


def test_landmarks_farther_than_the_affine_stage_count_as_below_it(statistics):
    rows = [row("liver", "affine", n, tre_mm=5.0) for n in range(2)]
    rows += [row("liver", "demons", n, tre_mm=t) for n, t in enumerate((4.0, 6.0))]
    assert statistics.summarize(rows, "liver")["demons"].below_affine == ("pair1",)
    assert statistics.summarize(rows[2:], "liver")["demons"].below_affine is None


def results(module: Any, report: Any, rows: list[Row]) -> dict[tuple[str, str], bool | None]:
    return {(bar.method, bar.wanted): bar.reached for bar in module.bars(report.summaries(rows))}


def test_the_bars_of_the_brain(bars, report):
    found = results(bars, report, brain(**REACHED))
    assert len(found) == 12
    assert set(found.values()) == {True}
    slow_and_low = {**REACHED, "ours_none": [0.39, 0.6], "ours_fast": [0.5, 0.69], "ours_best": [0.55, 0.71]}
    rows = brain(**slow_and_low)
    for r in rows:
        if r["method"].startswith("ours"):
            r.update(seconds=r["seconds"] * 4, cpu_seconds=r["cpu_seconds"] * 4, folding_percent=1e-5)
    found = results(bars, report, rows)
    worse = [key for key, reached in found.items() if reached]
    assert worse == [("ours-fast", "no pair worse than affine"), ("ours-best", "no pair worse than affine")]


def test_a_bar_that_was_not_measured_is_open(bars, report):
    found = results(bars, report, brain(**{**REACHED, "ours_fast": [0.55], "syn_cc": []}))
    assert found["ours-fast", "Dice ≥ SyN + 0.02"] is None  # not on the same pairs
    assert found["ours-best", "Dice ≥ SyN-CC"] is None
    assert found["ours-none", "Dice ≥ SyN − 0.01"] is True
    assert not any("TRE" in wanted for _, wanted in found)


def test_the_bars_of_landmarks_and_of_ct(bars, report):
    rows = [row("lung", "ours-fast", n, tre_mm=t) for n, t in enumerate((2.0, 2.9))]
    rows += [row("lung", "ours-best", n, tre_mm=t) for n, t in enumerate((1.7, 2.0))]
    rows += [row("liver", m, 0, tre_mm=t) for m, t in (("none", 12.0), ("ours-fast", 3.1), ("ours-best", 3.0))]
    dice = {"elastix": 0.5, "syn": 0.6, "syn-cc": 0.62, "ours-fast": 0.61, "ours-best": 0.63}
    rows += [row("abdomen", m, 0, dice=d) for m, d in dice.items()]
    found = results(bars, report, rows)
    assert found["ours-fast", "TRE ≤ 2.5 mm"] is True
    assert found["ours-best", "TRE ≤ 1.8 mm"] is False
    assert found["ours-fast", "TRE ≤ 1/4 of the start"] is False
    assert found["ours-best", "TRE ≤ 1/4 of the start"] is True
    assert found["ours-fast", "Dice ≥ SyN, default"] is True
    assert found["ours-fast", "Dice ≥ SyN-CC"] is False
    assert found["ours-best", "Dice ≥ SyN-CC"] is True


def test_the_report_shows_every_number_and_names_every_setting(report):
    rows = brain(**REACHED) + [row("liver", "none", 0, tre_mm=12.0), row("liver", "ours-best", 0, tre_mm=3.0)]
    rows += [{"set": "liver", "pair": "pair0", "method": "elastix", "error": "too many samples map outside"}]
    text = report.report(rows)
    cells = [[c.strip() for c in line.strip("| ").split("|")] for line in text.splitlines() if line.startswith("|")]
    head = next(line for line in cells if line[:2] == ["method", "pairs"])
    ours = dict(zip(head, next(c for c in cells if c[0] == "ours, no refinement" and len(c) == len(head)), strict=True))
    shown = {"pairs": "2", "failed": "0", "Dice": "0.590", "Dice median": "0.590", "Dice30": "0.558"}
    assert shown.items() <= ours.items()
    assert (ours["CPU : SyN"], ours["below affine"]) == ("1/80", "0")
    assert "reg_iterations=(100, 70, 50, 0)" in text
    assert "antspyx 0.6.3" in text
    assert "elastix B-spline, pair0: too many samples map outside" in text
    elastix = next(line for line in cells if line[0] == "elastix B-spline" and line[1:3] == ["0", "1"])
    assert not any(elastix[3:])
    values = report.values(rows)
    assert values["sets"]["brain"]["ours-none"]["mean"]["dice"] == pytest.approx(0.59)
    elastix = values["sets"]["liver"]["elastix"]
    assert (elastix["title"], elastix["failed"]) == ("elastix B-spline", ["pair0"])
    assert values["sets"]["brain"]["syn"]["median"]["dice"] == pytest.approx(0.59)
    assert sum(bar["reached"] is True for bar in values["bars"]) == 13  # twelve of the brain, and the liver's quarter
    table = list(csv.DictReader(io.StringIO(report.rows_csv(rows))))
    assert len(table) == len(rows)
    assert table[-1]["error"] == "too many samples map outside"
    assert table[0]["dice"] == "0.4"


def test_the_overview_shows_the_mean_with_and_without_failures(report):
    rows = [*failing_rows(), row("hippocampus", "greedy", 0, dice=0.65)]
    lines = report.overview_table(report.summaries(rows)).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in lines}
    assert cells["ANTs SyN, default"] == "0.367 (0.600 without 2 failed)"
    assert cells["Greedy"] == "0.650 (1 of 3 pairs)"
    assert cells["ours, refine fast"] == "0.750"


def test_peers_are_sorted_by_what_the_interval_says(report):
    rows = brain(ours_fast=[0.60, 0.61, 0.62], syn=[0.50, 0.51, 0.53], syn_cc=[0.70, 0.71, 0.73])
    rows += [row("brain", "greedy", n, dice=d) for n, d in enumerate((0.5, 0.61, 0.7))]
    lines = report.standing_table(report.differences(rows)).splitlines()
    cells = [[c.strip() for c in line.strip("| ").split("|")] for line in lines]
    assert cells[-1][1:] == ["ours, refine fast", "ANTs SyN, default", "Greedy", "ANTs SyN-CC"]


def test_the_sentences_follow_from_the_rows(report):
    rows = brain(affine=[0.55, 0.61, 0.62], ours_fast=[0.60, 0.61, 0.62], syn=[0.50, 0.51, 0.53])
    rows += [row("brain", "greedy", n, dice=d) for n, d in enumerate((0.5, 0.61, 0.7))] + failing_rows()
    rows += [row("liver", "ours-fast", n, tre_mm=3.0 + n) for n in range(3)]
    rows += [row("liver", "greedy", n, tre_mm=2.0 + n) for n in range(3)]
    rows += [row("liver", "syn", n, tre_mm=2.0 + n) for n in range(2)]
    found = report.sentences(report.summaries(rows), report.differences(rows)).splitlines()
    assert found == [
        "- Ours, refine fast: no peer is better on brain T1, ring of 15 and hippocampus crops, T1; worse on liver MRI, "
        "breathing than ANTs SyN, default (2 pairs) and Greedy.",
        "- Failed runs: 0 of 9 runs of ours and 2 of 8 of ANTs SyN, default.",
        "- Runs that end below our affine stage: 0 of 3 runs of ours, 3 of 3 of ANTs SyN, default and 1 of 3 "
        "of Greedy.",
    ]
    better = [r for r in rows if r["set"] == "brain" and r["method"] != "greedy"]
    text = report.sentences(report.summaries(better), report.differences(better))
    assert "- Ours, refine fast: better than every peer on brain T1, ring of 15.\n" in text


def test_the_front_holds_what_no_other_method_beats_in_both(plots):
    times = {"a": (1.0, 0.5), "slower and worse": (2.0, 0.4), "b": (3.0, 0.7), "as good, slower": (4.0, 0.7)}
    assert plots.pareto_front(times, "dice") == [(1.0, 0.5), (3.0, 0.7)]
    assert plots.pareto_front(times, "tre_mm") == [(1.0, 0.5), (2.0, 0.4)]


def test_the_plot_has_a_panel_a_set_and_a_point_a_method(plots):
    rows = brain(**REACHED) + [row("liver", m, 0, tre_mm=t) for m, t in (("none", 12.0), ("affine", 5.0))]
    first, second = plots.plot(rows).axes
    assert len(first.get_lines()) == len(REACHED) + 1  # and the front
    assert len(second.get_lines()) == 2  # what takes no time has no place on an axis of seconds
    assert second.yaxis_inverted()
    assert not first.yaxis_inverted()


def test_a_set_belongs_on_the_card_of_the_model_that_registered_most_of_it(benchmark):
    from compare.cards import card_results

    rows = [
        row("lung", method, n, tre_mm=tre + n, model=model)
        for method, tre, model in (("none", 8.0, ""), ("affine", 5.0, "lung-ct"), ("ours-none", 2.0, "lung-ct"))
        for n in range(2)
    ]
    mixed = [row("liver", "ours-none", n, tre_mm=3.0, model=("general", "lung-ct")[n]) for n in range(2)]
    abdomen = [
        row("abdomen", "ours-none", n, dice=n / 10, model="lung-ct" if n == 2 else "abdomen-ct") for n in range(3)
    ]
    found = card_results(rows + mixed + abdomen)
    assert list(found) == ["abdomen-ct", "lung-ct"]
    (result,) = found["abdomen-ct"].values()
    assert (result["pairs"], result["means"]["model"]["dice"]) == (2, 0.05)
    ((title, result),) = found["lung-ct"].items()
    assert title.startswith("lung CT")
    assert result["pairs"] == 2
    assert {name: means["tre_mm"] for name, means in result["means"].items()} == {
        "before": 8.5,
        "affine": 5.5,
        "model": 2.5,
    }
    assert "dice" not in result["means"]["model"]
