from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import logm, polar

from LightRegistrationLib.training.data.augmentation import (
    bias_field,
    cut_field_of_view,
    elastic_flow,
    random_gamma,
    random_matrix,
)

COUNT = 150


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _matrices(degrees: float, scaling: float, shift_mm: float) -> np.ndarray:
    generator = _generator()
    drawn = [random_matrix(degrees, scaling, shift_mm, generator) for _ in range(COUNT)]
    return torch.stack(drawn).double().numpy()


def test_rotations_stay_within_their_limit_about_each_axis():
    vectors = []
    for matrix in _matrices(20, 0, 0):
        np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-5)
        turn = np.rad2deg(np.real(logm(matrix[:3, :3])))
        vectors.append([turn[2, 1], turn[0, 2], turn[1, 0]])
    assert np.abs(vectors).max() <= 20.001
    assert np.abs(vectors).max(0).min() > 18
    assert np.abs(np.mean(vectors, axis=0)).max() < 3


def test_shifts_stay_within_their_limit():
    matrices = _matrices(0, 0, 5)
    assert np.abs(matrices[:, :3, 3]).max() <= 5
    assert np.abs(matrices[:, :3, 3]).max(0).min() > 4.5
    np.testing.assert_allclose(matrices[:, :3, :3], np.broadcast_to(np.eye(3), (COUNT, 3, 3)))


def test_scaling_and_shear_stay_within_their_limits():
    scaling = 0.15
    matrices = _matrices(0, scaling, 0)[:, :3, :3]
    diagonal = np.einsum("nii->ni", matrices)
    assert diagonal.min() >= (1 - scaling) * (1 - scaling / 3)
    assert diagonal.max() <= (1 + scaling) * (1 + scaling / 3)
    assert np.ptp(diagonal) > scaling
    shear = matrices[:, ~np.eye(3, dtype=bool)]
    assert scaling / 4 < np.abs(shear).max() <= scaling / 3 * (1 + scaling)


def test_no_matrix_mirrors():
    for matrix in _matrices(180, 0.5, 10):
        assert np.linalg.det(matrix) > 0.05
        np.testing.assert_array_equal(matrix[3], [0, 0, 0, 1])
        rotation, _ = polar(matrix[:3, :3])
        assert np.linalg.det(rotation) == pytest.approx(1)


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0, 4.0])
def test_an_elastic_flow_has_its_size_in_mm_whatever_the_spacing(spacing_mm):
    shape = tuple(round(n / spacing_mm) for n in (160, 128, 96))
    generator = _generator(1)
    largest, amplitude_mm = 0.0, 3.0
    for _ in range(8):
        flow_mm = elastic_flow(shape, spacing_mm, amplitude_mm, 16.0, generator) * spacing_mm
        assert tuple(flow_mm.shape) == (1, 3, *shape)
        spreads = flow_mm.std((0, 2, 3, 4))
        assert float(spreads.max() / spreads.min()) < 1.5
        largest = max(largest, float(flow_mm.std()))
    assert 0.4 * amplitude_mm < largest <= amplitude_mm


def test_an_elastic_flow_is_as_large_along_a_short_axis():
    flow_mm = 2.0 * elastic_flow((8, 64, 96), 2.0, 3.0, 16.0, _generator(4))
    spreads = flow_mm.std((0, 2, 3, 4))
    assert float(spreads.max() / spreads.min()) < 1.6


def test_an_elastic_flow_at_half_the_spacing_is_the_same_deformation():
    coarse = 4.0 * elastic_flow((12, 16, 20), 4.0, 3.0, 24.0, _generator(2))
    fine = 2.0 * elastic_flow((24, 32, 40), 2.0, 3.0, 24.0, _generator(2))
    averaged = torch.nn.functional.avg_pool3d(fine, 2)
    torch.testing.assert_close(averaged, coarse, atol=0.15, rtol=0)
    assert float(coarse.abs().max()) > 1


