"""The `register` command as a Python call: files in, one folder with the result out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...core.report.definition import Report
from ...core.result.progress import Progress, ProgressUpdate, Stage, ignore_progress, scale_progress
from ...core.result.settings import AUTO_MODEL, InitialAlignment, RefinementPreset, RegistrationSettings, parse_choice
from ..files.bids_names import Layout, make_derivative_names
from ..files.output_folder import PAGE_FILE, RESULT_ENTRIES, check_output, staging_folder, write_report
from ..files.path_errors import report_write_errors
from ..files.private_folder import open_private_folder
from .derivatives import (
    DESCRIPTION_FILE,
    UNFINISHED_PREFIX,
    check_data_set,
    rename_outputs,
    write_description,
    write_pair,
)
from .report import build_full_report, measure_landmarks
from .request import FilesRequest, check_request
from .stopwatch import Stopwatch

if TYPE_CHECKING:
    from ...core.models.registry import ModelRegistry
    from .inputs import LoadedInputs


def register_files(
    fixed: str | Path,
    moving: str | Path,
    output: str | Path,
    *,
    fixed_segmentation: str | Path | None = None,
    moving_segmentation: str | Path | None = None,
    fixed_series: str | int | None = None,
    moving_series: str | int | None = None,
    fixed_mask: str | Path | None = None,
    moving_mask: str | Path | None = None,
    landmarks: str | Path | None = None,
    model: str = AUTO_MODEL,
    cascades: int | None = None,
    initial: str | Path = InitialAlignment.AFFINE,
    refine: str = RefinementPreset.NONE,
    keep_volume: Sequence[str] = (),
    follow_up: bool = False,
    threads: int | None = None,
    consistency: bool = False,
    inverse: bool = False,
    views: bool = False,
    page: bool = False,
    compress: bool = True,
    force: bool = False,
    layout: str = Layout.FOLDERS,
    progress: Progress = ignore_progress,
) -> Report:
    """Register the moving volume to the fixed one and write the result into the folder `output`.

    Does the same as `light-registration register`; its help describes the arguments and the files. Returns the report
    (the content of report.json). Either all files are written or none. Can be called repeatedly in one process, but not
    inside a running Slicer, because the scene is the user's (use `core.registration.register` there).
    consistency: also register in the opposite direction.
    fixed_series, moving_series: number or UID of the DICOM series, where a folder holds several. page: also write
    report.html. layout: folders, or bids for a BIDS derivative data set.
    Raises InputError, with one line for the user, for every problem with the input.
    """
    request = FilesRequest(
        fixed=_make_volume_path(fixed, "fixed"),
        moving=_make_volume_path(moving, "moving"),
        fixed_series=None if fixed_series is None else str(fixed_series),
        moving_series=None if moving_series is None else str(moving_series),
        fixed_segmentation=_make_path(fixed_segmentation),
        moving_segmentation=_make_path(moving_segmentation),
        fixed_mask=_make_path(fixed_mask),
        moving_mask=_make_path(moving_mask),
        landmarks=_make_path(landmarks),
        initial=initial,
        settings=RegistrationSettings(
            model=model,
            cascades=cascades,
            threads=threads,
            refine=parse_choice(RefinementPreset, refine, "refinement"),
            keep_volume=tuple(keep_volume),
            follow_up=follow_up,
        ),
        consistency=consistency,
        inverse=inverse or layout == Layout.BIDS,
        views=views,
        page=page,
        compress=compress,
    )
    if parse_choice(Layout, layout, "layout") == Layout.BIDS:
        return register_into_data_set(request, Path(output), force, progress)
    return register_request(request, Path(output), force, progress)


def _make_volume_path(file: str | Path, role: str) -> Path:
    if str(file) == "":
        raise InputError(f"The name of the {role} volume is empty; name a file or a folder.")
    return Path(file)


def _make_path(file: str | Path | None) -> Path | None:
    return None if file is None else Path(file)


def register_request(
    request: FilesRequest, output: Path, force: bool, progress: Progress, entries: Sequence[str] = RESULT_ENTRIES
) -> Report:
    """Register the files of a request and write the result into the folder `output`; returns the report.

    entries: the files of an earlier result that `force` replaces. Raises InputError as `register_files` does.
    """
    check_request(request)
    check_output(output, list(request.files.values()), force, entries)
    with staging_folder(output, entries) as folder:
        report = register_into(folder, request, progress)
        write_report(report, folder)
    return report


def register_into_data_set(request: FilesRequest, output: Path, force: bool, progress: Progress) -> Report:
    """Register the files of a request and add the result to a BIDS derivative data set; returns the report.

    The transform is added last. Raises InputError as `register_files` does, and for volumes without BIDS names.
    """
    check_request(request)
    if request.views or request.page:
        raise InputError("The layout bids has no place for pictures and pages; leave out --views and --report.")
    names = make_derivative_names(request.fixed, request.moving)
    check_data_set(output, names, list(request.files.values()), force)
    with report_write_errors(output), open_private_folder(output.resolve(), UNFINISHED_PREFIX) as folder:
        try:
            report = rename_outputs(register_into(folder, request, progress), names)
        except InputError as error:
            # The user knows the output, not the folder that is removed now.
            raise InputError(str(error).replace(str(folder), str(output))) from error
        write_report(report, folder)
        if not (output / DESCRIPTION_FILE).exists():
            write_description(output)
        write_pair(folder, output, names)
    return report


def register_into(
    folder: Path, request: FilesRequest, progress: Progress, registry: ModelRegistry | None = None
) -> Report:
    """Register the files of a request and write all but the report into an empty folder; returns the report.

    registry: models that stay loaded between calls. Raises InputError as `register_files` does.
    """
    # Importing Slicer takes a second and torch several seconds: all checks that need neither come before.
    from .inputs import load_inputs

    with load_inputs(request, scale_progress(progress, 0.0, 0.15)) as inputs:
        return _register(folder, request, inputs, scale_progress(progress, 0.15, 1.0), registry)


def _register(
    folder: Path, request: FilesRequest, inputs: LoadedInputs, progress: Progress, registry: ModelRegistry | None
) -> Report:
    watch = Stopwatch({Stage.READING: inputs.seconds})
    progress(ProgressUpdate(0.0, Stage.STARTING))
    with watch.time_stage(Stage.STARTING):
        from ...core.models.registry import ModelRegistry
        from ...worker.task import run_request
        from .inverse import invert_checked, write_inverse
        from .outputs import add_result_to_scene, write_page, write_result, write_thumbnail, write_views
    reply = run_request(registry or ModelRegistry(), inputs.request, scale_progress(progress, 0.1, 0.7))
    watch.seconds.update(reply.report["seconds"])
    inverse = None
    if request.inverse:
        with watch.time_stage(Stage.INVERTING):
            progress(ProgressUpdate(0.7, Stage.INVERTING))
            inverse = invert_checked(inputs, reply)
    with watch.time_stage(Stage.WRITING):
        progress(ProgressUpdate(0.8, Stage.WRITING))
        nodes = add_result_to_scene(inputs, reply)
        outputs = write_result(nodes, folder, request.compress)
        if inverse is not None:
            outputs["inverse"] = write_inverse(inputs, inverse, folder)
    if request.views:
        with watch.time_stage(Stage.PICTURES):
            progress(ProgressUpdate(0.85, Stage.PICTURES))
            outputs["views"] = write_views(inputs, nodes, folder)
    if request.page:
        outputs["page"] = PAGE_FILE
    report = build_full_report(request, reply, outputs, watch.seconds, inputs.warnings)
    if inverse is not None:
        report = inverse.add_to(report)
    if inputs.landmarks is not None:
        report = {**report, "landmarks": measure_landmarks(inputs.landmarks, reply.result.field)}
    if request.thumbnail:
        write_thumbnail(inputs.request, reply, folder)
    if request.page:
        progress(ProgressUpdate(0.9, Stage.PICTURES))
        write_page(inputs.request, reply, report, folder)
    progress(ProgressUpdate(1.0, Stage.DONE))
    return report
