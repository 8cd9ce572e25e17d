"""Multimodal or single contrast: measured on images of heads and of analytic curves, also if not well aligned."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from LightRegistrationLib.commands.phantom.pair import make_head
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.network.grid import compute_network_grid, resample_to_grid, shrink
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.network.settings import GridSettings
from LightRegistrationLib.core.refinement.multimodal import choose_metric, measure_multimodality


@lru_cache
def phantom(seed: int) -> Volume:
    return make_head(seed, 3.0)[0]


def head(seed: int, remap=None) -> torch.Tensor:
    volume = phantom(seed)
    if remap is not None:
        values = volume.array.astype(np.float32) / np.percentile(volume.array, 99)
        volume = Volume(remap(values), volume.affine, volume.name)
    grid = compute_network_grid(phantom(3).geometry, GridSettings(3.0))
    return resample_to_grid(shrink(volume, 3.0, IntensityNormalization()), grid, np.eye(4)).tensor


def as_in_t2(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0.1, 1.15 - values, values)


def test_two_heads_of_the_same_contrast_are_single_contrast():
    assert choose_metric(head(3), head(4)) == "correlation"


@pytest.mark.parametrize("gain", [lambda v: v**0.6, lambda v: v**1.6], ids=["flat", "steep"])
def test_a_change_of_gamma_is_single_contrast(gain):
    assert choose_metric(head(3), head(4, gain)) == "correlation"


@pytest.mark.parametrize("moved", [0, 2])
@pytest.mark.parametrize("swapped", [False, True])
def test_bright_fluid_is_multimodal(moved, swapped):
    pair = [head(3), torch.roll(head(4, as_in_t2), moved, -1)]
    assert choose_metric(*(pair[::-1] if swapped else pair)) == "MIND"


def test_multimodality_equals_that_of_an_analytic_curve():
    """Of y = (2 x - 1)², x even from 0 to 1, a line explains nothing and the curve all; and back, nothing."""
    x = torch.linspace(0.1, 0.9, 40**3)[torch.randperm(40**3, generator=torch.Generator().manual_seed(0))]
    x = x.reshape(1, 1, 40, 40, 40)
    y = (2 * x - 1).square() + 0.1
    assert measure_multimodality(x, y) == pytest.approx(1, abs=0.02)
    assert measure_multimodality(x, x) == pytest.approx(0, abs=0.01)
    assert measure_multimodality(x, 1 - x) == pytest.approx(1, abs=0.01)


def test_regions_seen_in_only_one_image_do_not_count():
    fixed, moving = head(3), head(4)
    cut = moving.clone()
    cut[..., : fixed.shape[-1] // 2] = 0
    assert measure_multimodality(fixed, cut) == pytest.approx(measure_multimodality(fixed, moving), abs=0.05)
    assert choose_metric(fixed, torch.zeros_like(moving)) == "correlation"
