"""The toy of the discriminators: what it draws is true, and the forms are told apart."""

from __future__ import annotations

import json
from importlib import import_module

import pytest
import torch

from LightRegistrationLib.core.network.flows import warp


def test_the_fixed_image_is_the_moving_one_under_the_true_deformation(benchmark):
    toy = import_module("critic_forms")
    pair, truth, hint = toy.draw_batch(torch.Generator().manual_seed(1), 2)
    torch.testing.assert_close(warp(pair.moving, truth), pair.fixed)
    assert float(truth.square().mean().sqrt()) == pytest.approx(toy.SIZE_VOXELS, rel=1e-4)
    assert float((hint - truth).std()) == pytest.approx(toy.HINT_NOISE, rel=0.05)


def test_only_a_form_that_compares_the_deformations_moves_the_student_to_the_teacher(benchmark, tmp_path):
    forms = ("l_rec only", "+ distance", "+ relativistic", "+ relativistic, without matching")
    done = benchmark("critic_forms", "--steps", "60", "--seeds", "1", "--output", tmp_path, "--only", *forms)
    assert done.status == 0, done.stderr
    rows = json.loads((tmp_path / "critic_forms.json").read_text(encoding="utf-8"))["rows"]
    error = {title: runs[0]["unseen"] for title, runs in rows.items()}
    assert error["l_rec only"] == pytest.approx(1, abs=0.1)
    assert error["+ distance"] < 0.8
    assert error["+ relativistic"] < 0.9
    assert error["+ relativistic, without matching"] > 0.9
    table = (tmp_path / "critic_forms.md").read_text(encoding="utf-8")
    assert set(rows) == set(forms)
    assert all(f"| {title}" in table for title in rows)
