"""Tuning constants of the refinement: what a model's card may set, and what is the same for all models.

Accuracy and CPU time with these values: `Testing/Benchmarks/comparison.py` (single contrast, methods `fast` and `best`)
and `Testing/Benchmarks/contrast.py` (multimodal pairs). "Chosen": no comparison with other values is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OptimizerSettings:
    """Tuning constants of the optimizer, the same for all models.

    longest_step_voxels: longest displacement of one update before it is smoothed, voxels of the level's grid. Chosen so
    that every update is a diffeomorphism (see `refinement.optimizer`; held by the tests of the optimizer).
    damping: added to the smoothed curvature, so that regions without structure do not move. Chosen, not measured.
    patience_steps, min_gain_per_step: a level ends when the similarity grew by less than their product in the last
    `patience_steps` steps. Chosen, not measured.
    refinement_grid_steps, finest_steps: most steps at the refinement grid and at the finest level. Chosen while looking
    at pairs of `Testing/Benchmarks/comparison.py`.
    coarse_steps_without_network: most steps at each coarser level where the start is not the network's deformation of
    two images of one contrast: multimodal pairs and follow-up. Chosen, not measured.
    multimodal_steps, multimodal_factor: steps that multimodal pairs get without a refinement, and the spacing of their
    grid as a factor of the refinement grid's. `Testing/Benchmarks/contrast.py` measures them (rows `model`): 1.61 mm
    instead of 2.66 mm after the affine stage (T1 with FLAIR, known deformation, 2 pairs); fewer steps: not recorded.
    similarity_tie: starts whose similarity after the coarse levels differs by less are taken as equally good. Chosen,
    not measured.
    headers_similarity_tie: the same where one start is as the headers say. Chosen while looking at the liver pairs of
    `Testing/Benchmarks/comparison.py`.
    """

    longest_step_voxels: float = 0.4
    damping: float = 0.01
    patience_steps: int = 4
    min_gain_per_step: float = 2e-4
    coarse_steps_without_network: int = 40
    refinement_grid_steps: int = 10
    finest_steps: int = 12
    multimodal_steps: int = 10
    multimodal_factor: int = 2
    similarity_tie: float = 0.005
    headers_similarity_tie: float = 0.01


@dataclass(frozen=True)
class ImageSettings:
    """Tuning constants of the images of the levels, the same for all models.

    margin_voxels: how far the moving image reaches beyond the edges of the fixed grid, a multiple of 8 voxels of the
    refinement grid. Chosen, not measured.
    max_voxels, finest_multiple: of the grid of the finest level: largest size, chosen for memory (the peak is a column
    of `Testing/Benchmarks/comparison.py`), and the axes' common multiple, chosen.
    min_known_fraction: a voxel counts only where interpolation or block means take at least this much from inside the
    image. Chosen, not measured.
    min_mask_fraction: the same for a mask. Chosen, not measured.
    """

    margin_voxels: int = 16
    max_voxels: int = 6_000_000
    finest_multiple: int = 4
    min_known_fraction: float = 0.99
    min_mask_fraction: float = 0.5


@dataclass(frozen=True)
class AcceptanceSettings:
    """When a deformation is kept, the same for all models; pairs with nothing to move and whole comparison:
    `Testing/Benchmarks/robustness.py`.

    pooling_voxels: edge of the blocks of the network grid over which the images are averaged first. Chosen.
    window_voxels: radius of the windows of local correlation. Chosen.
    min_intensity: darker voxels (0 to 1) of the fixed image are left out of the correlation. Chosen.
    min_known_fraction: a voxel counts only where interpolation takes this much from inside the moving image. Chosen.
    min_gain: by how much both measures must rise. Chosen.
    min_network_gain, min_local_network_gain: by how much the correlation and the local correlation must rise for a
    deformation of the network to be kept. Chosen between the gains of 48 pairs of `Testing/Benchmarks/comparison.py`
    (two people or two breathing states: at least 0.017 and 0.07), of halves and slabs of a lung (at least 0.0037 and
    0.03), and of second scans of one person, where one of the two stays small: moved and resampled up to 0.008 and
    0.012, or 0.002 and 0.054, with other noise up to 0.0015 and 0.064, since interpolation removes noise. The gains
    were read once, no command prints them; what the limits do to second scans and to halves is measured by
    `Testing/Benchmarks/robustness.py --variations rescan half slab`.
    """

    pooling_voxels: int = 2
    window_voxels: int = 2
    min_intensity: float = 0.05
    min_known_fraction: float = 0.99
    min_gain: float = 1e-4
    min_network_gain: float = 0.003
    min_local_network_gain: float = 0.02


MULTIMODAL_ACCEPTANCE = AcceptanceSettings(pooling_voxels=1, min_intensity=0.0, min_gain=0.03)
"""The same for multimodal pairs, whose edges are compared at the network grid's own spacing. Without a refinement, the
steps on contrasts of one visit, where nothing has moved, raise both measures by 0.00 to 0.02 (3 pairs), on one of them
deformed by 6 mm by 0.045 and 0.06: `Testing/Benchmarks/same_visit.py`, `Testing/Benchmarks/contrast.py`. By the same
gain the network's own deformation has to match better than the one after the steps to take its place: so it does by
0.15 and more on three synthesized abdomens, where the steps change Dice by -0.11, 0.01 and -0.02, and by 0.07 on a head
and neck whose tissues were changed by up to 80 HU (-0.02); in a fourth abdomen both come near the limit (0.05, 0.028).
On eight real or remapped contrasts the edges match better after the steps, by 0.00 to 0.11. These were read once, no
command prints them; what the choice does is measured by `Testing/Benchmarks/model_choice.py`."""


@dataclass(frozen=True)
class CorrelationSettings:
    """Tuning constants of local correlation, the same for all models; intensities are 0 to 1.

    min_variance: added to the variances of a window, so that noise in uniform regions has no weight. Chosen, not
    measured.
    min_window_fraction: a voxel counts only where at least this much of its window does. Chosen, not measured.
    """

    min_variance: float = 1e-4
    min_window_fraction: float = 0.25


@dataclass(frozen=True)
class MindSettings:
    """Tuning constants of the MIND similarity, the same for all models.

    patch_radius_voxels, neighbor_distance_voxels: radius of the compared patches, distance to the neighbors. The
    smallest ones; larger ones: not measured.
    min_noise_ratio, max_noise_ratio: limits of the noise estimate at a voxel, as factors of its mean over the image.
    Those of the authors.
    min_spread: least variance of the fixed image's descriptors, so that a uniform image divides by no zero. Chosen.
    min_patch_fraction: a voxel counts only where this much of its neighborhood does; 1 up to rounding. Chosen.
    finest: factor of the refinement grid's spacing where `best` ends. Not below 1: twelve channels on a finer grid
    would take too much memory; not measured.
    """

    patch_radius_voxels: int = 1
    neighbor_distance_voxels: int = 1
    min_noise_ratio: float = 1e-3
    max_noise_ratio: float = 1e3
    min_spread: float = 1e-3
    min_patch_fraction: float = 0.999
    finest: float = 1.0


@dataclass(frozen=True)
class MultimodalSettings:
    """Tuning constants of the decision between single contrast and multimodal, the same for all models.

    max_single_contrast_gain: largest gain of a curve over a line (`multimodal.measure_multimodality`) that counts as
    single contrast. Measured by `Testing/Benchmarks/contrast.py` (set `choice`): 53 single-contrast pairs (T1, CT,
    abdominal MRI) up to 0.044, 8 pairs of T1 with FLAIR at least 0.279.
    min_intensity: voxels that are darker (0 to 1) in either image count as air. Chosen, not measured.
    edge_voxels: voxels this near to air are left out. Chosen, not measured.
    min_voxels: with fewer voxels left, a pair counts as single contrast. Chosen, not measured.
    bins: number of intensity bins of the curve. Chosen, not measured.
    """

    max_single_contrast_gain: float = 0.07
    min_intensity: float = 0.03
    edge_voxels: int = 2
    min_voxels: int = 200
    bins: int = 24


@dataclass(frozen=True)
class RefinementSettings:
    """How a model's deformations are refined.

    A model's card may set each of the plain fields under `refinement`; the last seven are the same for all models.

    spacing_mm: of the refinement grid, on which `fast` ends; 0: the network grid. So a network can work on a coarser
    grid than its refinement.
    update_voxels, elastic_voxels: sigma of the Gaussians that smooth each update and the total displacement, voxels of
    the level's grid; more is stiffer. The cards' values were chosen while looking at pairs of
    `Testing/Benchmarks/comparison.py`; SD log J and folding there show their effect.
    window_voxels: radius of the window of local correlation. Chosen while looking at the same pairs.
    coarse_steps: most steps at each level coarser than the refinement grid; fewer where the network leaves little to do
    there. Chosen while looking at pairs of `Testing/Benchmarks/comparison.py`.
    coarsest: factor of the refinement grid's spacing at which the refinement begins: 1, 2, 4 or 8; more for larger
    motion that the network may have missed. Chosen while looking at the same pairs.
    finest: factor of the refinement grid's spacing at which `best` ends. `Testing/Benchmarks/comparison.py` measures it
    (`best` beside `fast`: Dice 0.652 and 0.634 on 15 brain pairs); other factors: not recorded.
    headers: try also the positions of the headers as start, as for two scans of one session, and keep that start if it
    is as good. Measured on liver MRI by `Testing/Benchmarks/comparison.py`; without it: not recorded.
    min_headers_similarity: that start is tried only if its similarity is at least this factor of the similarity of the
    network's deformation. Chosen, not measured.
    multimodal_update_voxels, multimodal_elastic_voxels: in place of the first two for multimodal pairs, in which each
    voxel has less information. `Testing/Benchmarks/contrast.py` measures them with MIND and local correlation (`known`:
    0.90 and 1.59 mm, local correlation with the softer default 6.66 mm).
    """

    spacing_mm: float = 0.0
    update_voxels: float = 1.0
    elastic_voxels: float = 0.5
    window_voxels: int = 2
    coarse_steps: int = 40
    coarsest: int = 2
    finest: float = 0.625
    headers: bool = False
    min_headers_similarity: float = 0.5
    multimodal_update_voxels: float = 2.5
    multimodal_elastic_voxels: float = 1.0
    optimizer: OptimizerSettings = OptimizerSettings()
    images: ImageSettings = ImageSettings()
    acceptance: AcceptanceSettings = AcceptanceSettings()
    multimodal_acceptance: AcceptanceSettings = MULTIMODAL_ACCEPTANCE
    correlation: CorrelationSettings = CorrelationSettings()
    mind: MindSettings = MindSettings()
    multimodal: MultimodalSettings = MultimodalSettings()


REFINEMENT = RefinementSettings()
