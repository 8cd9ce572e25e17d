"""What a user can choose for a registration: settings, presets, masks and structures to preserve; torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from ..errors import InputError

if TYPE_CHECKING:
    # NumPy takes a while to import, and the command line checks settings without it.
    from ..geometry.transforms import AffineTransform
    from ..geometry.volume import Segmentation

AUTO_MODEL = "auto"
"""The model name that stands for the model that fits both volumes."""
MIN_CASCADES, MAX_CASCADES = 1, 3

Choice = TypeVar("Choice", bound=StrEnum)


class InitialAlignment(StrEnum):
    """The linear alignment before the network.

    NONE: positions as in the headers. CENTERS: the centers of both volumes coincide. RIGID: centers, then shift and
    rotation by similarity. AFFINE: scale and shear too.
    """

    NONE = "none"
    CENTERS = "centers"
    RIGID = "rigid"
    AFFINE = "affine"


class RefinementPreset(StrEnum):
    """How long the deformation of the network is optimized for one pair.

    NONE: not at all, except for a few coarse steps of multimodal pairs. FAST: up to the resolution of the network's
    grid. BEST: up to a finer grid.
    """

    NONE = "none"
    FAST = "fast"
    BEST = "best"


def parse_choice(kind: type[Choice], value: str, title: str, also: str = "") -> Choice:
    """Return the member of an enumeration that has this value.

    title: what is chosen, for the message. also: what else is accepted, appended to the list of values. Raises
    InputError for a value that is not in the enumeration.
    """
    try:
        return kind(value)
    except ValueError as error:
        raise InputError(f"Unknown {title} '{value}': use {', '.join(kind)}{also}.") from error


@dataclass(frozen=True)
class RegistrationSettings:
    """The settings of one registration.

    model: name of a bundled or added model, or `auto`. cascades: 1 to 3, None as trained. initial: an InitialAlignment,
    or an AffineTransform fixed -> moving. threads: CPU threads, None for all cores. refine: a RefinementPreset.
    keep_volume: names of moving segments whose volume the deformation must not change (tumors). follow_up: both volumes
    are scans of one person in one contrast; what changed between them is kept and listed (`core.follow_up`). The values
    of the enumerations are accepted as strings. Raises InputError for values out of range.
    """

    model: str = AUTO_MODEL
    cascades: int | None = None
    initial: InitialAlignment | AffineTransform = InitialAlignment.AFFINE
    threads: int | None = None
    refine: RefinementPreset = RefinementPreset.NONE
    keep_volume: tuple[str, ...] = ()
    follow_up: bool = False

    def __post_init__(self) -> None:
        if self.cascades is not None and not MIN_CASCADES <= self.cascades <= MAX_CASCADES:
            raise InputError(f"A student runs in {MIN_CASCADES} to {MAX_CASCADES} cascades, not {self.cascades}.")
        if isinstance(self.initial, str):
            initial = parse_choice(InitialAlignment, self.initial, "initial alignment", " or a file")
            object.__setattr__(self, "initial", initial)
        object.__setattr__(self, "refine", parse_choice(RefinementPreset, self.refine, "refinement"))
        if self.threads is not None and self.threads < 1:
            raise InputError(f"At least one thread is needed, not {self.threads}.")


DEFAULT_SETTINGS = RegistrationSettings()


@dataclass(frozen=True, eq=False)
class Guidance:
    """What the user gives beside the volumes; each part may be missing.

    fixed_mask, moving_mask: where the volumes are compared, the union of all segments, on any grid; outside them the
    deformation follows by smoothness. preserved_segments: structures of the moving volume whose volume is preserved.
    """

    fixed_mask: Segmentation | None = None
    moving_mask: Segmentation | None = None
    preserved_segments: Segmentation | None = None


NO_GUIDANCE = Guidance()
