"""Two heads in two contrasts: matched by MIND, closer than by the affine stage alone, with a warning."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from LightRegistrationLib.commands.phantom.pair import PhantomPair, make_phantom_pair
from LightRegistrationLib.core.geometry.transforms import AffineTransform, DisplacementField
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.metrics.overlap import compare_segmentations
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.registration import _prepare_pair, _Stages, register
from LightRegistrationLib.core.result.progress import Stage, ignore_progress
from LightRegistrationLib.core.result.result import RegistrationResult
from LightRegistrationLib.core.result.settings import NO_GUIDANCE, RegistrationSettings
from LightRegistrationLib.core.sampling.warping import warp_segmentation

from ... import quick_model


@lru_cache
def heads() -> PhantomPair:
    return make_phantom_pair(spacing_mm=2.5)


def as_in_t2(volume: Volume) -> Volume:
    """Bright fluid, dark white matter; air stays dark."""
    values = volume.array / np.percentile(volume.array, 99)
    return Volume(np.where(values > 0.1, 1.15 - values, values).clip(0).astype(np.float32), volume.affine, "T2")


def mean_dice(field: DisplacementField) -> float:
    pair = heads()
    warped = warp_segmentation(pair.moving_segmentation, field, pair.fixed.geometry)
    scores = compare_segmentations(
        pair.fixed_segmentation, pair.moving_segmentation, warped, pair.fixed.geometry, surfaces=False
    )
    return float(np.mean([score.after.dice for score in scores]))


def alone(initial: AffineTransform) -> DisplacementField:
    points = heads().fixed.geometry.points_mm
    return DisplacementField(initial(points) - points, heads().fixed.affine)


@lru_cache
def registered(refine: str) -> RegistrationResult:
    pair = heads()
    # The steps of `fast` take ten seconds on the grid of a bundled model.
    model = "general" if refine == "none" else quick_model.NAME
    settings = RegistrationSettings(model=model, refine=refine)
    return register(pair.fixed, as_in_t2(pair.moving), settings)


@pytest.mark.parametrize("refine", ["none", "fast"])
def test_structures_match_better_than_after_the_affine_stage(refine):
    result = registered(refine)
    assert mean_dice(result.field) > mean_dice(alone(result.initial)) + 0.05
    assert result.jacobian.percent_nonpositive == 0


def test_the_multimodal_steps_are_in_the_result():
    result = registered("none")
    assert result.refinement.metric == "MIND"
    assert result.refinement.preset == "none"
    assert result.refinement.similarity_after > result.refinement.similarity_before
    assert any("multimodal" in line for line in result.warnings)
    assert Stage.MULTIMODAL in result.seconds


def test_steps_that_undo_the_match_of_the_edges_are_not_taken():
    """Whichever of two deformations the network and the steps found, the one that matches the edges is kept."""
    pair = heads()
    settings = RegistrationSettings(model="general")
    with torch.inference_mode():
        volumes = pair.fixed, as_in_t2(pair.moving)
        aligned = _prepare_pair(*volumes, settings, NO_GUIDANCE, ModelRegistry(), _Stages(ignore_progress))
        unmoved = aligned.make_identity()
        moved = aligned.make_refinement(NO_GUIDANCE).take_multimodal_steps(unmoved)
        for found, stepped in ((unmoved, moved), (moved, unmoved)):
            assert torch.equal(aligned.accept_steps(found, stepped).flow, moved.flow)


def test_single_contrast_pairs_get_no_multimodal_steps():
    pair = heads()
    result = register(pair.fixed, pair.moving, RegistrationSettings(model="general"))
    assert result.refinement is None
    assert not any("multimodal" in line for line in result.warnings)
    assert Stage.MULTIMODAL not in result.seconds
