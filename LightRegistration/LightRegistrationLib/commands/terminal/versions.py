"""Versions of the software that a result depends on."""

from __future__ import annotations

import platform

from ... import __version__

_DISTRIBUTIONS = ("torch", "numpy", "slicer-core", "vtk")


def read_versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of the packages that a result depends on."""
    from importlib import metadata  # imports e-mail and sockets, which no other part of the command line needs

    versions = {"python": platform.python_version(), "light-registration": __version__}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "unknown"
    return versions
