"""Tuning constants of volume preservation.

No benchmark measures them yet: all were chosen on the analytic fields of
`Testing/Python/core/volume_preservation/test_volume_preservation.py`, which also holds the volume error below 1 %
(3 % for structures of a few voxels) and the deformation free of folding.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VolumePreservationSettings:
    """Tuning constants. "Log determinant" is the logarithm of the Jacobian determinant."""

    # Grouping of structures
    max_gap_mm: float = 30.0
    """Structures nearer to each other than this are corrected together. Chosen, not measured."""
    max_groups: int = 12
    """With more groups than this, wider gaps are bridged too. Chosen, not measured."""
    gap_growth: float = 1.5
    """Factor by which the gap is then widened. Chosen, not measured."""
    block_mm: float = 5.0
    """Resolution at which gaps are searched. Chosen, not measured."""

    # Refinement of the grid
    min_cells_across: float = 3.0
    """The smallest structure spans at least so many cells of the field. Chosen, not measured."""
    max_nodes: int = 8_000_000
    """Limit of the memory for the refined field. Chosen, not measured."""
    cell_growth: float = 1.1
    """Factor by which cells grow until this limit is met. Chosen, not measured."""
    min_piece_fraction: float = 0.25
    """Pieces thinner than this share of the same segment's thickest piece do not refine the grid. Chosen, not
    measured."""

    # Measures
    max_tolerance_of_count: float = 0.1
    """Largest relative difference allowed between the exact volume and the count of voxels. Chosen, not measured."""
    min_tolerance_of_count: float = 0.01
    """The smallest one. Chosen, not measured."""
    grid_shifts: int = 8
    """Number of shifted voxel grids from which the spread of the count is estimated. Chosen, not measured."""
    min_samples: int = 150_000
    """Fewest points at which the volumes of a structure are sampled. Chosen, not measured."""
    max_samples: int = 400_000
    """Most points; above this count voxels are not counted between the steps. Chosen, not measured."""
    max_log_determinant: float = 2.0
    """Log determinants and log volume ratios are limited to this. Chosen, not measured."""
    max_exact_diameter_mm: float = 60.0
    """The thickness of larger structures is that of a ball of their volume. Chosen, not measured."""
    mask_blur_nodes: float = 0.6
    """Standard deviation of the blur of the soft masks. Chosen, not measured."""

    # Steps
    max_rigid_log_determinant: float = 0.002
    """Structures with smaller log determinants (root mean square) move rigidly and are left alone. Chosen, not
    measured."""
    uniform_steps: int = 5
    """The first steps also make the determinant uniform inside the structures. Chosen, not measured."""
    max_steps: int = 15
    """Chosen, not measured."""
    max_step_log_volume: float = 0.6
    """Largest change of volume by one step, as a logarithm. Chosen, not measured."""
    volume_tolerance: float = 0.002
    """Steps end at a smaller relative volume error. Chosen, not measured."""
    squarings: int = 4
    """Scaling-and-squaring steps for the exponential of one step. Chosen, not measured."""
    weak_response: float = 0.4
    """A structure whose error falls to no less than this share of the last one gets longer steps. Chosen, not
    measured."""
    overshoot: float = -0.2
    """A structure whose error passes zero by more than this share gets shorter steps. Chosen, not measured."""
    gain_increase: float = 1.4
    """Factor for longer steps. Chosen, not measured."""
    gain_decrease: float = 0.6
    """Factor for shorter steps. Chosen, not measured."""
    min_gain: float = 0.5
    """Smallest factor on the error. Chosen, not measured."""
    max_gain: float = 4.0
    """Largest factor on the error. Chosen, not measured."""

    # Where the correction acts
    inner_per_shift: float = 1.5
    """The correction acts fully within this many times the shift of the structures' surface. Chosen, not measured."""
    margin_per_shift: float = 5.0
    """It fades to zero over this many times the shift. Chosen, not measured."""
    min_margin_mm: float = 8.0
    """It fades over at least so many mm. Chosen, not measured."""
    min_margin_nodes: float = 4.0
    """It fades over at least so many nodes. Chosen, not measured."""


VOLUME_PRESERVATION = VolumePreservationSettings()
