"""Validation during training: correct numbers, fixed pairs, and no influence on the run."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from LightRegistrationLib.core.network.flows import voxel_grid
from LightRegistrationLib.training.data.pairs import Mixture, Pair
from LightRegistrationLib.training.monitoring.validation import (
    ValidationPair,
    draw_validation_pairs,
    folding_percent,
    validate,
)

from ..toy import SHAPE, ToySource, drawn, mixture


def no_flow(pair: Pair) -> torch.Tensor:
    return torch.zeros(1, 3, *pair.fixed.shape[2:])


def shifted_pair(voxels: int) -> Pair:
    """Moving = fixed, moved toward higher i by whole voxels, two structures in it."""
    image = drawn().fixed_clean[:, :1].clone()
    image[..., -voxels:] = 0  # what is moved out of the grid would come in again at the other end
    first = (image > 0.6).float()
    labels = torch.cat([first, (image > 0.2).float() - first], dim=1)
    moved, moved_labels = (torch.roll(x, voxels, dims=4) for x in (image, labels))
    return Pair(image, moved, image, moved, labels, moved_labels)


def shift(voxels: float):
    flow = torch.zeros(1, 3, *SHAPE)
    flow[:, 0] = voxels
    return lambda pair: flow


def test_dice_and_correlation_against_independent_implementations() -> None:
    pair = shifted_pair(3)
    (case,) = validate([ValidationPair.from_pair(pair)], no_flow).cases
    numbers = case.numbers()
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    maps = [(2 * x[0, 1] + x[0, 0]).numpy().astype(np.uint8) for x in (pair.fixed_labels, pair.moving_labels)]
    overlap.Execute(*(sitk.GetImageFromArray(m) for m in maps))
    assert numbers["dice"] == pytest.approx(np.mean([overlap.GetDiceCoefficient(n) for n in (1, 2)]))
    fixed, moving = (x[0, 0].numpy() for x in (pair.fixed_clean, pair.moving_clean))
    shown = (fixed > 0.05) | (moving > 0.05)
    assert numbers["correlation"] == pytest.approx(np.corrcoef(fixed[shown], moving[shown])[0, 1], abs=1e-5)
    assert numbers["correlation"] == numbers["correlation_before"]


def test_the_flow_that_undoes_a_shift_matches_and_half_of_it_lies_between() -> None:
    kept = [ValidationPair.from_pair(shifted_pair(4))]
    found = [validate(kept, shift(voxels)).numbers() for voxels in (0.0, 2.0, 4.0)]
    for name in ("dice", "correlation"):
        assert found[0][name] < found[1][name] < found[2][name]
        assert {numbers[f"{name}_before"] for numbers in found} == {found[0][name]}
    assert found[2]["dice"] == 1
    assert found[2]["correlation"] == pytest.approx(1, abs=1e-5)


def test_folding_is_the_share_of_cells_that_turn_over() -> None:
    i = voxel_grid((9, 9, 9), torch.device("cpu"))[:, :1]
    flow = torch.zeros(1, 3, 9, 9, 9)
    assert folding_percent(flow) == 0
    flow[:, :1] = torch.where(i > 4, -1.5 * (i - 4), 0.0)
    assert folding_percent(flow) == pytest.approx(50)


def test_without_labels_there_is_no_dice() -> None:
    pair = drawn()
    bare = Pair(pair.fixed, pair.moving, pair.fixed_clean, pair.moving_clean)
    assert set(validate([ValidationPair.from_pair(bare)], no_flow).numbers()) == {
        "correlation_before",
        "correlation",
        "folding_percent",
    }


def test_the_pairs_are_always_the_same_and_drawing_them_changes_nothing_else() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    first, again, other = (draw_validation_pairs(mixture(), seed, 3) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(4), expected)
    for one, same in zip(first, again, strict=True):
        assert torch.equal(one.pair.moving, same.pair.moving)
    assert not torch.equal(first[0].pair.fixed, other[0].pair.fixed)
    assert not torch.equal(first[0].pair.fixed, drawn(1).fixed)


def test_pairs_come_from_every_source() -> None:
    class Bright(ToySource):
        def draw(self, generator: torch.Generator) -> Pair:
            pair = super().draw(generator)
            return Pair(pair.fixed + 10, pair.moving, pair.fixed_clean, pair.moving_clean)

    kept = draw_validation_pairs(Mixture([ToySource(), Bright()], [0.999, 0.001]), seed=1, count=3)
    assert [bool(k.pair.fixed.max() > 5) for k in kept] == [False, True, False]


def test_validation_needs_no_gradient() -> None:
    weight = torch.ones(1, requires_grad=True)
    (case,) = validate([ValidationPair.from_pair(drawn())], lambda pair: no_flow(pair) * weight).cases
    assert not case.flow.requires_grad
