"""Maps of a displacement field against analytic fields, and folds that a coarse grid must not lose."""

from __future__ import annotations

import numpy as np
import pytest

from LightRegistrationLib.core.deformation.jacobian import compute_corner_determinants
from LightRegistrationLib.core.geometry.geometry import Geometry, apply_affine, homogeneous
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.review.deformation_maps import (
    coarsen_geometry,
    compute_deformation_maps,
    compute_deformation_maps_in_parts,
    find_folded_cells,
)

TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
OBLIQUE = homogeneous(TURN @ np.diag([1.5, 2.0, 1.0]), (3.0, -4.0, 5.0))
MATRIX = homogeneous([[1.2, 0.1, 0.0], [-0.05, 0.9, 0.02], [0.0, 0.0, 1.1]], (2.0, 1.0, -3.0))


def voxel_centers(geometry: Geometry) -> np.ndarray:
    axes = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
    return apply_affine(geometry.affine, np.stack(axes[::-1], axis=-1))


def field_of(matrix: np.ndarray, grid: Geometry, outside: AffineTransform | None = None) -> DisplacementField:
    points = voxel_centers(grid)
    return DisplacementField((apply_affine(matrix, points) - points).astype(np.float32), grid.affine, outside)


@pytest.mark.parametrize("has_outside", [True, False])
def test_lengths_and_determinants_of_an_affine_field(has_outside: bool) -> None:
    """With a transform outside its grid the field is affine in the whole volume, also beyond the grid."""
    grid = Geometry((6, 7, 8), OBLIQUE)
    volume = Geometry((9, 8, 10), grid.affine @ homogeneous(np.diag([0.7, 0.8, 0.55]), (0.4, 0.4, 0.4)))
    if has_outside:
        volume = Geometry((9, 8, 20), grid.affine @ homogeneous(np.eye(3), (-3, 0, -2)))
    maps = compute_deformation_maps(field_of(MATRIX, grid, AffineTransform(MATRIX) if has_outside else None), volume)
    points = voxel_centers(volume)
    lengths = np.linalg.norm(apply_affine(MATRIX, points) - points, axis=-1)
    np.testing.assert_allclose(maps.lengths_mm, lengths, atol=2e-3)
    np.testing.assert_allclose(maps.determinants, np.linalg.det(MATRIX[:3, :3]), atol=1e-3)


def test_maps_of_a_large_volume_come_in_several_parts() -> None:
    grid = Geometry((6, 7, 8), np.diag([10.0, 12.0, 14.0, 1.0]))
    field = field_of(MATRIX, grid)
    small, large = (Geometry((n, n, n), homogeneous(np.eye(3) * 60 / n, (5, 5, 5))) for n in (12, 80))
    assert len(list(compute_deformation_maps_in_parts(field, small))) == 0
    assert len(list(compute_deformation_maps_in_parts(field, large))) > 1
    maps = compute_deformation_maps(field, large)
    np.testing.assert_allclose(maps.determinants[::9, ::9, ::9], np.linalg.det(MATRIX[:3, :3]), atol=1e-3)


def test_determinants_of_a_curved_field() -> None:
    """x -> x + 0.1 x² along one axis has the determinant 1 + 0.2 x."""
    grid = Geometry((4, 4, 41), np.diag([0.25, 1.0, 1.0, 1.0]))
    x = voxel_centers(grid)[..., 0]
    array = np.stack([0.1 * x**2, np.zeros_like(x), np.zeros_like(x)], axis=-1).astype(np.float32)
    volume = Geometry((3, 3, 19), homogeneous(np.diag([0.5, 1, 1]), (0.4, 0, 0)))
    maps = compute_deformation_maps(DisplacementField(array, grid.affine), volume)
    expected = 1 + 0.2 * voxel_centers(volume)[..., 0]
    np.testing.assert_allclose(maps.determinants, expected, atol=0.03)


def test_folded_cells_are_those_with_a_nonpositive_corner() -> None:
    array = np.random.default_rng(0).normal(0, 0.4, (9, 6, 8, 3)).astype(np.float32)
    field = DisplacementField(np.tile(array, (4, 1, 1, 1)), OBLIQUE)
    smallest = compute_corner_determinants(field).min(axis=0)
    cells, values = find_folded_cells(field)
    assert 0 < len(cells) < smallest.size
    assert (np.argwhere(smallest <= 0) == cells).all()
    np.testing.assert_allclose(values, smallest[smallest <= 0], atol=1e-5)


def test_a_single_folded_cell_is_in_the_map_of_a_coarser_and_of_a_finer_grid() -> None:
    array = np.zeros((40, 40, 40, 3), np.float32)
    array[17, 23, 30] = -1.5, 0.0, 0.0
    field = DisplacementField(array, np.eye(4))
    coarse = Geometry((8, 8, 8), homogeneous(5 * np.eye(3), (2, 2, 2)))
    fine = Geometry((60, 60, 60), homogeneous(0.5 * np.eye(3), (8, 8, 8)))
    for volume in (coarse, fine):
        maps = compute_deformation_maps(field, volume)
        folded = np.argwhere(maps.determinants <= 0)
        assert len(folded)
        places = apply_affine(volume.affine, folded[:, ::-1])
        assert np.abs(places - (30, 23, 17)).max() <= max(volume.spacing_mm[0], 1)
    # On the fine grid, all of the folded cells is marked.
    folded = find_folded_cells(field)[0]
    assert (maps.determinants <= 0).sum() == pytest.approx(len(folded) * 8, rel=0.01)


def test_a_coarser_grid_covers_the_same_box() -> None:
    geometry = Geometry((30, 100, 90), OBLIQUE)
    coarse = coarsen_geometry(geometry, 20_000)
    assert 10_000 < np.prod(coarse.shape) <= 20_000
    assert (coarse.spacing_mm >= geometry.spacing_mm - 1e-9).all()
    for corner in ((0, 0, 0), (1, 1, 1), (1, 0, 1)):
        ends = [apply_affine(g.affine, np.array(corner) * g.size_ijk - 0.5) for g in (geometry, coarse)]
        np.testing.assert_allclose(*ends, atol=1e-6)
    assert coarsen_geometry(geometry, 10**6).matches(geometry)
