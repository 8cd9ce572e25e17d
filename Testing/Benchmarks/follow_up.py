"""Measure what a registration does to lesions that change between two scans of one person, with and without follow-up.

    LIGHTREG_DATA=<data> .venv/bin/python Testing/Benchmarks/follow_up.py --output Testing/Benchmarks/results

Lesions of 0.1 to 20 ml, irregular, bright or dark (by 35 % of bright tissue), are made up in real scans. Known: brain
T1 scans and a copy of each, moved (3°, up to 4 mm), deformed (up to 2 mm), with noise (3 %) and changed sensitivity
(up to 8 %); lesions are new, gone, growing (from a quarter of their volume) or shrinking (to it). Visits: the
two visits of `brain_followup`, T1 and FLAIR; lesions are new or gone. Measured: the volume of each lesion after the
deformation, relative to the true one; whether the list of changes has a place in it; other places in the list; for the
known deformation, the mean error in tissue. One person: strain and mean local correlation of the initial alignment, by
which two scans are taken as of one person, of these pairs and of pairs of two people. Written: follow_up.md, .json and
.png.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from common import benchmark_parser, brain_ring, new_figure, parse, write_report
from follow_up_lesions import (
    Course,
    Lesion,
    LesionPair,
    find_fixed_center,
    make_known_pair,
    measure_volume_ratio,
    paint_visits,
)

from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.registration import measure_person_match, register
from LightRegistrationLib.core.result.result import ChangedPlace, ChangeKind, RegistrationResult
from LightRegistrationLib.core.result.settings import RefinementPreset, RegistrationSettings
from LightRegistrationLib.core.result_warnings import WARNINGS
from LightRegistrationLib.training.evaluation.files import read_volume
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair, read_pairs
from LightRegistrationLib.training.evaluation.tables import format_markdown_table

NAME = "follow_up"
SIZES_ML = (0.1, 0.3, 1.0, 3.0, 10.0, 20.0)
"""Of the lesions of each pair."""
METHODS = ("off", "follow-up")
UNMATCHED = (ChangeKind.BRIGHTER, ChangeKind.DARKER)
MAX_DISTANCE_MM = 3.0
"""A place in the list finds a lesion if it lies in it or so near to it."""
TOLERANCE = 0.05
OTHER_PEOPLE = ("brain_t1", "hippocampus_t1", "headneck_ct")
Row = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A pair to be made: its set, its name, and a function that makes it."""

    group: str
    name: str
    make: Callable[[], LesionPair]


def list_sources(data: Path, known: int, visits: int) -> Iterator[Source]:
    """List the pairs: so many with a known deformation, and so many for each contrast of the visits."""
    scans = [pair.fixed for pair in brain_ring(data)]
    for number in range(known):
        path = scans[number % len(scans)]
        yield Source("known", f"{path.name} {number}", partial(_make_known, path, number))
    for pair in list_visits(data):
        for number in range(visits):
            yield Source("visits", f"{pair.name} {number}", partial(_paint, pair, number))


def _make_known(path: Path, number: int) -> LesionPair:
    return make_known_pair(read_volume(path), SIZES_ML, number)


def _paint(pair: EvaluationPair, number: int) -> LesionPair:
    return paint_visits(read_volume(pair.fixed), read_volume(pair.moving), SIZES_ML, number)


def list_visits(data: Path) -> list[EvaluationPair]:
    """Read the pairs of two visits in one contrast."""
    pairs = read_pairs(data / "manifest.json", ["brain_followup"])
    return [pair for pair in pairs if pair.fixed.stem.split("_study")[0] == pair.moving.stem.split("_study")[0]]


def measure_pair(source: Source, refine: RefinementPreset) -> Iterator[Row]:
    """Register a pair by each method and measure its lesions."""
    pair = source.make()
    for method in METHODS:
        settings = RegistrationSettings(refine=refine, follow_up=method == "follow-up")
        result = register(pair.fixed, pair.moving, settings)
        places = [place for place in result.changes or () if place.kind in UNMATCHED]
        finders = [find_places(lesion, result, places) for lesion in pair.lesions]
        shared = {
            "group": source.group,
            "pair": source.name,
            "method": method,
            "error_mm": measure_error_mm(pair, result),
            "others": len(places) - len(set().union(*finders)),
        }
        for lesion, found in zip(pair.lesions, finders, strict=True):
            yield {
                **shared,
                "ml": lesion.ml,
                "course": str(lesion.course),
                "is_bright": lesion.is_bright,
                "ratio": measure_volume_ratio(lesion, result.field, pair.moved_mm),
                "found": bool(found),
            }


