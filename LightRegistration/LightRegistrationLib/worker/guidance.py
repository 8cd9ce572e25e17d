"""The guidance in a request: its masks and the structures whose volume is preserved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..core.errors import InputError
from ..core.geometry.volume import Segment, Segmentation
from ..core.result.settings import Guidance
from .protocol import RegistrationRequest


def build_guidance(request: RegistrationRequest) -> Guidance:
    """Return masks and structures to preserve; raises InputError for one that the moving segmentation does not have."""
    names, segmentation = request.settings.keep_volume, request.moving_segmentation
    if not names:
        return Guidance(request.fixed_mask, request.moving_mask)
    if segmentation is None:
        raise InputError("To preserve volumes, give the moving segmentation that shows the structures.")
    return Guidance(request.fixed_mask, request.moving_mask, preserved_segments=select_segments(segmentation, names))


def select_segments(segmentation: Segmentation, names: Sequence[str]) -> Segmentation:
    """Return a segmentation with the named structures only, each once.

    names: names or, if no structure has that name, label values. Raises InputError for one that matches no structure or
    several.
    """
    chosen: list[Segment] = []
    for name in names:
        segment = _find_segment(segmentation, name)
        if segment not in chosen:
            chosen.append(segment)
    return replace(segmentation, segments=tuple(chosen))


def _find_segment(segmentation: Segmentation, name: str) -> Segment:
    named = [s for s in segmentation.segments if s.name == name]
    found = named or [s for s in segmentation.segments if str(s.value) == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{segmentation.name}: '{name}' means {len(found)} structures; give each its own name.")
    shown = ", ".join(s.name for s in segmentation.segments[:8])
    more = ", ..." if len(segmentation.segments) > 8 else ""
    raise InputError(f"{segmentation.name}: there is no structure '{name}' to preserve; there are {shown}{more}.")
