from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.network.flows import voxel_grid
from LightRegistrationLib.training.configuration import TeacherStage, TeacherTrainingConfig
from LightRegistrationLib.training.distillation.teacher import (
    AffineStem,
    Teacher,
    TeacherConfig,
    TeacherResult,
    VolumeTweeningNetwork,
    affine_displacement,
    determinant_loss,
    orthogonality_loss,
)
from LightRegistrationLib.training.state import load_state
from LightRegistrationLib.training.trainers.teacher import TeacherTrainer, teacher_loss

from ..toy import SOURCES, RepeatedPair, drawn, losses_of


def config(**changes: object) -> TeacherTrainingConfig:
    base = {
        "name": "toy",
        "seed": 3,
        "sources": SOURCES,
        "stages": (TeacherStage(steps=3, spacing_mm=6), TeacherStage(steps=3, spacing_mm=6, rate=5e-4, final_rate=0)),
        "teacher": TeacherConfig(cascades=2, channels=2),
    }
    return TeacherTrainingConfig(**(base | changes))


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_at_full_width_the_networks_have_the_published_size():
    with torch.device("meta"):
        stem, cascade = AffineStem(16), VolumeTweeningNetwork(16, 20.0)
        features = cascade.encoder(*torch.zeros(2, 1, 1, 128, 128, 128))
    assert round(parameters(stem) / 1e6, 1) == 14.2
    assert round(parameters(cascade) / 1e6, 1) == 28.3
    assert features[-1].shape == (1, 512, 2, 2, 2)
    assert [f.shape[1] for f in features] == [16, 32, 64, 128, 256, 512]


def test_the_flow_has_the_grid_of_the_images_whatever_their_size():
    images = torch.rand(2, 2, 1, 10, 24, 17, generator=torch.Generator().manual_seed(0))
    assert Teacher(TeacherConfig(cascades=1, channels=1))(*images).flow.shape == (2, 3, 10, 24, 17)


def test_an_untrained_stem_is_the_identity_and_can_learn():
    torch.manual_seed(0)
    stem = AffineStem(2)
    matrix, offset = stem(*torch.rand(2, 3, 1, 16, 16, 16))
    assert torch.equal(matrix, torch.eye(3).expand(3, 3, 3))
    assert torch.equal(offset, torch.zeros(3, 3))
    (matrix.sum() + offset.sum()).backward()
    assert stem.matrix.weight.grad is not None
    assert float(stem.matrix.weight.grad.abs().max()) > 0


def test_the_flow_is_scaled_by_twenty_over_the_number_of_cascades():
    torch.manual_seed(0)
    one, three = VolumeTweeningNetwork(2, 20.0), Teacher(TeacherConfig(cascades=3, channels=2)).cascades[0]
    three.load_state_dict(one.state_dict())
    images = torch.rand(2, 1, 1, 16, 16, 16)
    raw = VolumeTweeningNetwork(2, 1.0)
    raw.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(*images), 20 * raw(*images))
    torch.testing.assert_close(three(*images), 20 / 3 * raw(*images))


