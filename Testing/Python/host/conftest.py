"""The Slicer host double as a fixture."""

from __future__ import annotations

from slicer_host.pytest_plugin import slicer_host, slicer_host_process

__all__ = ["slicer_host", "slicer_host_process"]