def find_places(lesion: Lesion, result: RegistrationResult, places: Sequence[ChangedPlace]) -> set[int]:
    """Find the places of the list that lie in a lesion or near it."""
    center = find_fixed_center(lesion, result.field)
    distances = [np.linalg.norm(np.array(place.position_mm) - center) for place in places]
    return {n for n, distance in enumerate(distances) if distance <= 1.3 * lesion.radius_mm + MAX_DISTANCE_MM}


def measure_error_mm(pair: LesionPair, result: RegistrationResult) -> float | None:
    """Measure the mean distance to the true position in tissue, mm; None if the truth is not known."""
    if pair.moved_mm is None:
        return None
    every = (slice(None, None, 5),) * 3
    is_tissue = pair.moving.array[every] > pair.moving.array.mean()
    points = pair.moving.geometry.points_mm[every][is_tissue]
    return float(np.linalg.norm(result.field(pair.moved_mm[every][is_tissue]) - points, axis=-1).mean())


def measure_matches(data: Path, people: int) -> Iterator[Row]:
    """Measure the match of pairs of one person and of two people, after the initial alignment alone."""
    for pair in list_visits(data)[:people]:
        yield _describe_match("one person, two visits", pair.name, read_volume(pair.fixed), read_volume(pair.moving))
    for number, ring in enumerate(brain_ring(data, people)):
        known = make_known_pair(read_volume(ring.fixed), SIZES_ML, number)
        yield _describe_match("one person, known deformation, lesions", ring.name, known.fixed, known.moving)
    for group in OTHER_PEOPLE:
        pairs = brain_ring(data) if group == "brain_t1" else read_pairs(data / "manifest.json", [group])
        for pair in pairs[:people]:
            yield _describe_match(f"two people, {group}", pair.name, read_volume(pair.fixed), read_volume(pair.moving))


def _describe_match(group: str, name: str, fixed: Volume, moving: Volume) -> Row:
    match = measure_person_match(fixed, moving)
    return {
        "group": group,
        "pair": name,
        "strain": match.strain,
        "correlation": match.correlation,
        "is_one_person": match.is_one_person,
    }


def summarize(rows: Sequence[Row]) -> str:
    """Write for each set, size and method: the volume ratio and how many lesions were found."""
    lines = []
    for group in dict.fromkeys(r["group"] for r in rows):
        own = [r for r in rows if r["group"] == group]
        sizes = sorted({r["ml"] for r in own})
        for ml in (*sizes, None):
            chosen = [r for r in own if ml is None or r["ml"] == ml]
            lines.append([group, "all" if ml is None else f"{ml:g}", *_make_cells(chosen)])
    titles = [f"{title}, {name}" for name in METHODS for title in ("volume ratio", "within 5 %")]
    return format_markdown_table(["pairs", "ml", "n", *titles, "found"], lines)


