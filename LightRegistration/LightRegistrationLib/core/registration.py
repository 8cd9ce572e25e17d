"""The registration itself: two volumes and a model in, one displacement field in RAS mm out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F

from .affine import Alignment, align_affine, center_transform
from .contrast import MIND
from .errors import InputError
from .field import AffineTransform, DisplacementField
from .field_tools import jacobian_summary, unfold
from .flows import warp
from .geometry import FloatArray, Geometry, apply_affine, homogeneous
from .kept_volumes import keep_volumes
from .looks import look_at
from .models import ModelRegistry, Student
from .network_grid import GridImage, Shrunk, network_geometry, on_grid
from .pair_refinement import PairRefinement
from .refinement import Refined
from .refinement_images import RefinementImages, ShrunkPair, flow_onto
from .result import (
    NOTHING_KNOWN,
    Guidance,
    JacobianSummary,
    KeptVolume,
    Progress,
    RegistrationResult,
    RegistrationSettings,
    no_progress,
    part_of,
)
from .selection import ModelChoice, choose_model, judge_model
from .volume import Volume

LOW_OVERLAP = 0.05
LOW_CORRELATION = 0.6
KEPT_PERCENT = 3.0
DEFAULT_SETTINGS = RegistrationSettings()


class _Stages:
    """Times the stages of a run and reports each one as it starts."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, fraction: float) -> Iterator[None]:
        self.progress(fraction, name)
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def register(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings = DEFAULT_SETTINGS,
    *,
    guidance: Guidance = NOTHING_KNOWN,
    registry: ModelRegistry | None = None,
    progress: Progress = no_progress,
) -> RegistrationResult:
    """Register the moving volume to the fixed one with a student.

    Sizes, spacings and orientations may differ. Returns the displacement field fixed -> moving (RAS mm) on a grid that
    covers the whole fixed volume, with what is needed to say how it came about. Deterministic for a given machine and
    number of threads. Raises InputError where the inputs cannot be registered, ModelError (an InputError) for a model
    that is unknown or damaged.
    """
    for volume in (fixed, moving):
        if _is_flat(volume.array):
            raise InputError(f"{volume.name}: all voxels have the same value; there is nothing to register.")
    stages = _Stages(progress)
    with torch.inference_mode(), _threads(settings.threads or torch.get_num_threads()):
        with stages.stage("load model", 0.0):
            models = registry or ModelRegistry()
            choice = _choice(models, settings.model, fixed, moving)
            student = models.load(choice.card.name)
            grid = network_geometry(fixed.geometry, student.grid)
            pair = ShrunkPair(fixed, moving, student.intensity)
        with stages.stage("shrink", 0.1):
            shrunk = pair(float(grid.spacing_mm[0]))
        with stages.stage("initial alignment", 0.2):
            alignment = _alignment(fixed, moving, settings, guidance, student, shrunk)
            initial = alignment.transform
            _check_overlap(fixed.geometry, moving.geometry, initial, settings)
        with stages.stage("resample", 0.4):
            target, source = on_grid(shrunk[0], grid, np.eye(4)), on_grid(shrunk[1], grid, initial.matrix)
        with stages.stage("network", 0.5):
            flow = _run_network(student, target, source, settings.cascades)
            found = Refined(flow, flow_geometry(grid, flow.shape[2:]))
        if settings.refine != "none":
            with stages.stage("refinement", 0.6):
                refinement = PairRefinement(
                    settings.refine, student.refinement, RefinementImages(pair, initial, grid, guidance)
                )
                trust = settings.initial == "affine" and not alignment.notes
                found, initial = refinement(found, initial, trust, part_of(progress, 0.6, 0.9))
                source = on_grid(shrunk[1], grid, initial.matrix)
        with stages.stage("field", 0.9):
            field, _ = unfold(field_in_mm(found.flow, found.geometry, initial))
            field, kept = (field, ()) if guidance.keep is None else keep_volumes(field, guidance.keep, fixed.geometry)
            jacobian = jacobian_summary(field, fixed.geometry)
            warnings = list(_warnings(jacobian, kept))
            if found.summary is None or found.summary.metric != MIND:
                warnings += _poor_match(matched_correlation(target, source, found))
    progress(1.0, "done")
    return RegistrationResult(
        field=field,
        initial=initial,
        model=student.card.name,
        model_reason=choice.reason,
        weights_sha256=student.card.sha256,
        settings=settings,
        jacobian=jacobian,
        seconds=stages.seconds,
        warnings=(*choice.warnings, *alignment.notes, *warnings),
        refinement=found.summary,
        kept=kept,
    )


def _is_flat(array: np.ndarray) -> bool:
    """Whether all voxels have one value; nearly always a few of them say no, without a look at the rest."""
    first = array.flat[0]
    return bool((array.ravel()[::997] == first).all() and (array == first).all())


