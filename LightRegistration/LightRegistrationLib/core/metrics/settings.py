"""Tuning constants of the metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricSettings:
    """Tuning constants; only `max_surface_voxels` and `max_far_voxels` can change a result."""

    # Surface distances
    max_surface_voxels: int = 20_000
    """Number of surface voxels of a structure that are measured at most; the others are left out evenly. By sampling
    theory the rank of the percentile is then certain to 0.2 %. Chosen, not measured."""
    max_far_voxels: int = 300
    """Number of surface voxels of a structure, in each direction, whose distances beyond the neighborhood are searched
    for the mean. By sampling theory the mean is then certain to about 2 %. Chosen, not measured."""
    neighborhood_voxels: int = 500
    """Number of voxels around each surface voxel, about 5 voxels far, that are looked up before the tree of all other
    surface voxels is searched. Chosen, not measured."""
    neighborhood_groups: tuple[int, ...] = (1, 18, 80, 200, 350)
    """The neighbors are looked up in groups that end here and at `neighborhood_voxels`, the nearest first. Chosen, not
    measured."""
    min_found_fraction: float = 0.3
    """If fewer surface voxels have found the other surface after two groups, the tree is searched for the others.
    Chosen, not measured."""
    block_voxels: int = 3
    """Edge of the blocks of surface voxels of which one is searched first, to leave out most searches of the others. On
    a pair of brains with 138 structures, edges of 2, 3 and 4 voxels took 0.41, 0.34 and 0.36 s."""
    tree_leaf_points: int = 32
    """Number of surface voxels in a leaf of the tree. On the same pair, 16, 32 and 64 took 0.73, 0.65 and 0.66 s."""

    # Voxel counts
    slab_voxels: int = 1 << 20
    """Number of voxels that one thread counts at once. Chosen, not measured."""
    table_size: int = 1 << 20
    """Label values below this are found by a table, others by a slower search. Chosen, not measured."""


METRICS = MetricSettings()
