"""The `fuse` command as Python calls: files in, one folder with the result out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.label_fusion.settings import FusionMethod, FusionSettings
from ...core.result.settings import AUTO_MODEL, InitialAlignment, RefinementPreset, parse_choice
from ..files.output_folder import check_output, staging_folder
from ..files.path_errors import report_path_errors
from ..terminal.progress_bar import ShowProgress, ignore_progress
from .request import (
    EVALUATION_ENTRIES,
    FUSION_ENTRIES,
    MIN_ATLASES,
    Atlas,
    AtlasFiles,
    FusionRequest,
    list_atlases,
    make_registration_settings,
)


def fuse_atlases(
    target: str | Path,
    atlases: AtlasFiles,
    output: str | Path,
    *,
    method: str = FusionMethod.JOINT,
    patch_radius: int = FusionSettings.patch_radius,
    search_radius: int = FusionSettings.search_radius,
    probabilities: bool = False,
    model: str = AUTO_MODEL,
    cascades: int | None = None,
    initial: str = InitialAlignment.AFFINE,
    refine: str = RefinementPreset.NONE,
    threads: int | None = None,
    compress: bool = True,
    force: bool = False,
    progress: ShowProgress = ignore_progress,
) -> dict[str, Any]:
    """Register labeled atlases to a target, fuse their labels, and write the result into the folder `output`.

    Does the same as `light-registration fuse --target`; its help describes the arguments and the files. atlases: the
    CSV file, or pairs of an image and its labels. Returns the content of fusion.json. Not to be called inside a running
    Slicer, whose scene is the user's. Raises InputError, with one line for the user, for every problem with the input.
    """
    fusion = FusionSettings(parse_choice(FusionMethod, method, "fusion method"), patch_radius, search_radius)
    registration = make_registration_settings(model, cascades, initial, refine, threads)
    target, output = Path(target), Path(output)
    request = FusionRequest(list_atlases(atlases), fusion, registration, target, probabilities, compress)
    with report_path_errors(target):
        if not target.exists():
            raise InputError(f"{target}: there is no such file or folder.")
    check_output(output, [target, *request.files], force, FUSION_ENTRIES)
    # Importing Slicer takes a second and torch several: all checks that need neither come before.
    from ...scene.headless.application import headless_application
    from .run import fuse_into

    with staging_folder(output, FUSION_ENTRIES) as folder:
        return fuse_into(headless_application().scene, request, folder, progress)


def evaluate_fusion(
    atlases: AtlasFiles,
    output: str | Path,
    *,
    scans: Sequence[str] = (),
    patch_radius: int = FusionSettings.patch_radius,
    search_radius: int = FusionSettings.search_radius,
    model: str = AUTO_MODEL,
    cascades: int | None = None,
    initial: str = InitialAlignment.AFFINE,
    refine: str = RefinementPreset.NONE,
    threads: int | None = None,
    force: bool = False,
    progress: ShowProgress = ignore_progress,
) -> list[dict[str, Any]]:
    """Leave each labeled scan out, label it from all others, and compare with its own labels; writes into `output`.

    Does the same as `light-registration fuse --leave-one-out`; its help describes the arguments and the files. scans:
    names of the scans to leave out; all if empty. Returns the rows of results.csv. Raises InputError as `fuse_atlases`.
    """
    fusion = FusionSettings(FusionMethod.JOINT, patch_radius, search_radius)
    registration = make_registration_settings(model, cascades, initial, refine, threads)
    request = FusionRequest(list_atlases(atlases), fusion, registration)
    chosen = _choose_scans(request.atlases, scans)
    output = Path(output)
    check_output(output, request.files, force, EVALUATION_ENTRIES)
    from ...scene.headless.application import headless_application
    from .leave_one_out import evaluate_into

    with staging_folder(output, EVALUATION_ENTRIES) as folder:
        return evaluate_into(headless_application().scene, request, chosen, folder, progress)


def _choose_scans(atlases: Sequence[Atlas], names: Sequence[str]) -> list[int]:
    if len(atlases) <= MIN_ATLASES:
        raise InputError(f"To leave one out, {MIN_ATLASES + 1} or more scans are needed, but there are {len(atlases)}.")
    known = [atlas.name for atlas in atlases]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"There is no scan '{unknown[0]}' in the list; its scans are: {', '.join(known)}.")
    return [known.index(name) for name in names] or list(range(len(known)))