def _choice(registry: ModelRegistry, model: str, fixed: Volume, moving: Volume) -> ModelChoice:
    card = registry.card(model)
    looks = look_at(fixed), look_at(moving)
    return choose_model(registry.cards, looks) if model == "auto" else judge_model(card, looks)


def _alignment(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings,
    guidance: Guidance,
    student: Student,
    shrunk: tuple[Shrunk, Shrunk],
) -> Alignment:
    if isinstance(settings.initial, AffineTransform):
        return Alignment(settings.initial)
    if settings.initial == "none":
        return Alignment(AffineTransform.identity())
    if settings.initial == "centers":
        return Alignment(center_transform(fixed.geometry, moving.geometry))
    with _threads(1):  # many small steps lose more by waiting for each other than they gain
        return align_affine(
            fixed,
            moving,
            student.intensity,
            fixed_mask=guidance.fixed_mask,
            moving_mask=guidance.moving_mask,
            shrunk=shrunk,
        )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Use so many threads inside, and afterward as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_overlap(fixed: Geometry, moving: Geometry, initial: AffineTransform, settings: RegistrationSettings) -> None:
    """Raise InputError unless some of one volume lies inside the other after the initial alignment."""
    shares = _share_inside(fixed, moving, initial), _share_inside(moving, fixed, initial.inverse())
    if max(shares) < LOW_OVERLAP:
        advice = "choose another initial transform" if settings.initial != "none" else "use initial alignment 'affine'"
        raise InputError(f"The two volumes do not overlap in space: {advice}.")


def _share_inside(geometry: Geometry, other: Geometry, transform: AffineTransform) -> float:
    """The share of a grid that the transform takes into the other grid's field of view."""
    steps = [np.linspace(0, n - 1, 12) for n in geometry.size_ijk]
    points = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    return float(other.contains(transform(apply_affine(geometry.affine, points))).mean())


def _run_network(student: Student, target: GridImage, source: GridImage, cascades: int | None) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_fast_bfloat16()):
        flow, _ = student.network(
            target.tensor.to(memory_format=torch.channels_last_3d),
            source.tensor.to(memory_format=torch.channels_last_3d),
            cascades,
        )
    if not torch.isfinite(flow).all():
        raise InputError("The network's answer is not finite; check the intensities of the volumes.")
    return torch.Tensor(flow.float())


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AVX-512 BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def flow_geometry(grid: Geometry, flow_shape: tuple[int, ...]) -> Geometry:
    """Where the nodes of a flow lie: the network grid itself, or the half grid that shares its outer edges."""
    shape: tuple[int, int, int] = tuple(flow_shape)  # type: ignore[assignment]
    ratio = np.array(grid.shape[::-1]) / np.array(shape[::-1])
    return Geometry(shape, grid.affine @ homogeneous(np.diag(ratio), (ratio - 1) / 2))


def field_in_mm(flow: torch.Tensor, geometry: Geometry, initial: AffineTransform) -> DisplacementField:
    """The total displacement x -> initial(x + flow(x)) - x in RAS mm, on the flow's own grid; flow (1, 3, D, H, W)."""
    to_mm: FloatArray = geometry.affine[:3, :3]
    deformation_mm = flow[0].movedim(0, -1).double().numpy() @ to_mm.T
    points = geometry.points_mm
    return DisplacementField(initial(points + deformation_mm) - points, geometry.affine)


def matched_correlation(fixed: GridImage, moving: GridImage, found: Refined) -> float:
    """Correlation of the fixed and the warped moving image, -1 to 1.

    At half the network grid's resolution, over the voxels where the fixed image shows something: empty space matches
    always.
    """
    target, source = (F.avg_pool3d(image.tensor, 2) for image in (fixed, moving))
    flow = flow_onto(found.flow, found.geometry, flow_geometry(fixed.geometry, target.shape[2:]))
    shown = target > 0.05
    pair = torch.stack([target[shown], warp(source, flow)[shown]])
    return float(torch.nan_to_num(torch.corrcoef(pair)[0, 1]))


def _poor_match(correlation: float) -> Iterator[str]:
    if correlation < LOW_CORRELATION:
        yield (
            f"The volumes hardly match after registration (correlation {correlation:.2f}); check that both show the "
            "same part of the body in the same contrast."
        )


def _warnings(jacobian: JacobianSummary, kept: tuple[KeptVolume, ...]) -> Iterator[str]:
    if jacobian.percent_nonpositive > 0:
        yield f"The deformation folds in {jacobian.percent_nonpositive:.3f} % of the volume; look at its grid."
    for structure in kept:
        if abs(structure.change_percent) > KEPT_PERCENT:
            yield f"The volume of {structure.name} could be kept only to {structure.change_percent:+.1f} %."
