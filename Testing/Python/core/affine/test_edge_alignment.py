"""Two contrasts of one head: as loaded where the headers are right, a rigid transform where the head has moved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from LightRegistrationLib.commands.phantom.pair import make_head
from LightRegistrationLib.core.affine.stage import align_affine
from LightRegistrationLib.core.geometry.geometry import apply_affine, homogeneous
from LightRegistrationLib.core.geometry.volume import Volume
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.training.evaluation.files import read_volume

DATA = os.environ.get("LIGHTREG_DATA")
TO_LPS = np.array([-1.0, -1.0, 1.0])


HEAD = make_head(3, 3.0)[0]
CENTER = HEAD.geometry.center_mm


def other_contrast(seed: int, motion: np.ndarray | None = None) -> Volume:
    """The head in a contrast where all tissues are inverted, with noise; motion: 4x4, fixed -> moving, RAS mm."""
    values = HEAD.array.astype(np.float32) / np.percentile(HEAD.array, 99)
    values = np.where(values > 0.1, 1.15 - values, values)
    if motion is not None:
        indices = apply_affine(np.linalg.inv(HEAD.affine) @ np.linalg.inv(motion), HEAD.geometry.points_mm)
        values = map_coordinates(values, np.moveaxis(indices[..., ::-1], -1, 0), order=1)
    noise = np.random.default_rng(seed).normal(scale=0.02, size=values.shape)
    return Volume((1000 * (values + noise)).astype(np.float32), HEAD.affine, "other contrast")


def displacements_mm(transform: Callable[[np.ndarray], np.ndarray], truth: np.ndarray) -> np.ndarray:
    points = CENTER + np.random.default_rng(1).uniform(-50, 50, (500, 3))
    return np.linalg.norm(transform(points) - apply_affine(truth, points), axis=1)


@pytest.mark.parametrize("seed", [1, 2])
def test_two_contrasts_of_one_visit_stay_as_loaded(seed):
    found = align_affine(HEAD, other_contrast(seed), IntensityNormalization())
    np.testing.assert_array_equal(found.transform.matrix, np.eye(4))


def test_two_contrasts_of_a_head_that_moved_get_a_rigid_transform():
    rotation = Rotation.from_rotvec((5, -4, 6), degrees=True).as_matrix()
    motion = homogeneous(rotation, CENTER - rotation @ CENTER + (6, -4, 8))
    found = align_affine(HEAD, other_contrast(1, motion), IntensityNormalization()).transform
    assert displacements_mm(found, motion).max() < 1.0
    np.testing.assert_allclose(np.linalg.svd(found.matrix[:3, :3], compute_uv=False), 1, atol=1e-3)


def test_nothing_is_deformed_between_two_contrasts_of_one_visit():
    moved = displacements_mm(register(HEAD, other_contrast(3)).field, np.eye(4))
    assert np.median(moved) < 0.05
    assert moved.max() < 0.5


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="needs real volumes in LIGHTREG_DATA")
def test_real_contrasts_of_one_visit_end_no_worse_than_as_loaded():
    """T2 with FLAIR, which lie within 0.5 mm of the reference as loaded, and T1 with FLAIR, 3 mm apart."""
    pairs = json.loads((Path(DATA) / "manifest.json").read_text(encoding="utf-8"))["pairs"]
    for kind, limit_mm in (("t2w", 0.1), ("t1w", -1.5)):
        pair = next(
            p for p in pairs if p["id"].endswith(f"ms_patient12_{kind}_study1") and p.get("reference_transform")
        )
        fixed, moving = (read_volume(Path(DATA) / pair[role]) for role in ("fixed", "moving"))
        reference = sitk.ReadTransform(str(Path(DATA) / pair["reference_transform"]))
        center = fixed.geometry.center_mm
        points = center + np.random.default_rng(1).uniform(-45, 45, (300, 3))
        truth = np.array([reference.TransformPoint(tuple(map(float, p))) for p in points * TO_LPS]) * TO_LPS
        result = register(fixed, moving)
        loaded = np.linalg.norm(points - truth, axis=1).mean()
        for found in (result.initial(points), result.field(points)):
            assert np.linalg.norm(found - truth, axis=1).mean() < loaded + limit_mm
