"""What a request says about how to register: its masks, and the structures whose volume is to be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..core.errors import InputError
from ..core.geometry.volume import Segment, Segmentation
from ..core.result.result import Guidance
from .protocol import RegistrationRequest


def build_guidance(request: RegistrationRequest) -> Guidance:
    """The masks and the structures to keep. Raises InputError for a structure that the moving segmentation lacks."""
    names, segmentation = request.settings.keep_volume, request.moving_segmentation
    if not names:
        return Guidance(request.fixed_mask, request.moving_mask)
    if segmentation is None:
        raise InputError("To keep volumes, give the moving segmentation that shows the structures.")
    return Guidance(request.fixed_mask, request.moving_mask, keep=select_segments(segmentation, names))


def select_segments(segmentation: Segmentation, names: Sequence[str]) -> Segmentation:
    """The segmentation with the named structures alone, each once.

    names: names or, where no structure is called so, label values. Raises InputError for one that is not there or that
    means several structures.
    """
    chosen: list[Segment] = []
    for name in names:
        segment = _segment(segmentation, name)
        if segment not in chosen:
            chosen.append(segment)
    return replace(segmentation, segments=tuple(chosen))


def _segment(segmentation: Segmentation, name: str) -> Segment:
    named = [s for s in segmentation.segments if s.name == name]
    found = named or [s for s in segmentation.segments if str(s.value) == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{segmentation.name}: '{name}' means {len(found)} structures; give each its own name.")
    shown = ", ".join(s.name for s in segmentation.segments[:8])
    more = ", ..." if len(segmentation.segments) > 8 else ""
    raise InputError(f"{segmentation.name}: there is no structure '{name}' to keep; there are {shown}{more}.")
