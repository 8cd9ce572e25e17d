"""Tuning constants of the affine stage.

`Testing/Benchmarks/affine_start.py` measures the stage as a whole: Dice, landmark error and CPU seconds on pairs of
five anatomies, as loaded and with changed headers. Each number below says whether it was also measured on its own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AffineSettings:
    """Tuning constants. "Merit" is the correlation times the square root of the overlap fraction, at most 1."""

    # Initial alignment
    min_field_of_view_fraction: float = 0.05
    """Below this share of common field of view the registration is refused. Chosen, not measured."""

    # Pyramid
    fine_spacing_mm: float = 4.0
    """Voxel size of the fine level; the other levels have two and four times as much. Chosen, not measured."""
    min_middle_voxels: int = 14
    """Fewest voxels along the shortest axis at the middle level; small fields of view get finer grids. Chosen, not
    measured; the pairs for it are those of `affine_start.py --sets hippocampus_t1`."""
    max_fine_voxels: int = 300_000
    """Large fields of view get coarser grids. Lowered from 500,000 to save time, otherwise chosen; accuracy and time:
    `affine_start.py`."""
    level_points: tuple[int, int, int] = (15_000, 5_000, 1_500)
    """Number of points that are compared at the fine, the middle and the search level. Chosen, not measured; accuracy
    and time: `affine_start.py`."""
    max_grid_voxels: int = 4_000_000
    """Limit of the memory for one level. Chosen, not measured."""
    min_body_intensity: float = 0.05
    """Brighter voxels (of intensities in 0 to 1) belong to the body. Chosen, not measured."""
    body_margin_voxels: int = 2
    """Voxels so near to the body are compared too, so that its outline counts. Chosen, not measured."""
    local_contrast_noise: float = 0.05
    """Added to the local standard deviation (intensities 0 to 1), so that noise in empty regions stays small. Chosen,
    not measured."""

    # Search of starts
    tilt_degrees: tuple[float, ...] = (-25.0, 25.0)
    """Rotations of the best start about each axis. Chosen, not measured; a tilt of 20 degrees: `affine_start.py`."""
    min_overlap_voxels: int = 20
    """Overlaps of fewer voxels are no candidates. Chosen, not measured."""
    peaks_unturned: int = 3
    """Number of translations that are kept for the header's orientation. Chosen, not measured."""
    peaks_turned: int = 2
    """Number of translations that are kept for each other orientation. Chosen, not measured."""
    peak_radius_voxels: int = 2
    """Two translations that are kept lie further apart than this. Chosen, not measured."""
    min_variance_fraction: float = 0.02
    """Overlaps with a smaller share of the image's variance correlate by chance. Chosen, not measured."""

    # Optimizer
    min_overlap_fraction: float = 0.25
    """Candidates that show a smaller share of the fixed body are rejected. Chosen, not measured; cut volumes:
    `affine_start.py`."""
    min_points: int = 50
    """Candidates with fewer points in common are rejected. Chosen, not measured."""
    lever_mm: float = 80.0
    """Rotations and scales are measured by how far they move a point at this distance. Chosen, not measured."""
    curve_knots: int = 8
    """Knots of the curve that predicts intensities of a multimodal pair. Chosen, not measured."""
    min_knot_distance: float = 0.02
    """Knots nearer to each other than this share of the intensity range are merged. Chosen, not measured."""
    channel_weights: tuple[float, float] = (1.0, 0.5)
    """Weights of the intensities and of the local contrast. Measured: equal weights are better for necks, a weight of 0
    for local contrast is better for breathing lungs; `affine_start.py --sets headneck_ct lung_ct`."""
    min_scale: float = 0.6
    """Smallest singular value of a plausible affine matrix. Chosen, not measured."""
    max_scale: float = 1.7
    """Largest singular value of a plausible affine matrix. Chosen, not measured."""
    min_correlation_gain: float = 1e-4
    """A candidate that gains less in one step is finished. Chosen, not measured; time: `affine_start.py`."""
    initial_damping: float = 1e-2
    """Damping of the first Gauss-Newton step, relative to the diagonal. Chosen, not measured."""
    min_damping: float = 1e-4
    """Chosen, not measured."""
    max_damping: float = 1e4
    """A candidate whose damping grows beyond this is finished. Chosen, not measured."""
    damping_decrease: float = 0.25
    """Factor after a step that improved the correlation. Chosen, not measured."""
    damping_increase: float = 8.0
    """Factor after a step that did not. Chosen, not measured."""

    # Decisions between candidates
    search_steps: int = 8
    """Largest number of rigid steps at the search level. Chosen, not measured; time: `affine_start.py`."""
    middle_steps: int = 10
    """The same for affine steps at the middle level. Chosen, not measured."""
    fine_steps: int = 12
    """The same for affine steps at the fine level. Chosen, not measured."""
    finalists: int = 2
    """Number of candidates, with and without a turn each, that go to the middle level. Chosen, not measured."""
    min_candidate_distance_voxels: float = 1.0
    """Candidates nearer to each other (mean, in voxels of the search level) are one. Chosen, not measured."""
    max_turn_deficit: float = 0.03
    """A turned candidate goes to the middle level unless its merit is lower by this. Chosen, not measured."""
    min_turn_gain: float = 0.06
    """A turned alignment is taken if its merit is higher by this. Chosen, not measured; turned headers:
    `affine_start.py`."""
    max_turn_remainder: float = 0.5
    """A turned alignment is chosen too if no more than this share is left of what its merit lacks to 1: where a body's
    outline makes all merits high, the gain is small. No pair whose header is right is turned by it:
    `Testing/Benchmarks/robustness.py`."""
    min_multimodal_gain: float = 0.025
    """A pair is multimodal if a curve explains this much more of the moving variance than a line. Lowered from 0.05.
    Chosen, not measured; multimodal pairs: `Testing/Benchmarks/contrast.py`."""
    good_merit: float = 0.88
    """Below it quarter turns are searched too. Between 0.82, the highest merit of a brain whose header was turned by
    90 or 120 degrees and that was aligned without a quarter turn, and 0.93, the lowest of the same brains with right
    headers: `Testing/Benchmarks/robustness.py`."""
    max_stiffness_deficit: float = 0.004
    """A stiffer transform (as loaded, rigid, similarity) is taken if its merit and its correlation are lower by no more
    than this. Volumes of one head differ by less, the brains of two people by 0.02 and more, in the merit:
    `Testing/Benchmarks/robustness.py`."""
    max_rigid_strain: float = 0.06
    """Only affine transforms whose scales all differ from 1 by less are compared with stiffer ones, which takes time:
    larger scales are no tie. Chosen; `Testing/Benchmarks/robustness.py`."""

    max_rounding_strain: float = 1e-6
    """A transform whose scales all differ from 1 by less is rigid, up to rounding."""

    # Multimodal pairs
    edge_refinement: float = 2.0
    """Their edges are compared on a grid that is finer than the fine level by this factor. Chosen: at 4 mm, correlation
    and gradients prefer a wrong alignment of T2 and FLAIR of one visit."""
    edge_points: int = 20_000
    """Number of points whose edges are compared. Chosen, not measured."""
    gradient_noise: float = 0.02
    """Gradients (intensities 0 to 1 per voxel) below this hardly count. Chosen while looking at the same pairs of one
    visit; with 0.1 the strongest edges, those of the skin, outweigh the others. `Testing/Benchmarks/same_visit.py`."""
    min_free_rotation_degrees: float = 8.0
    """An alignment of a multimodal pair that is turned by more is compared with one that starts without the rotation,
    which is taken if it is no worse: the rotation of a round body is not known. Chosen."""
    max_agreement_loss: float = 0.01
    """A stiffer transform is taken if the agreement of gradients is lower by no more than this share. Between 0.006, T1
    and FLAIR that lie 1 mm apart as loaded, and 0.15, 3 mm apart, for which 1.0 mm is about the accuracy of the
    references: `Testing/Benchmarks/same_visit.py`."""

    # Header checks
    min_offset_mm: float = 200.0
    """Smaller offsets are no error: headers of two people or scanners differ by centimeters. Chosen, not measured."""
    min_mirror_gain: float = 0.04
    """A mirror image is reported if its merit is higher by this; within it, left and right cannot be told apart.
    Chosen, not measured."""
    max_mirror_deficit: float = 0.15
    """A mirror image whose rigid merit is lower by this is not optimized further: scales and shears do not make up for
    it. Chosen, not measured; time: `affine_start.py`."""
    mirror_search_steps: int = 8
    """Largest number of rigid steps for mirror images at the search level. Chosen, not measured."""
    mirror_middle_steps: int = 10
    """The same for affine steps at the middle level. Chosen, not measured."""
    min_tilt_degrees: float = 40.0
    """Smaller rotations are no error of a header: heads are tilted. Chosen above 24, the largest of 60 crops
    for training whose headers are right."""
    min_axis_cosine: float = 0.9
    """A rotation axis nearer to R, A or S than this is named after it. Chosen, not measured."""


AFFINE = AffineSettings()
