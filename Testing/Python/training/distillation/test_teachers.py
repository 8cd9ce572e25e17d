"""Teachers of every kind: what they teach, what they leave out, and that bad input is one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.network.cascade import CascadeConfig, RecursiveCascade
from LightRegistrationLib.core.network.flows import warp
from LightRegistrationLib.core.refinement.settings import REFINEMENT
from LightRegistrationLib.training.configuration import DistillationConfig, DistillationStage
from LightRegistrationLib.training.data.pairs import Pair, join
from LightRegistrationLib.training.distillation.aldk import KnowledgeConfig, reconstruction_loss
from LightRegistrationLib.training.distillation.discriminator import DiscriminatorConfig
from LightRegistrationLib.training.distillation.lesson import Lesson
from LightRegistrationLib.training.distillation.refinement_teacher import RefinementTeacher
from LightRegistrationLib.training.distillation.store import StoreConfig
from LightRegistrationLib.training.distillation.stored_teacher import StoredFieldsTeacher
from LightRegistrationLib.training.distillation.teaching import TeachingConfig
from LightRegistrationLib.training.trainers.distillation import DistillationTrainer
from LightRegistrationLib.training.trainers.teachers import open_teacher

from ..toy import SHAPE, SOURCES, RepeatedPair, drawn

COARSE = replace(REFINEMENT, coarsest=2)


def config(**changes: object) -> DistillationConfig:
    base = {
        "name": "toy",
        "seed": 3,
        "sources": SOURCES,
        "stages": (DistillationStage(steps=3, spacing_mm=6),),
        "student": CascadeConfig(cascades=1),
        "knowledge": KnowledgeConfig(kind="distance", every=1),
        "critic": DiscriminatorConfig(channels=(2, 2)),
        "store": StoreConfig(3, "full"),
        "bfloat16": False,
    }
    return DistillationConfig(**(base | changes))


class FixedLesson:
    """A teacher that says the same of every pair."""

    def __init__(self, flow: torch.Tensor, is_taught: bool = True) -> None:
        self.flow = flow
        self.is_taught = is_taught
        self.identity: Mapping[str, Any] = {"kind": "fixed"}

    def teach(self, pair: Pair, number: int | None = None) -> Lesson:
        return Lesson(self.flow, torch.tensor([self.is_taught]))


def without_overlap(pair: Pair) -> Pair:
    """The same pair with a moving image in which nothing is seen."""
    nothing = torch.zeros_like(pair.moving)
    return replace(pair, moving=nothing, moving_clean=torch.zeros_like(pair.moving_clean))


def test_the_refinement_matches_the_noise_free_images_better_than_the_students_deformation():
    torch.manual_seed(0)
    student = RecursiveCascade(CascadeConfig(cascades=1))
    pair = drawn(4)
    for start in (None, student):
        lesson = RefinementTeacher(start, COARSE).teach(pair)
        assert lesson.flow.shape == (1, 3, *SHAPE)
        assert bool(lesson.is_taught[0])
        clean = pair.moving_clean[:, :1], pair.fixed_clean[:, :1]
        before, after = reconstruction_loss(*clean), reconstruction_loss(warp(clean[0], lesson.flow), clean[1])
        assert float(after) < 0.5 * float(before)


def test_a_refinement_without_gain_is_not_taught_and_a_batch_keeps_its_order():
    batch = join([drawn(4), without_overlap(drawn(5)), drawn(6)])
    lesson = RefinementTeacher(None, COARSE).teach(batch)
    assert lesson.is_taught.tolist() == [True, False, True]
    torch.testing.assert_close(lesson.flow[2:], RefinementTeacher(None, COARSE).teach(drawn(6)).flow)
    assert torch.isfinite(lesson.flow).all()


def test_a_pair_that_is_not_taught_changes_the_student_as_if_there_were_no_teacher(tmp_path):
    weights = []
    for name, kind, flow in (("off", "none", 0.0), ("untaught", "distance", 5.0)):
        teacher = FixedLesson(torch.full((1, 3, *SHAPE), flow), is_taught=False)
        knowledge = KnowledgeConfig(kind=kind, every=1)
        trainer = DistillationTrainer(config(knowledge=knowledge), teacher, tmp_path, tmp_path / name)
        trainer.set_rate(1e-3)
        assert "knowledge" not in trainer.train_step(RepeatedPair(), config().stages[0])
        weights.append([p.detach().clone() for p in trainer.student.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_a_run_says_how_many_pairs_its_store_does_not_teach(tmp_path):
    class Sometimes(FixedLesson):
        def teach(self, pair: Pair, number: int | None = None) -> Lesson:
            return Lesson(self.flow, torch.tensor([number != 1]))

    teacher = Sometimes(torch.zeros(1, 3, *SHAPE))
    trainer = DistillationTrainer(config(), teacher, tmp_path, tmp_path / "run", store=tmp_path / "store")
    trainer.run()
    assert trainer.notes["untaught"] == "1 of 3"
    nothing = FixedLesson(torch.zeros(1, 3, *SHAPE), is_taught=False)
    other = DistillationTrainer(config(), nothing, tmp_path, tmp_path / "other", store=tmp_path / "nothing")
    with pytest.raises(InputError, match="6mm: the teacher teaches none of the 3 pairs"):
        other.run()


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (torch.full((1, 3, *SHAPE), float("nan")), r"pair 0: the teacher's deformation has values that are not finite"),
        (torch.zeros(1, 3, 8, 8, 8), r"pair 0: the teacher's field is \(1, 3, 8, 8, 8\)"),
    ],
    ids=["not finite", "another grid"],
)
def test_a_bad_deformation_is_named_and_leaves_nothing_half_written(flow, said, tmp_path):
    folder = tmp_path / "store"
    bad = DistillationTrainer(config(), FixedLesson(flow), tmp_path, tmp_path / "run", store=folder)
    with pytest.raises(InputError, match=said) as caught:
        bad.run()
    assert "\n" not in str(caught.value)
    assert [file.name for file in (folder / "6mm").iterdir()] == ["index.json"]
    with pytest.raises(InputError, match=said.replace("pair 0", "step 0")):
        DistillationTrainer(config(), FixedLesson(flow), tmp_path, tmp_path / "without").run()
    good = FixedLesson(torch.zeros(1, 3, *SHAPE))
    DistillationTrainer(config(), good, tmp_path, tmp_path / "run", store=folder).run()
    assert (folder / "6mm" / "00000.json").exists()


def write_fields(folder: Path, count: int, shape: tuple[int, ...] = SHAPE) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        np.save(folder / f"{number:05d}.npy", np.full((3, *shape), number / 2, dtype=np.float64))
    return folder


def test_stored_fields_reach_the_store_pair_by_pair(tmp_path):
    teacher = StoredFieldsTeacher(write_fields(tmp_path / "fields", 3))
    trainer = DistillationTrainer(config(), teacher, tmp_path, tmp_path / "run", store=tmp_path / "store")
    trainer.run()
    for number in range(3):
        _, lesson = trainer.store.read(number)
        torch.testing.assert_close(lesson.flow, torch.full((1, 3, *SHAPE), number / 2))


def test_stored_fields_that_are_missing_or_of_another_grid_are_named(tmp_path):
    pair = drawn()
    with pytest.raises(InputError, match=r"there are no fields \(00000\.npy"):
        StoredFieldsTeacher(tmp_path / "nowhere")
    few = StoredFieldsTeacher(write_fields(tmp_path / "few", 1))
    with pytest.raises(InputError, match=r"00002\.npy: this field cannot be read; the store needs one for each"):
        few.teach(pair, 2)
    with pytest.raises(InputError, match="stored fields belong to the pairs of a store"):
        few.teach(pair)
    other = StoredFieldsTeacher(write_fields(tmp_path / "other", 1, (4, 4, 4)))
    with pytest.raises(InputError, match=r"00000\.npy: the teacher's field is \(1, 3, 4, 4, 4\)"):
        other.teach(pair, 0)
    (tmp_path / "few" / "00000.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match=r"00000\.npy: this field cannot be read"):
        few.teach(pair, 0)


def test_teachers_that_say_something_else_have_another_identity(tmp_path):
    torch.manual_seed(0)
    student = RecursiveCascade(CascadeConfig(cascades=1))
    write_fields(tmp_path / "a", 2)
    write_fields(tmp_path / "b", 3)
    identities = [
        RefinementTeacher(None, COARSE).identity,
        RefinementTeacher(None, replace(COARSE, elastic_voxels=0.7)).identity,
        RefinementTeacher(student, COARSE).identity,
        StoredFieldsTeacher(tmp_path / "a").identity,
        StoredFieldsTeacher(tmp_path / "b").identity,
    ]
    assert len({str(identity) for identity in identities}) == len(identities)
    assert RefinementTeacher(None, COARSE).identity == identities[0]
    trainer = DistillationTrainer(config(), RefinementTeacher(None, COARSE), tmp_path, tmp_path / "run")
    trainer.save()
    with pytest.raises(InputError, match="started with another teacher"):
        DistillationTrainer(config(), RefinementTeacher(student, COARSE), tmp_path, tmp_path / "run").resume()


def test_a_teacher_is_opened_as_its_kind_needs(tmp_path):
    with pytest.raises(InputError, match="kind = 'network' needs the run of a teacher"):
        open_teacher(TeachingConfig(), None)
    with pytest.raises(InputError, match="kind = 'stored' needs the folder of fields"):
        open_teacher(TeachingConfig(kind="stored"), None)
    assert open_teacher(TeachingConfig(kind="refinement"), None).identity["student"] == "identity"
    refined = TeachingConfig(kind="refinement", coarsest=2)
    student = DistillationTrainer(config(), RefinementTeacher(), tmp_path, tmp_path / "run")
    student.save()
    opened = open_teacher(refined, tmp_path / "run" / "state.pt")
    assert len(opened.identity["student"]) == 64
    with pytest.raises(InputError, match="holds no teacher"):
        open_teacher(TeachingConfig(), tmp_path / "run" / "state.pt")
    with pytest.raises(InputError, match="give only one of the two"):
        open_teacher(replace(refined, model="brain-mri"), tmp_path / "run" / "state.pt")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "oracle"}, "kind has to be one of network, refinement, stored"),
        ({"model": "brain-mri"}, "model belongs to kind = 'refinement'"),
        ({"kind": "refinement", "coarsest": 3}, "coarsest 1, 2, 4 or 8"),
        ({"kind": "refinement", "update_voxels": 0.1}, "update_voxels has to be 0.7 or more"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings, said):
    with pytest.raises(ValueError, match=said):
        TeachingConfig(**settings)


def test_a_student_learns_from_the_refinement(tmp_path):
    knowledge = KnowledgeConfig(kind="distance", gamma=0.0, every=1)
    trainer = DistillationTrainer(
        config(knowledge=knowledge), RefinementTeacher(None, COARSE), tmp_path, tmp_path / "run"
    )
    trainer.set_rate(3e-3)
    terms = [trainer.train_step(RepeatedPair(drawn(4)), config().stages[0])["knowledge"] for _ in range(20)]
    assert terms[-1] < 0.7 * terms[0]