class Analytic(torch.nn.Module):
    """Replaces a network: returns a given result and records its inputs."""

    def __init__(self, *answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer
        self.shown: list[torch.Tensor] = []

    def forward(self, moving: torch.Tensor, fixed: torch.Tensor) -> object:
        self.shown.append(moving)
        return self.answer if len(self.answer) > 1 else self.answer[0]


SHAPE = (20, 24, 28)
MATRIX = torch.tensor([[1.05, 0.10, -0.04], [-0.08, 0.97, 0.06], [0.03, -0.05, 1.02]])
OFFSET = torch.tensor([0.7, -1.1, 0.4])
MIDDLE = (torch.tensor(SHAPE[::-1]) - 1) / 2


def first(x: torch.Tensor) -> torch.Tensor:
    """A smooth displacement (3, ...) at points (3, ...), components i, j, k."""
    i, j, k = x
    return torch.stack([0.8 * torch.sin(k / 9), 0.6 * torch.cos(i / 10), 0.7 * torch.sin((i + j) / 13)])


def second(x: torch.Tensor) -> torch.Tensor:
    i, j, k = x
    return torch.stack([0.5 * torch.cos((j - k) / 11), -0.9 * torch.sin(k / 12), 0.4 * torch.cos(i / 8)])


def affine(x: torch.Tensor) -> torch.Tensor:
    column = (3, 1, 1, 1)
    moved = torch.einsum("ab,bdhw->adhw", MATRIX, x - MIDDLE.view(column))
    return moved + (MIDDLE + OFFSET).view(column)


def image(x: torch.Tensor) -> torch.Tensor:
    i, j, k = x
    return 0.5 + 0.5 * torch.sin(i / 7) * torch.cos(j / 8 + k / 9)


def analytic_teacher(*flows: object) -> tuple[Teacher, torch.Tensor]:
    grid = voxel_grid(SHAPE, torch.device("cpu"))[0]
    teacher = Teacher(TeacherConfig(cascades=len(flows), channels=1))
    teacher.stem = Analytic(MATRIX[None], OFFSET[None])  # type: ignore[assignment]
    teacher.cascades = torch.nn.ModuleList(Analytic(flow(grid)[None]) for flow in flows)  # type: ignore[operator]
    return teacher, grid


def test_one_cascade_behind_the_stem_composes_to_the_explicit_map_at_every_voxel():
    teacher, grid = analytic_teacher(first)
    flow = teacher(torch.zeros(1, 1, *SHAPE), torch.zeros(1, 1, *SHAPE)).flow
    torch.testing.assert_close(flow[0], affine(grid + first(grid)) - grid, atol=2e-5, rtol=0)


def test_two_cascades_behind_the_stem_compose_to_the_explicit_map():
    teacher, grid = analytic_teacher(first, second)
    flow = teacher(torch.zeros(1, 1, *SHAPE), torch.zeros(1, 1, *SHAPE)).flow
    inner = grid + second(grid)
    explicit = affine(inner + first(inner)) - grid
    error = (flow[0] - explicit)[:, 2:-2, 2:-2, 2:-2].abs().max()
    assert error < 0.005
    swapped = grid + first(grid)
    assert (affine(swapped + second(swapped)) - grid - explicit).abs().max() > 0.05


def test_each_cascade_sees_the_original_moving_image_warped_once_by_all_before_it():
    teacher, grid = analytic_teacher(first, second)
    moving = image(grid)[None, None]
    teacher(torch.zeros_like(moving), moving)
    inside = (slice(None), slice(None), *[slice(5, -5)] * 3)
    seen = [cascade.shown[0] for cascade in teacher.cascades]
    torch.testing.assert_close(seen[0][inside], image(affine(grid))[None, None][inside], atol=0.01, rtol=0)
    expected = image(affine(grid + first(grid)))[None, None]
    torch.testing.assert_close(seen[1][inside], expected[inside], atol=0.01, rtol=0)


def test_without_a_stem_the_cascades_stand_alone():
    teacher, grid = analytic_teacher(first)
    teacher.stem = None
    result = teacher(torch.zeros(1, 1, *SHAPE), torch.zeros(1, 1, *SHAPE))
    assert result.matrix is None
    torch.testing.assert_close(result.flow[0], first(grid))


def test_the_middle_of_the_grid_stays_where_it_is_under_a_linear_map():
    displacement = affine_displacement(MATRIX[None], torch.zeros(1, 3), (5, 7, 9))
    torch.testing.assert_close(displacement[0, :, 2, 3, 4], torch.zeros(3))


def test_stem_losses_are_zero_for_rotations_and_positive_for_shears_and_scalings():
    rotation = torch.from_numpy(Rotation.random(8, random_state=0).as_matrix())
    assert float(determinant_loss(rotation)) == pytest.approx(0, abs=1e-10)
    assert float(orthogonality_loss(rotation)) == pytest.approx(0, abs=1e-10)
    shear = torch.eye(3, dtype=torch.float64)[None].clone()
    shear[0, 0, 1] = 0.3
    assert float(determinant_loss(shear)) == pytest.approx(0, abs=1e-12)
    assert float(orthogonality_loss(shear)) > 0.1
    grown = 1.1 * rotation
    assert float(determinant_loss(grown)) == pytest.approx((1.1**3 - 1) ** 2)
    assert float(orthogonality_loss(grown)) == pytest.approx(3 * (1.1**2 + 1.1**-2 - 2))


def test_the_orthogonality_loss_against_singular_values():
    matrices = np.eye(3) + np.random.default_rng(1).normal(0, 0.3, (6, 3, 3))
    values = np.linalg.svd(matrices, compute_uv=False) ** 2
    expected = (values + 1 / values - 2).sum(1).mean()
    assert float(orthogonality_loss(torch.from_numpy(matrices))) == pytest.approx(expected, rel=1e-6)


def test_the_teachers_loss_against_numpy():
    pair = drawn()
    flows = 0.3 * torch.randn(2, 1, 3, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    matrix = torch.diag(torch.tensor([1.2, 1.0, 1.0]))[None]
    still = TeacherResult(torch.zeros(1, 3, 16, 16, 16), tuple(flows), matrix)
    terms = teacher_loss(pair, still, smoothness=2.0)
    correlation = np.corrcoef(pair.moving.flatten().numpy(), pair.fixed.flatten().numpy())[0, 1]
    squares = [np.square(np.diff(f.numpy(), axis=axis)).mean() for f in flows for axis in (2, 3, 4)]
    assert float(terms["reconstruction"]) == pytest.approx(1 - correlation, rel=1e-4)
    assert float(terms["smoothness"]) == pytest.approx(2.0 * sum(squares) / 3, rel=1e-4)
    assert float(terms["determinant"]) == pytest.approx(0.1 * 0.04, rel=1e-4)
    assert float(terms["orthogonality"]) == pytest.approx(0.1 * (1.44 + 1 / 1.44 - 2), rel=1e-4)


def test_a_resumed_teacher_has_the_losses_of_an_unbroken_one(tmp_path):
    unbroken = losses_of(TeacherTrainer(config(), tmp_path, tmp_path / "whole"))
    begun = TeacherTrainer(config(stages=config().stages[:1]), tmp_path, tmp_path / "broken")
    assert losses_of(begun) == unbroken[:3]
    resumed = TeacherTrainer(config(), tmp_path, tmp_path / "broken")
    assert resumed.resume()
    assert losses_of(resumed) == unbroken[3:]
    log = [json.loads(line) for line in (tmp_path / "broken" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in log] == [3, 6]
    assert log[0]["reconstruction"] == pytest.approx(np.mean([t["reconstruction"] for t in unbroken[:3]]), rel=1e-3)


def test_a_few_steps_on_one_pair_raise_its_correlation_and_reach_the_stem(tmp_path):
    trainer = TeacherTrainer(config(), tmp_path, tmp_path / "run")
    trainer.set_rate(2e-3)
    pair = drawn()
    terms = [trainer.train_step(RepeatedPair(pair), config().stages[0])["reconstruction"] for _ in range(12)]
    assert terms[-1] < 0.8 * terms[0]
    assert not torch.equal(trainer.teacher(pair.fixed, pair.moving).matrix[0], torch.eye(3))


def test_a_batch_holds_different_pairs(tmp_path):
    trainer = TeacherTrainer(config(batch=2), tmp_path, tmp_path / "run")
    shown = []
    trainer.teacher.register_forward_pre_hook(lambda _, images: shown.append(images))
    trainer.run()
    fixed, moving = shown[0]
    assert fixed.shape == moving.shape == (2, 1, 16, 16, 16)
    assert not torch.equal(fixed[0], fixed[1])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_state(tmp_path):
    trainer = TeacherTrainer(config(), tmp_path, tmp_path / "run")
    trainer.save()
    saved = trainer.state_file.read_bytes()
    next(trainer.teacher.parameters()).data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="teacher's deformation is not finite at step 0"):
        trainer.run()
    assert trainer.state_file.read_bytes() == saved


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_gives_one_line_and_leaves_the_last_state(tmp_path):
    trainer = TeacherTrainer(config(), tmp_path, tmp_path / "run")
    trainer.save()
    saved = trainer.state_file.read_bytes()
    (tmp_path / "run" / "state.partial").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"state\.partial: .*cannot be written") as caught:
        trainer.save()
    assert "\n" not in str(caught.value)
    assert trainer.state_file.read_bytes() == saved
    trainer.save()


def test_a_state_of_other_networks_or_a_damaged_one_is_refused(tmp_path):
    TeacherTrainer(config(), tmp_path, tmp_path / "run").save()
    wider = TeacherTrainer(config(teacher=TeacherConfig(cascades=2, channels=3)), tmp_path, tmp_path / "run")
    with pytest.raises(InputError, match=r"state\.pt: .*'toy'") as caught:
        wider.resume()
    assert "\n" not in str(caught.value)
    state = tmp_path / "run" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match="not a readable training state"):
        load_state(state)
