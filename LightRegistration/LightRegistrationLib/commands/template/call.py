"""The `template` command as a Python call: scans go in, one folder with their mean comes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...core.models.cards import find_card, list_cards
from ...core.result.settings import AUTO_MODEL, InitialAlignment, RefinementPreset, RegistrationSettings, parse_choice
from ...core.thread_count import check_threads
from ..terminal.progress_bar import ShowProgress, ignore_progress
from .request import DEFAULT_ITERATIONS, ScanFiles, TemplateRequest, list_group


def ignore_line(line: str) -> None:
    """Print nothing."""


def build_template(
    scans: ScanFiles,
    output: str | Path,
    *,
    iterations: int = DEFAULT_ITERATIONS,
    start: str | None = None,
    spacing_mm: float | None = None,
    probabilities: bool = False,
    model: str = AUTO_MODEL,
    cascades: int | None = None,
    initial: str = InitialAlignment.AFFINE,
    refine: str = RefinementPreset.FAST,
    workers: int | None = None,
    threads: int | None = None,
    memory_gb: float | None = None,
    compress: bool = True,
    force: bool = False,
    progress: ShowProgress = ignore_progress,
    print_line: Callable[[str], None] = ignore_line,
) -> dict[str, Any]:
    """Build the unbiased mean of a group of scans, and write it into the folder `output`.

    Does the same as `light-registration template`; its help describes the arguments and the files. scans: a CSV file,
    or images, or pairs of an image and its labels. A run that was stopped continues when it is called again. Returns
    the content of template.json. Not to be called inside a running Slicer, whose scene is the user's. With several
    processes, the calling script has to be guarded by `if __name__ == "__main__":`. Raises InputError, with one line
    for the user, for every problem with the input.
    """
    check_threads(threads)
    find_card(model, list_cards())
    alignment = parse_choice(InitialAlignment, initial, "initial alignment")
    preset = parse_choice(RefinementPreset, refine, "refinement")
    registration = RegistrationSettings(model, cascades, alignment, threads, preset)
    request = TemplateRequest(
        list_group(scans),
        Path(output),
        registration,
        iterations=iterations,
        start=start,
        spacing_mm=spacing_mm,
        probabilities=probabilities,
        compress=compress,
        workers=workers,
        memory_gb=memory_gb,
    )
    # NumPy and SciPy take a moment to import: all checks that need neither come before.
    from .run import build_into_output, plan_template_processes

    processes = plan_template_processes(request)
    return build_into_output(request, processes, force, progress, print_line)
