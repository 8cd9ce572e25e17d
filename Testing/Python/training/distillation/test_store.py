"""The knowledge store: it returns the teacher's deformations, and reports damaged or foreign content."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.training.configuration import DistillationConfig, DistillationStage
from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.distillation.aldk import KnowledgeConfig
from LightRegistrationLib.training.distillation.discriminator import DiscriminatorConfig
from LightRegistrationLib.training.distillation.lesson import Lesson, hash_weights
from LightRegistrationLib.training.distillation.store import (
    PAIRS_PER_SHARD,
    KnowledgeStore,
    StoreConfig,
    StoredImages,
)
from LightRegistrationLib.training.distillation.teacher import NetworkTeacher, Teacher, TeacherConfig
from LightRegistrationLib.training.export import build_card
from LightRegistrationLib.training.state import load_state
from LightRegistrationLib.training.trainers.distillation import DistillationTrainer

from ..toy import SHAPE, SOURCES, drawn, losses_of

PAIRS = PAIRS_PER_SHARD + 3


def smooth(pair: Pair) -> torch.Tensor:
    """A smooth deformation of some voxels that depends on the pair."""
    axes = torch.stack(torch.meshgrid(*[torch.arange(n) / n for n in SHAPE], indexing="ij"))
    return (6 * torch.sin(3 * axes + 10 * pair.fixed.mean()) * pair.moving.std())[None]


def teach(pair: Pair, number: int) -> Lesson:
    """Replaces a teacher."""
    return Lesson.of(smooth(pair))


def store(folder: Path, pairs: int = PAIRS, resolution: str = "half", **identity: object) -> KnowledgeStore:
    return KnowledgeStore(folder, StoreConfig(pairs, resolution), {"teacher": "one", "seed": 1, **identity})


def filled(folder: Path, **arguments: object) -> KnowledgeStore:
    made = store(folder, **arguments)
    made.claim()
    made.fill(drawn, teach)
    made.open()
    return made


@pytest.mark.parametrize(("resolution", "tolerance"), [("full", 2e-3), ("half", 2e-2)])
def test_a_store_returns_the_pairs_and_the_teachers_deformations(tmp_path, resolution, tolerance):
    made = filled(tmp_path, resolution=resolution)
    inside = (..., slice(1, -1), slice(1, -1), slice(1, -1))
    for number in (0, PAIRS_PER_SHARD - 1, PAIRS_PER_SHARD, PAIRS - 1):
        pair, lesson = made.read(number)
        flow = lesson.flow
        expected = drawn(number)
        for name in ("fixed", "moving"):
            torch.testing.assert_close(getattr(pair, name), getattr(expected, name), atol=1e-3, rtol=0)
        assert flow.shape == (1, 3, *SHAPE)
        torch.testing.assert_close(flow[inside], smooth(expected)[inside], atol=tolerance, rtol=0)
    sizes = sum(f.stat().st_size for f in tmp_path.glob("*.safetensors")) / PAIRS
    voxels = 16**3
    assert sizes < 2 * voxels * (2 + (3 if resolution == "full" else 3 / 8)) * 1.05 + 1000


def test_clean_images_are_stored_only_on_request(tmp_path):
    made = KnowledgeStore(tmp_path, StoreConfig(1), {}, StoredImages(clean=True))
    made.claim()
    made.fill(drawn, teach)
    made.open()
    torch.testing.assert_close(made.read(0)[0].fixed_clean, drawn(0).fixed_clean[:, :1], atol=1e-3, rtol=0)
    pair, _ = filled(tmp_path / "seen", pairs=1).read(0)
    assert torch.equal(pair.fixed_clean, pair.fixed)


def test_structures_are_stored_only_on_request(tmp_path):
    def draw_labeled(number: int) -> Pair:
        pair = drawn(number)
        return pair if number else replace(pair, fixed_labels=None, moving_labels=None)

    made = KnowledgeStore(tmp_path, StoreConfig(2), {}, StoredImages(clean=True, structures=True))
    made.claim()
    made.fill(draw_labeled, teach)
    made.open()
    (unlabeled, _), (labeled, _) = made.read(0), made.read(1)
    assert labeled.fixed_clean.shape[1] > 1
    torch.testing.assert_close(labeled.fixed_clean, drawn(1).fixed_clean, atol=4e-3, rtol=1e-3)
    torch.testing.assert_close(labeled.moving_labels, drawn(1).moving_labels, atol=1e-3, rtol=0)
    assert unlabeled.fixed_labels is None
    plain = KnowledgeStore(tmp_path, StoreConfig(2), {}, StoredImages(clean=True))
    with pytest.raises(InputError, match="another structures"):
        plain.claim()


def test_a_batch_holds_different_pairs_and_the_same_generator_draws_the_same(tmp_path):
    made = filled(tmp_path)
    pair, lesson = made.draw(torch.Generator().manual_seed(5), 4)
    flow = lesson.flow
    again, _ = made.draw(torch.Generator().manual_seed(5), 4)
    assert pair.fixed.shape == (4, 1, *SHAPE)
    assert torch.equal(pair.fixed, again.fixed)
    assert len({float(flow[n].sum()) for n in range(4)}) == 4
    seen = {float(made.draw(torch.Generator().manual_seed(s))[1].flow.sum()) for s in range(80)}
    assert len(seen) == PAIRS


def test_an_interrupted_store_is_completed_like_an_uninterrupted_one(tmp_path):
    class Killed(BaseException):
        pass

    def fragile(number: int) -> Pair:
        if number == PAIRS_PER_SHARD + 1:
            raise Killed
        return drawn(number)

    begun = store(tmp_path / "broken")
    begun.claim()
    with pytest.raises(Killed):
        begun.fill(fragile, teach)
    (tmp_path / "broken" / "00001.safetensors").write_bytes(b"written, but not yet noted")
    with pytest.raises(InputError, match=r"00001\.safetensors: the store lacks this file"):
        begun.open()
    numbers = []
    resumed = store(tmp_path / "broken")
    resumed.claim()
    resumed.fill(lambda n: numbers.append(n) or drawn(n), teach)
    resumed.open()
    assert numbers == list(range(PAIRS_PER_SHARD, PAIRS))
    filled(tmp_path / "whole")
    for file in ("00000.safetensors", "00001.safetensors"):
        assert (tmp_path / "broken" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    records = [json.loads((tmp_path / folder / "00001.json").read_text()) for folder in ("broken", "whole")]
    assert all(record.pop("cpu_seconds") >= 0 for record in records)
    assert records[0] == records[1]


def test_a_store_grows_by_the_files_that_are_not_full(tmp_path):
    filled(tmp_path, pairs=PAIRS_PER_SHARD + 3)
    grown, numbers = store(tmp_path, pairs=2 * PAIRS_PER_SHARD), []
    grown.fill(lambda n: numbers.append(n) or drawn(n), teach)
    grown.open()
    assert numbers == list(range(PAIRS_PER_SHARD, 2 * PAIRS_PER_SHARD))
    fewer = store(tmp_path, pairs=3)
    fewer.open()
    assert len(fewer.shapes) == 3


def test_several_processes_share_the_work(tmp_path):
    for part in (0, 1):
        shared = store(tmp_path)
        shared.claim()
        shared.fill(drawn, teach, part, 2)
        assert [(tmp_path / f"0000{n}.json").exists() for n in (0, 1)] == [True, part == 1]
    shared.open()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"teacher": "other"}, "another teacher;"),
        ({"seed": 2}, "another seed;"),
        ({"resolution": "full"}, "another resolution;"),
        ({"teacher": "other", "seed": 2}, "another teacher, seed;"),
    ],
)
def test_a_store_of_something_else_is_refused_and_the_difference_named(tmp_path, changes, named):
    filled(tmp_path)
    with pytest.raises(InputError, match=rf"index\.json: this store was computed with {named}"):
        store(tmp_path, **changes).claim()


def test_a_damaged_file_is_named_before_anything_is_drawn(tmp_path):
    made = filled(tmp_path)
    file = tmp_path / "00000.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"00000\.safetensors: this file is damaged; delete it") as caught:
        made.open()
    assert "\n" not in str(caught.value)
    file.unlink()
    made.fill(drawn, teach)
    made.open()
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(InputError, match=r"index\.json: cannot be read"):
        made.claim()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_gives_one_line(tmp_path):
    made = store(tmp_path)
    made.claim()
    (tmp_path / "00000.safetensors.partial").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"00000\.safetensors: the store cannot be written"):
        made.fill(drawn, teach)


def config(**changes: object) -> DistillationConfig:
    base = {
        "name": "toy",
        "seed": 3,
        "sources": SOURCES,
        "stages": (DistillationStage(steps=6, spacing_mm=6),),
        "knowledge": KnowledgeConfig(kind="distance", every=1, gamma=0.0),
        "critic": DiscriminatorConfig(channels=(2, 2)),
        "store": StoreConfig(3, "full"),
        "bfloat16": False,
    }
    return DistillationConfig(**(base | changes))


@pytest.fixture
def teacher() -> NetworkTeacher:
    torch.manual_seed(11)
    network = Teacher(TeacherConfig(cascades=1, channels=1))
    network.stem.offset.bias.data = torch.tensor([1.0, -0.5, 0.3])
    return NetworkTeacher(network)


def trainer(tmp_path, teacher, output="run", **changes) -> DistillationTrainer:
    return DistillationTrainer(config(**changes), teacher, tmp_path, tmp_path / output, store=tmp_path / "store")


def test_a_student_learns_the_same_from_the_store_as_from_the_teacher(tmp_path, teacher):
    first = trainer(tmp_path, teacher)
    first.run()
    assert sorted(f.name for f in (tmp_path / "store" / "6mm").iterdir()) == [
        "00000.json",
        "00000.safetensors",
        "index.json",
    ]
    pair, lesson = first.store.read(1)
    torch.testing.assert_close(lesson.flow, teacher.teach(pair).flow, atol=5e-3, rtol=0)
    teacher.teach = lambda *_: pytest.fail("the teacher was asked again")
    silent = trainer(tmp_path, teacher, "other")
    silent.run()
    for name, weight in first.student.state_dict().items():
        assert torch.equal(weight, silent.student.state_dict()[name])


def test_a_resumed_distillation_from_a_store_has_the_losses_of_an_unbroken_one(tmp_path, teacher):
    unbroken = losses_of(trainer(tmp_path, teacher, "whole"))
    short = (replace(config().stages[0], steps=4, final_rate=1e-3),)
    assert losses_of(trainer(tmp_path, teacher, "broken", stages=short)) == unbroken[:4]
    resumed = trainer(tmp_path, teacher, "broken")
    assert resumed.resume()
    assert losses_of(resumed) == unbroken[4:]


def test_a_store_needs_pairs_and_its_own_teacher(tmp_path, teacher):
    with pytest.raises(InputError, match=r"toy: a store needs pairs, 1 or more, in \[store\]"):
        trainer(tmp_path, teacher, store=StoreConfig())
    trainer(tmp_path, teacher).run()
    other = NetworkTeacher(Teacher(TeacherConfig(cascades=1, channels=1)))
    with pytest.raises(InputError, match=r"store/6mm/index\.json: this store was computed with another teacher;"):
        trainer(tmp_path, other, "other").run()


def test_the_card_names_teacher_knowledge_and_store(tmp_path, teacher):
    run = trainer(tmp_path, teacher)
    run.save()
    training = build_card(config(), load_state(run.state_file), b"")["training"]
    assert training["teacher"] == {"kind": "network", "sha256": hash_weights(teacher.network)}
    assert training["knowledge"]["kind"] == "distance"
    assert training["store"] == {"pairs": 3, "resolution": "full", "seed": 0}
    assert "critic" not in training
    alone = DistillationTrainer(config(), teacher, tmp_path, tmp_path / "alone")
    alone.save()
    assert "store" not in build_card(config(), load_state(alone.state_file), b"")["training"]
