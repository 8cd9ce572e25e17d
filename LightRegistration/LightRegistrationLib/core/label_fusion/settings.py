"""What can be chosen for label fusion; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..errors import InputError

MAX_RADIUS = 5
"""Larger patches and search windows are refused. Chosen: a patch of 11 voxels along each axis."""


class FusionMethod(StrEnum):
    """How much the label of each atlas counts.

    MAJORITY: all alike. JOINT: by local similarity of the images, with the errors that atlases share counted once.
    """

    MAJORITY = "majority"
    JOINT = "joint"


@dataclass(frozen=True)
class FusionSettings:
    """Settings of label fusion; all but the method are of joint label fusion (see `joint_weights`).

    patch_radius, search_radius: voxels, along each axis. ridge: `alpha`, added to the diagonal of the pairwise error
    matrix. exponent: `beta`, that of its elements. The values are those of Wang et al. (2013). chunk_values: so many
    patch values are held at once by each thread; changes no result (chosen). Raises InputError for a radius out of
    range.
    """

    method: FusionMethod = FusionMethod.JOINT
    patch_radius: int = 2
    search_radius: int = 0
    ridge: float = 0.1
    exponent: float = 2.0
    chunk_values: int = 1 << 22

    def __post_init__(self) -> None:
        if not 1 <= self.patch_radius <= MAX_RADIUS:
            raise InputError(f"A patch radius of {self.patch_radius} voxels is out of range; use 1 to {MAX_RADIUS}.")
        if not 0 <= self.search_radius <= MAX_RADIUS:
            raise InputError(f"A search radius of {self.search_radius} voxels is out of range; use 0 to {MAX_RADIUS}.")
