"""Tuning constants of the repair, the continuation and the inversion of displacement fields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeformationSettings:
    """Tuning constants. `Testing/Benchmarks/comparison.py` measures the folding that is left after the repair."""

    # Repair of folded cells
    min_determinant: float = 0.02
    """Cells with a smaller Jacobian determinant at a corner are smoothed. Chosen, not measured."""
    max_smoothing_rounds: int = 50
    """Chosen, not measured."""
    smoothing_reach_nodes: int = 2
    """The field is smoothed up to so many nodes from a folded cell. Chosen, not measured."""
    smoothing_window_nodes: int = 3
    """Edge of the window of the mean: the smallest odd one. Chosen, not measured."""

    # Inverse
    fixed_point_steps: int = 5
    """Steps before those of Newton. Chosen: brains need 2 to 4 steps of Newton then instead of 5 to 7."""
    max_inverse_spacing_mm: float = 1.75
    """Node spacing of a stored inverse, as far as `max_inverse_nodes` allows. The spacing of the networks' fields (2 to
    4 mm) leaves 3 times the error between the nodes: on a pair of brains 0.13 instead of 0.04 mm on average."""
    max_inverse_nodes: int = 5_000_000
    """Chosen, for the size of the file (12 bytes a node) and the time (about 6 s for a million nodes)."""
    max_newton_steps: int = 60
    """Chosen, not measured."""
    inverse_tolerance_mm: float = 0.01
    """Far below the size of a voxel. Chosen, not measured."""
    difference_step_cells: float = 0.05
    """Half the step of the central differences for Newton's method. Chosen, not measured."""

    # Continuation beyond the fixed volume, where the residual displacement falls to zero
    max_normal_slope: float = 0.5
    """Largest slope of the displacement outward; a slope of 1 would fold. Chosen: with 0.75, and 2.0 below, the margins
    of 8 of the 20 hippocampus pairs of `Testing/Benchmarks/comparison.py` folded without refinement, with these none
    (counted once, no command repeats it)."""
    max_slope: float = 1.0
    """Largest slope of the whole displacement. Chosen together with `max_normal_slope`."""
    min_taper_nodes: int = 2
    """Least width of the margin. Chosen, not measured."""
    max_taper_smoothing_rounds: int = 10
    """As `max_smoothing_rounds`, for the margin. Chosen, not measured."""


DEFORMATION = DeformationSettings()
