"""Tuning constants of the repair and the inversion of displacement fields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeformationSettings:
    """Tuning constants.

    min_determinant: cells with a smaller Jacobian determinant at a corner are smoothed. Chosen, not measured.
    max_smoothing_rounds: chosen, not measured. `Testing/Benchmarks/comparison.py` measures the folding that is left.
    smoothing_reach_nodes: how far around a folded cell the field is smoothed. Chosen, not measured.
    smoothing_window_nodes: edge of the window of the mean. The smallest odd one; chosen, not measured.
    max_newton_steps, inverse_tolerance_mm: chosen, not measured. The tolerance is far below a voxel.
    difference_step_cells: half the step of the central differences for Newton's method. Chosen, not measured.
    """

    min_determinant: float = 0.02
    max_smoothing_rounds: int = 50
    smoothing_reach_nodes: int = 2
    smoothing_window_nodes: int = 3
    max_newton_steps: int = 60
    inverse_tolerance_mm: float = 0.01
    difference_step_cells: float = 0.05


DEFAULT_SETTINGS = DeformationSettings()
