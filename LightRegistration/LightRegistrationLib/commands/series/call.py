"""The `series` command as a Python call: a 4-D series goes in, one folder with the result comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.models.cards import find_card, list_cards
from ...core.result.settings import AUTO_MODEL, InitialAlignment, RefinementPreset, RegistrationSettings, parse_choice
from ...core.thread_count import check_threads
from ..files.output_folder import check_output, staging_folder
from ..terminal.progress_bar import ShowProgress, ignore_progress
from .request import DEFAULT_ROUNDS, SERIES_ENTRIES, SeriesRequest, check_series_request


def register_series(
    series: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    frame: int | None = None,
    rounds: int = DEFAULT_ROUNDS,
    points: str | Path | None = None,
    is_lps: bool = False,
    model: str = AUTO_MODEL,
    cascades: int | None = None,
    initial: str = InitialAlignment.NONE,
    refine: str = RefinementPreset.FAST,
    threads: int | None = None,
    compress: bool = True,
    force: bool = False,
    progress: ShowProgress = ignore_progress,
) -> dict[str, Any]:
    """Register every frame of a series to one of them, or to their mean, and write the result into `output`.

    Does the same as `light-registration series`; its help describes the arguments and the files. series: one 4-D file,
    or a file for each frame. frame: the number of the frame, from 0; None for the mean. Returns the content of
    series.json. Not to be called inside a running Slicer, whose scene is the user's. Raises InputError, with one line
    for the user, for every problem with the input.
    """
    inputs = [series] if isinstance(series, str | Path) else series
    check_threads(threads)
    find_card(model, list_cards())
    alignment = parse_choice(InitialAlignment, initial, "initial alignment")
    preset = parse_choice(RefinementPreset, refine, "refinement")
    request = SeriesRequest(
        tuple(Path(path) for path in inputs),
        Path(output),
        frame,
        RegistrationSettings(model, cascades, alignment, threads, preset),
        rounds=rounds,
        points=None if points is None else Path(points),
        is_lps=is_lps,
        compress=compress,
    )
    check_series_request(request)
    check_output(request.output, request.files, force, SERIES_ENTRIES)
    # Importing Slicer takes a second and torch several: all checks that need neither come before.
    from ...scene.headless.application import headless_application
    from .run import register_series_into

    with staging_folder(request.output, SERIES_ENTRIES) as folder:
        return register_series_into(headless_application().scene, request, folder, progress)