def _make_cells(rows: Sequence[Row]) -> list[str]:
    cells = [str(len(rows) // len(METHODS))]
    for method in METHODS:
        ratios = np.array([r["ratio"] for r in rows if r["method"] == method])
        within = np.abs(ratios - 1) <= TOLERANCE
        cells += [f"{np.median(ratios):.3f} ({ratios.min():.2f} to {ratios.max():.2f})", f"{100 * within.mean():.0f} %"]
    found = [r["found"] for r in rows if r["method"] == "follow-up"]
    return [*cells, f"{100 * np.mean(found):.0f} %"]


def summarize_courses(rows: Sequence[Row]) -> str:
    """Write the same by course and brightness, for the known deformations."""
    lines = []
    for course in Course:
        for is_bright in (True, False):
            chosen = [r for r in rows if (r["group"], r["course"], r["is_bright"]) == ("known", course, is_bright)]
            if chosen:
                lines.append([course, "bright" if is_bright else "dark", *_make_cells(chosen)])
    titles = [f"{title}, {name}" for name in METHODS for title in ("volume ratio", "within 5 %")]
    return format_markdown_table(["course", "lesion", "n", *titles, "found"], lines)


def summarize_pairs(rows: Sequence[Row]) -> str:
    """Write for each set and method: places in the list that are no lesion, and the error."""
    lines = []
    for group in dict.fromkeys(r["group"] for r in rows):
        for method in METHODS:
            pairs = {r["pair"]: r for r in rows if (r["group"], r["method"]) == (group, method)}.values()
            errors = [r["error_mm"] for r in pairs if r["error_mm"] is not None]
            error = f"{np.mean(errors):.2f}" if errors else "-"
            others = f"{np.mean([r['others'] for r in pairs]):.1f}" if method == "follow-up" else "-"
            lines.append([group, method, str(len(pairs)), others, error])
    return format_markdown_table(["pairs", "method", "n", "other places", "mean error, mm"], lines)


def summarize_matches(rows: Sequence[Row]) -> str:
    """Write the ranges of strain and correlation for each kind of pair, and how many are taken as one person."""
    lines = []
    for group in dict.fromkeys(r["group"] for r in rows):
        own = [r for r in rows if r["group"] == group]
        strains, correlations = ([r[key] for r in own] for key in ("strain", "correlation"))
        ranges = (f"{min(values):.3f} to {max(values):.3f}" for values in (strains, correlations))
        lines.append([group, str(len(own)), *ranges, str(sum(r["is_one_person"] for r in own))])
    return format_markdown_table(["pairs", "n", "strain", "local correlation", "taken as one person"], lines)


def format_report(rows: Sequence[Row], matches: Sequence[Row], refine: str) -> str:
    """Write the tables of what was measured."""
    parts = []
    if rows:
        parts += [
            "Volume of made-up lesions after registration, relative to the true volume: median (range); share within "
            f"5 %; found: share that the list of changes has. Refinement: {refine}.",
            summarize(rows),
            "By course, known deformations:",
            summarize_courses(rows),
            "Other places: places without a counterpart in the list that are no lesion, per pair; on the visits they "
            "may be real changes.",
            summarize_pairs(rows),
        ]
    if matches:
        parts += [
            f"Initial alignment; with a strain of at most {WARNINGS.max_person_strain} and a local correlation of at "
            f"least {WARNINGS.min_person_correlation}, two scans are taken as of one person.",
            summarize_matches(matches),
        ]
    return "\n\n".join(parts)


def plot(rows: Sequence[Row]) -> Any:
    """Plot the volume ratio of each lesion over its size, by method."""
    figure, (axes_row,) = new_figure(2, width=11)
    for axes, group in zip(axes_row, ("known", "visits"), strict=True):
        for shift, method in zip((0.95, 1.05), METHODS, strict=True):
            own = [r for r in rows if (r["group"], r["method"]) == (group, method)]
            axes.plot([shift * r["ml"] for r in own], [r["ratio"] for r in own], ".", label=method)
        axes.axhspan(1 - TOLERANCE, 1 + TOLERANCE, alpha=0.15, color="gray")
        axes.set(title=group, xlabel="lesion, ml", ylabel="volume after registration / true volume", xscale="log")
        axes.grid(alpha=0.3)
    axes_row[-1].legend(fontsize=8)
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs") / NAME)
    parser.add_argument("--known", type=int, default=8, help="pairs with a known deformation (default: 8)")
    parser.add_argument("--visits", type=int, default=2, help="made of each contrast of the visits (default: 2)")
    parser.add_argument("--refine", choices=list(RefinementPreset), default=RefinementPreset.NONE)
    parser.add_argument("--skip", type=int, default=0, help="leave out so many pairs at first, to measure in parts")
    parser.add_argument("--people", type=int, default=8, help="pairs of each kind for the match (default: 8)")
    arguments = parse(parser)
    rows: list[Row] = []
    sources = list_sources(arguments.data, arguments.known, arguments.visits)
    for source in islice(sources, arguments.skip, None):
        for row in measure_pair(source, RefinementPreset(arguments.refine)):
            rows.append(row)
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    matches = []
    for row in measure_matches(arguments.data, arguments.people):
        matches.append(row)
        print(row, flush=True)
    text = format_report(rows, matches, arguments.refine)
    write_report(arguments.output, NAME, text, {"lesions": rows, "matches": matches}, plot(rows))
    print(text)


if __name__ == "__main__":
    main()
