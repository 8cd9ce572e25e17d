"""A strict test double of 3D Slicer's Qt part on the real slicer-core; see the README next to this package."""

from __future__ import annotations

from .host import Host, start_slicer_host

__all__ = ["Host", "start_slicer_host"]
