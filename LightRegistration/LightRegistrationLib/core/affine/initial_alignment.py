"""Where a registration begins: by the headers, by the middles, by the affine stage, or by the user's own transform."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..geometry.geometry import Geometry, apply_affine
from ..geometry.transforms import AffineTransform
from ..geometry.volume import Volume
from ..network.grid import ShrunkImage
from ..network.intensity import IntensityNormalization
from ..result.result import Guidance, RegistrationSettings
from ..threads import limit_threads
from .stage import Alignment, align_affine, align_centers

LOW_OVERLAP = 0.05


def initial_alignment(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings,
    guidance: Guidance,
    rule: IntensityNormalization,
    shrunk: tuple[ShrunkImage, ShrunkImage],
) -> Alignment:
    """The alignment that the settings ask for, fixed -> moving. shrunk: both volumes, as for `align_affine`.

    Raises InputError where the volumes have nothing in common, or hardly overlap after it.
    """
    if isinstance(settings.initial, AffineTransform):
        found = Alignment(settings.initial)
    elif settings.initial == "none":
        found = Alignment(AffineTransform.identity())
    elif settings.initial == "centers":
        found = Alignment(align_centers(fixed.geometry, moving.geometry))
    else:
        masks = {"fixed_mask": guidance.fixed_mask, "moving_mask": guidance.moving_mask}
        with limit_threads(1):  # many small steps lose more by waiting for each other than they gain
            found = align_affine(fixed, moving, rule, shrunk=shrunk, **masks)
    _check_overlap(fixed.geometry, moving.geometry, found.transform, settings)
    return found


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
