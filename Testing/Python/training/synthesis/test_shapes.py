"""Pairs of random shapes: related by their known deformation, for all contrasts."""

from __future__ import annotations

import pytest
import torch

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.network.flows import warp
from LightRegistrationLib.training.configuration_file import load_config
from LightRegistrationLib.training.sources import ShapeSourceConfig
from LightRegistrationLib.training.synthesis.shapes import PROJECTIONS, ShapeSettings, ShapeSynthesizer

SHAPE = (32, 48, 32)
PLAIN = {"noise": 0.0, "bias": 0.0, "thick": 0.0, "cut": 0.0}


def source(labels: int = 0, **changes: float) -> ShapeSynthesizer:
    return ShapeSynthesizer(SHAPE, 4.0, ShapeSettings(**changes), labels)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_two_images_are_related_by_the_known_deformation(seed):
    """Warped by it, moving is fixed up to interpolation; by its reverse it is further away than before."""
    settings = {"smallest_mm": 40, "deformation_mm": 8, "residual_shift_mm": 8, "residual_rotation": 20}
    pair, flow = source(labels=99, **settings).draw_with_flow(generator(seed))

    def apart(by: torch.Tensor) -> float:
        difference = (warp(pair.moving_labels, by) - pair.fixed_labels).abs().sum(1)
        return float(difference[..., 5:-5, 5:-5, 5:-5].mean())

    none = torch.zeros_like(flow)
    assert float(flow.norm(dim=1).mean()) > 3
    assert apart(flow) < 0.2 * apart(none)
    assert apart(-flow) > apart(none)
    agree = torch.corrcoef(
        torch.stack([warp(pair.moving_clean, flow)[:, 0].flatten(), pair.fixed_clean[:, 0].flatten()])
    )
    assert agree[0, 1] > 0.85


def test_a_pair_has_what_a_loss_needs_and_is_repeatable():
    first, second = source(labels=3).draw(generator()), source(labels=3).draw_with_flow(generator())[0]
    for name in ("fixed", "moving"):
        image, clean, labels = (getattr(first, name + what) for what in ("", "_clean", "_labels"))
        assert image.shape == (1, 1, *SHAPE)
        assert 0 <= image.min() <= image.max() <= 1
        assert clean.shape == (1, 1 + PROJECTIONS, *SHAPE)
        assert labels.shape == (1, 3, *SHAPE)
        assert torch.equal(image, getattr(second, name))
    assert not torch.equal(first.fixed, source().draw(generator(2)).fixed)
    assert source().draw(generator()).fixed_labels is None


def test_contrasts_are_independent_or_equal():
    """Without a deformation the two images differ only in contrast."""
    still = {
        "deformation_mm": 0,
        "residual_rotation": 0,
        "residual_scaling": 0,
        "residual_shift_mm": 0,
        "background": 0,
    }
    for chance, lowest, highest in ((0.0, 0.8, 1.0), (1.0, -0.6, 0.6)):
        pair = source(independent_contrast=chance, **(PLAIN | still)).draw(generator(4))
        seen = torch.corrcoef(torch.stack([pair.fixed.flatten(), pair.moving.flatten()]))[0, 1]
        assert lowest <= seen <= highest
        assert torch.equal(pair.fixed_clean, pair.moving_clean)


def test_memberships_add_up_to_the_body():
    everything = source(labels=16, background=1.0).draw(generator()).fixed_labels.sum(1)
    assert everything.max() < 1.001
    assert everything[0, 0, 0, 0] == 0
    assert everything[0, 16, 24, 16] == pytest.approx(1)
    without = source(labels=16, background=0.0).draw(generator()).fixed_labels.sum(1)
    assert without.min() > 0.999


def test_the_size_of_shapes_follows_the_configuration():
    def edges(size_mm: float) -> float:
        clean = source(smallest_mm=size_mm, largest_mm=size_mm, background=0).draw(generator()).fixed_clean[0, 1]
        return float((torch.diff(clean, dim=0).abs() > 0.3).float().mean())

    assert edges(12) > 2 * edges(60)


def test_a_grid_that_no_network_can_work_on_is_named(tmp_path):
    path = tmp_path / "run.toml"
    start = 'name = "x"\nseed = 1\n[[stage]]\nsteps = 1\n[[source]]\nkind = "shapes"\n'
    path.write_text(start + "size_voxels = [64, 60, 64]\n")
    with pytest.raises(InputError, match=r"run\.toml: \[\[source\]\] 1 size_voxels has to be three multiples of 16"):
        load_config(path)
    path.write_text(start + "size_voxels = [32, 32, 48]\nlabels = 2\n[source.synthesis]\nshapes = 5\n")
    config = load_config(path).sources[0]
    assert isinstance(config, ShapeSourceConfig)
    opened = config.open(tmp_path, tmp_path, 3.0)
    assert opened.shape == (32, 32, 48)
    assert opened.draw(generator()).moving_labels.shape == (1, 2, 32, 32, 48)


def test_settings_that_make_no_shapes_are_refused():
    with pytest.raises(ValueError, match="shapes has to be 2 or more"):
        ShapeSettings(shapes=1)
    with pytest.raises(ValueError, match="smallest_mm above 0"):
        ShapeSettings(smallest_mm=80)
