"""Tuning constants of the follow-up mode."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UnmatchedSettings:
    """How unmatched tissue is found.

    fit_sigma_mm: the line that predicts the moving intensities from the fixed ones changes over this distance, as the
    sensitivity of coils does. Chosen; far wider than most lesions.
    fit_pooling: blocks of so many voxels along each axis over which the line is computed. Chosen, for time.
    fit_rounds: the line is fitted so often, from the second time on without what it does not explain. Chosen.
    min_slope, max_slope: limits of the slope of that line. Chosen.
    min_variance: added to variance and covariance (intensities 0 to 1), so that the line is y = x in uniform regions.
    Chosen.
    min_intensity: a voxel belongs to the body if it is brighter (0 to 1) in either scan. Chosen.
    edge_voxels: misalignment of edges, voxels, that counts as no difference. Chosen.
    noise_sigma_voxels: the difference is smoothed by this Gaussian first. Chosen.
    min_noise: least standard deviation of the noise (intensities 0 to 1), so that what the line misses in images
    without noise is no change. Chosen.
    min_difference: least difference, in robust standard deviations, that is no noise. Chosen.
    grown_difference, grow_voxels: from there a place grows through smaller differences, by so many voxels. Chosen.
    min_mm3: places with a smaller volume above `min_difference` are no change. Chosen.
    closing_voxels: gaps of up to twice this width inside a place belong to it. Chosen.
    margin_voxels: what is so near to a place is left out too, since interpolation mixes it in. Chosen.
    """

    fit_sigma_mm: float = 25.0
    fit_pooling: int = 4
    fit_rounds: int = 3
    min_slope: float = 0.75
    max_slope: float = 1.35
    min_variance: float = 2e-3
    min_intensity: float = 0.05
    edge_voxels: float = 0.5
    noise_sigma_voxels: float = 0.7
    min_noise: float = 0.01
    min_difference: float = 3.0
    grown_difference: float = 1.5
    grow_voxels: int = 4
    min_mm3: float = 25.0
    closing_voxels: int = 3
    margin_voxels: int = 2


@dataclass(frozen=True)
class FollowUpSettings:
    """Tuning constants; volumes and found changes with these values: `Testing/Benchmarks/follow_up.py`.

    headroom: the intensities that become 0 and 1 for the model lie this factor nearer to each other than those here, so
    that a lesion brighter than all tissue is not clipped to it. Chosen.
    driving: the unmatched tissue that drives no deformation, found while misalignment remains.
    listed: the unmatched tissue in the list, found after the registration: edges lie closer, so that less is forgiven,
    and small places need clearer differences. Chosen on a few pairs of that benchmark.
    min_matched_fraction: a voxel of a coarser level counts only where so much of it has a counterpart. Chosen.
    coarsest, passes: factor of the refinement grid's spacing at which the optimization begins; how often the unmatched
    tissue is found and the optimization begins anew. Chosen.
    update_voxels, elastic_voxels: of the refinement, stiffer than between people. Chosen on that benchmark's known
    deformations: with 2.0 and 1.0 a lesion of 10 ml lost 11 % where its edge was not found, with these nothing.
    max_unmatched, max_volume_changes: largest numbers of places in the list. Chosen.
    min_log_jacobian: a place changes its volume where the logarithm of the determinant is larger. Chosen.
    min_volume_change_mm3: smaller changes of volume are not listed. Chosen.
    """

    headroom: float = 1.5
    driving: UnmatchedSettings = UnmatchedSettings()
    listed: UnmatchedSettings = UnmatchedSettings(edge_voxels=0.25, min_difference=3.5, min_mm3=12.0)
    min_matched_fraction: float = 0.5
    coarsest: int = 4
    passes: int = 2
    update_voxels: float = 3.0
    elastic_voxels: float = 1.5
    max_unmatched: int = 20
    max_volume_changes: int = 5
    min_log_jacobian: float = 0.03
    min_volume_change_mm3: float = 50.0


FOLLOW_UP = FollowUpSettings()
