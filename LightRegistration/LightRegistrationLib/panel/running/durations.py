"""How long registrations took on this machine, kept in the application's settings."""

from __future__ import annotations

from typing import Any

import slicer

from ...core.result.settings import RefinementPreset

_KEY = "LightRegistration/Seconds/"


def read_seconds() -> dict[str, float]:
    """Return how long the latest registration with each refinement preset took, seconds; without those never run."""
    found = {}
    for preset in RefinementPreset:
        try:
            found[preset.value] = float(slicer.app.userSettings().value(_KEY + preset))
        except (TypeError, ValueError):  # never stored, or changed by hand
            continue
    return found


def store_seconds(report: dict[str, Any]) -> None:
    """Keep how long a registration took. report: its numbers."""
    total = sum(report["seconds"].values())
    slicer.app.userSettings().setValue(_KEY + report["settings"]["refine"], f"{total:.2f}")
