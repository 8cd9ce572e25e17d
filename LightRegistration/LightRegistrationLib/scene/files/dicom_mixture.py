"""Whether the slices of a DICOM series belong together: one patient, one frame of reference, none left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .dicom import DicomFile, get_value

_ECHO_TOLERANCE = 0.01
"""Echo times may differ by this share: rounding. Chosen."""
_MIN_GAP = 1.5
"""Slices whose numbers leave some out, and that are this many times as far apart as thick, may lack others. Chosen."""


def list_mixture_warnings(files: Sequence[DicomFile]) -> Iterator[str]:
    """Yield a warning for each property that the slices of one stack share, and these do not."""
    if _count_values(files, "PatientID") > 1:
        yield "its slices are of several patients (PatientID)"
    if _count_values(files, "FrameOfReferenceUID") > 1:
        yield "its slices have several frames of reference, so that their positions may not fit together"
    echoes = [float(number) for file in files for number in file.numbers("EchoTime")]
    if echoes and max(echoes) - min(echoes) > _ECHO_TOLERANCE * max(echoes):
        yield f"its slices have several echo times, {min(echoes):g} to {max(echoes):g} ms"


def list_gap_warnings(files: Sequence[DicomFile], distance_mm: float) -> Iterator[str]:
    """Yield a warning if slices seem to be left out evenly. files: in spatial order. distance_mm: between slices."""
    numbers = np.array([number for file in files for number in file.numbers("InstanceNumber")])
    thickness = [number for file in files for number in file.numbers("SliceThickness")]
    if len(numbers) != len(files) or len(files) < 3 or not thickness or not min(thickness) > 0:
        return
    steps = np.abs(np.diff(numbers))
    if (steps == steps[0]).all() and steps[0] >= 2 and distance_mm > _MIN_GAP * max(thickness):
        yield (
            f"its slices are numbered in steps of {steps[0]:g} and lie {distance_mm:.4g} mm apart, but are "
            f"{max(thickness):g} mm thick; slices may be missing"
        )


def _count_values(files: Sequence[DicomFile], name: str) -> int:
    """Count the different values of an attribute; a missing one is none."""
    return len({str(value) for file in files if (value := get_value(file.header, name))})
