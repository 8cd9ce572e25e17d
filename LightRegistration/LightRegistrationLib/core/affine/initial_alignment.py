"""The initial alignment: from the headers, from the centers, by the affine stage, or a transform of the user."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..geometry.geometry import Geometry, apply_affine
from ..geometry.transforms import AffineTransform
from ..geometry.volume import Volume
from ..network.grid import ShrunkImage
from ..network.intensity import IntensityNormalization
from ..result.settings import Guidance, InitialAlignment, RegistrationSettings
from ..threads import limit_threads
from .settings import AFFINE
from .stage import Alignment, align_affine, align_centers


def find_initial_alignment(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings,
    guidance: Guidance,
    normalization: IntensityNormalization,
    shrunk: tuple[ShrunkImage, ShrunkImage],
) -> Alignment:
    """Find the alignment fixed -> moving, RAS mm, that the settings ask for.

    shrunk: both volumes, as for `align_affine`. Raises InputError if the volumes have nothing in common, or if their
    fields of view hardly overlap after the alignment.
    """
    if isinstance(settings.initial, AffineTransform):
        found = Alignment(settings.initial)
    elif settings.initial == InitialAlignment.NONE:
        found = Alignment(AffineTransform.identity())
    elif settings.initial == InitialAlignment.CENTERS:
        found = Alignment(align_centers(fixed.geometry, moving.geometry))
    else:
        masks = {"fixed_mask": guidance.fixed_mask, "moving_mask": guidance.moving_mask}
        with limit_threads(1):  # the steps are so small that threads would wait longer than they compute
            is_rigid = settings.follow_up or settings.initial == InitialAlignment.RIGID
            found = align_affine(fixed, moving, normalization, shrunk=shrunk, is_rigid=is_rigid, **masks)
    _check_overlap(fixed.geometry, moving.geometry, found.transform, settings)
    return found


def _check_overlap(fixed: Geometry, moving: Geometry, initial: AffineTransform, settings: RegistrationSettings) -> None:
    """Raise InputError if hardly any of one field of view lies inside the other."""
    fractions = (
        _compute_fraction_inside(fixed, moving, initial),
        _compute_fraction_inside(moving, fixed, initial.inverse()),
    )
    if max(fractions) < AFFINE.min_field_of_view_fraction:
        as_loaded = settings.initial == InitialAlignment.NONE
        advice = "use initial alignment 'affine'" if as_loaded else "choose another initial transform"
        raise InputError(f"The two volumes do not overlap in space: {advice}.")


def _compute_fraction_inside(geometry: Geometry, other: Geometry, transform: AffineTransform) -> float:
    """Compute the share of a grid (12x12x12 points) that the transform maps into the other grid's field of view."""
    steps = [np.linspace(0, n - 1, 12) for n in geometry.size_ijk]
    points = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    return float(other.contains(transform(apply_affine(geometry.affine, points))).mean())
