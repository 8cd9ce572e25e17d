"""The `register` command as a Python call: files in, one folder of results out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.result.result import Progress, RegistrationSettings, ignore_progress, scale_progress
from ..files.output_folder import RESULT_ENTRIES, check_output, staging_folder, write_report
from ..terminal.progress import Stopwatch
from .report import build_full_report
from .request import FilesRequest, check_request

if TYPE_CHECKING:
    from .inputs import LoadedInputs


def register_files(
    fixed: str | Path,
    moving: str | Path,
    output: str | Path,
    *,
    fixed_segmentation: str | Path | None = None,
    moving_segmentation: str | Path | None = None,
    fixed_mask: str | Path | None = None,
    moving_mask: str | Path | None = None,
    model: str = "auto",
    cascades: int | None = None,
    initial: str | Path = "affine",
    refine: str = "none",
    keep_volume: Sequence[str] = (),
    threads: int | None = None,
    views: bool = False,
    compress: bool = True,
    force: bool = False,
    progress: Progress = ignore_progress,
) -> dict[str, Any]:
    """Register the moving volume to the fixed one and write the result into the folder `output`.

    The same as `light-registration register`: its help says what the arguments mean and what is written. Returns the
    report (the content of report.json). Nothing is written unless everything is. Can be called again and again in one
    process; not inside a running Slicer, whose scene is the user's (there: `core.registration.register`).
    Raises InputError, with one line for the user, for everything that is wrong with the input.
    """
    request = FilesRequest(
        fixed=Path(fixed),
        moving=Path(moving),
        fixed_segmentation=_path(fixed_segmentation),
        moving_segmentation=_path(moving_segmentation),
        fixed_mask=_path(fixed_mask),
        moving_mask=_path(moving_mask),
        initial=initial,
        settings=RegistrationSettings(
            model=model, cascades=cascades, threads=threads, refine=refine, keep_volume=tuple(keep_volume)
        ),
        views=views,
        compress=compress,
    )
    return register_request(request, Path(output), force, progress)


def _path(file: str | Path | None) -> Path | None:
    return None if file is None else Path(file)


def register_request(
    request: FilesRequest, output: Path, force: bool, progress: Progress, entries: Sequence[str] = RESULT_ENTRIES
) -> dict[str, Any]:
    """Register the files of a request into the folder `output`; returns the report.

    entries: what an earlier result in the folder may consist of, replaced with `force`. Raises InputError as
    `register_files` does.
    """
    check_request(request)
    check_output(output, list(request.files.values()), force, entries)
    with staging_folder(output, entries) as folder:
        report = register_into(folder, request, progress)
        write_report(report, folder)
    return report


def register_into(folder: Path, request: FilesRequest, progress: Progress) -> dict[str, Any]:
    """Register the files and write everything but the report into an empty folder; returns the report.

    Raises InputError as `register_files` does.
    """
    # Slicer takes a second to import and torch several: each comes after everything that can go wrong without it.
    from .inputs import load_inputs

    with load_inputs(request, scale_progress(progress, 0.0, 0.15)) as inputs:
        return _register(folder, request, inputs, scale_progress(progress, 0.15, 1.0))


def _register(folder: Path, request: FilesRequest, inputs: LoadedInputs, progress: Progress) -> dict[str, Any]:
    watch = Stopwatch({"reading": inputs.seconds})
    progress(0.0, "starting")
    with watch.stage("starting"):
        from ...core.models.registry import ModelRegistry
        from ...worker.task import run_request
        from .outputs import publish, write_result, write_views
    reply = run_request(ModelRegistry(), inputs.request, scale_progress(progress, 0.1, 0.7))
    watch.seconds.update(reply.report["seconds"])
    with watch.stage("writing"):
        progress(0.7, "writing")
        nodes = publish(inputs, reply)
        outputs = write_result(nodes, folder, request.compress)
    if request.views:
        with watch.stage("pictures"):
            progress(0.85, "drawing")
            outputs["views"] = write_views(inputs, nodes, folder)
    progress(1.0, "done")
    return build_full_report(request, reply, outputs, watch.seconds)
