"""A strict test double of 3D Slicer's Qt side on the real slicer-core; see the README beside this package."""

from __future__ import annotations

from .host import Host, start_slicer_host

__all__ = ["Host", "start_slicer_host"]