def test_an_elastic_flow_changes_over_the_distance_of_its_nodes():
    flow = elastic_flow((64, 64, 64), 2.0, 3.0, 32.0, _generator(3))[0].numpy()
    flow = flow - flow.mean((1, 2, 3), keepdims=True)

    def alike(voxels: int) -> float:
        return float(np.corrcoef(flow[:, voxels:].ravel(), flow[:, : flow.shape[1] - voxels].ravel())[0, 1])

    assert alike(2) > 0.95
    assert abs(alike(32)) < 0.4


def test_no_amplitude_is_no_flow():
    assert not elastic_flow((16, 18, 20), 3.0, 0.0, 32.0, _generator()).any()


def _emptied(image: torch.Tensor) -> tuple[int, bool, float]:
    """The axis that was cut, whether at its far end, and the share that is 0 there."""
    empty = image[0, 0] == 0
    for axis in range(3):
        slices = empty.flatten(1) if axis == 0 else empty.movedim(axis, 0).flatten(1)
        gone = slices.all(1)
        if gone.any():
            assert bool((empty.movedim(axis, 0)[~gone] == 0).all())
            count = int(gone.sum())
            far = bool(gone[-1])
            assert bool((gone[-count:] if far else gone[:count]).all())
            return axis, far, count / len(gone)
    return -1, False, 0.0


def test_a_cut_empties_one_end_of_one_axis_up_to_the_share():
    generator, image = _generator(), torch.ones(1, 1, 30, 40, 50)
    cuts = [_emptied(cut_field_of_view(image, 1.0, 0.4, generator)) for _ in range(COUNT)]
    assert bool((image == 1).all())
    assert {(axis, far) for axis, far, _ in cuts if axis >= 0} == {(a, f) for a in range(3) for f in (True, False)}
    shares = [share for *_, share in cuts]
    assert max(shares) <= 0.4
    assert max(shares) > 0.35
    assert np.mean(shares) == pytest.approx(0.2, abs=0.04)


def test_a_cut_has_its_probability():
    generator, image = _generator(), torch.ones(1, 1, 50, 50, 50)
    often = np.mean([_emptied(cut_field_of_view(image, 0.3, 0.5, generator))[0] >= 0 for _ in range(COUNT)])
    assert often == pytest.approx(0.3, abs=0.1)
    assert torch.equal(cut_field_of_view(image, 0.0, 0.5, generator), image)


def test_gamma_keeps_the_range_and_the_order():
    generator, image = _generator(), torch.linspace(0, 1, 101).view(1, 1, 1, 1, 101)
    exponents = []
    for _ in range(COUNT):
        changed = random_gamma(image, 0.5, generator)
        assert float(changed.min()) == 0
        assert float(changed.max()) == 1
        assert (changed.diff(dim=-1) > 0).all()
        exponents.append(float(torch.log2(torch.log(changed[..., 50]) / torch.log(image[..., 50]))))
    assert -0.5 <= min(exponents) < -0.45
    assert 0.45 < max(exponents) <= 0.5001
    outside = random_gamma(torch.tensor([-0.2, 1.3]).view(1, 1, 1, 1, 2), 0.5, generator)
    assert outside.flatten().tolist() == [0, 1]


def test_a_bias_field_is_positive_smooth_and_around_one():
    generator = _generator()
    fields = torch.cat([bias_field((24, 20, 28), 0.2, generator) for _ in range(60)])
    assert tuple(fields.shape) == (60, 1, 24, 20, 28)
    assert float(fields.min()) > 0
    assert float(fields.log().mean()) == pytest.approx(0, abs=0.02)
    assert 0.04 < float(fields.log().std()) < 0.2
    for axis in (2, 3, 4):
        assert float(fields.log().diff(dim=axis).abs().mean() / fields.log().std()) < 0.3
    assert bool((bias_field((8, 8, 8), 0.0, generator) == 1).all())
