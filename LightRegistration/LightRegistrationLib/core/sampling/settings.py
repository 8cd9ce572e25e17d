"""Tuning constants of sampling."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Interpolation(StrEnum):
    """How values between voxels are found.

    LINEAR: trilinear, for scans. NEAREST: the value of the nearest voxel, for labels. LABEL_SMOOTH: the label with the
    greatest trilinear weight, for labels; its surfaces have no steps of the voxels' size.
    """

    LINEAR = "linear"
    NEAREST = "nearest"
    LABEL_SMOOTH = "label-smooth"


@dataclass(frozen=True)
class SamplingSettings:
    """Tuning constants; those of speed and of axes change no result by more than rounding."""

    chunk_voxels: int = 1 << 16
    """Number of voxels that are processed together: few enough that their values stay in the CPU cache, and enough that
    threads seldom wait for each other. The fastest power of 2 with one and with two threads on an AMD EPYC; time:
    `Testing/Benchmarks/speed.py`."""
    max_axis_deviation_field_voxels: float = 1e-4
    """The axes of a field are parallel to those of a grid if they deviate by less than this over the whole grid.
    Chosen, not measured."""
    max_axis_deviation_label_voxels: float = 1e-3
    """The same for label arrays that are read along the axes. Chosen, not measured."""
    background_margin_mm: float = 20.0
    """Background that stays around a body that ends inside a padded volume. Chosen; padded volumes:
    `Testing/Benchmarks/robustness.py`."""
    min_padding_mm: float = 10.0
    """Thinner padding is not cut off: the CTs of the neck end in two empty slices (6 mm), and without them their
    alignment is worse. Chosen above that; whole volumes: `Testing/Benchmarks/comparison.py`."""
    min_background_fraction: float = 0.75
    """Share of the outermost slice that is background where a body ends by itself; less is a body that was cut.
    Chosen; padded volumes: `Testing/Benchmarks/robustness.py`."""

    edge_contrast: float = 0.1
    """Gradient, in intensities 0 to 1 per voxel, at which an edge reaches 0.7 of its full strength. T1, T2 and
    FLAIR of one visit are placed alike with 0.05 and 0.15, worse with 0.02: `Testing/Benchmarks/same_visit.py`."""


SAMPLING = SamplingSettings()
