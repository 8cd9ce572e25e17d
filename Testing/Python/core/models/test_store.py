"""Models are added completely or not at all, replaced only on request, and only added models are removed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from LightRegistrationLib.core.errors import InputError, ModelError
from LightRegistrationLib.core.models import store
from LightRegistrationLib.core.models.cards import CARD_FILE, WEIGHTS_FILE, get_user_models_folder, list_cards
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.models.store import add_model, remove_model

from ..body_phantoms import add_model as make_model


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models; it is not there yet."""
    folder = tmp_path / "own" / "Models"
    monkeypatch.setenv("LIGHTREG_MODELS", str(folder))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_an_added_model_is_found_loaded_and_removed_again(tmp_path, own):
    source = make_model(tmp_path / "trained", "knee", title="Knee")
    (source / "state.pt").write_bytes(b"what training leaves behind")
    assert add_model(source).title == "Knee"
    assert set(tree(own)) == {f"knee/{CARD_FILE}", f"knee/{WEIGHTS_FILE}"}
    shutil.rmtree(source)
    assert ModelRegistry().load("knee").card.title == "Knee"
    remove_model("knee")
    assert "knee" not in list_cards()
    assert list(own.iterdir()) == []


def damaged_weights(source: Path) -> None:
    data = bytearray((source / WEIGHTS_FILE).read_bytes())
    data[-1] ^= 1
    (source / WEIGHTS_FILE).write_bytes(bytes(data))


def foreign_weights(source: Path) -> None:
    (source / WEIGHTS_FILE).write_bytes(b"x")
    card = json.loads((source / CARD_FILE).read_text(encoding="utf-8"))
    card["sha256"] = hashlib.sha256(b"x").hexdigest()
    (source / CARD_FILE).write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: (s / CARD_FILE).unlink(), "card.json: there is no such file"),
        (lambda s: (s / CARD_FILE).write_text("{}"), "lacks title"),
        (lambda s: (s / WEIGHTS_FILE).unlink(), "weights.safetensors: there is no such file"),
        (damaged_weights, "damaged or was exchanged"),
        (foreign_weights, "do not fit"),
        (lambda s: s.rename(s.with_name("auto")), "'auto' cannot be a model's name"),
        (lambda s: s.rename(s.with_name("verify")), "'verify' cannot be a model's name"),
        (lambda s: s.rename(s.with_name(".hidden")), "cannot be a model's name"),
        (lambda s: s.rename(s.with_name("my knee")), "cannot be a model's name"),
    ],
)
def test_an_incomplete_model_is_refused_before_anything_is_changed(tmp_path, own, spoil, words):
    add_model(make_model(tmp_path / "earlier", "knee", title="Earlier"))
    before = tree(own)
    spoil(make_model(tmp_path / "trained", "knee", title="Later"))
    (source,) = (tmp_path / "trained").iterdir()
    with pytest.raises(ModelError, match=words):
        add_model(source, replace=True)
    assert tree(own) == before
    assert [p.name for p in own.iterdir()] == ["knee"]


def test_a_name_in_use_needs_replace(tmp_path, own):
    add_model(make_model(tmp_path / "a", "knee", title="Earlier"))
    later = make_model(tmp_path / "b", "knee", title="Later")
    with pytest.raises(ModelError, match=r"There is an added model 'knee' already.*--replace"):
        add_model(later)
    assert list_cards()["knee"].title == "Earlier"
    assert add_model(later, replace=True).title == "Later"
    assert [p.name for p in own.iterdir()] == ["knee"]


def test_a_bundled_name_needs_replace_and_comes_back(tmp_path):
    source = make_model(tmp_path / "a", "brain-mri", title="Mine")
    with pytest.raises(ModelError, match=r"There is a bundled model 'brain-mri' already.*--replace"):
        add_model(source)
    assert not get_user_models_folder().exists()
    assert add_model(source, replace=True).title == "Mine"
    remove_model("brain-mri")
    assert list_cards()["brain-mri"].is_bundled


@pytest.mark.parametrize("failing", ["copyfile", "rename"])
def test_a_failed_copy_leaves_the_earlier_model(tmp_path, own, monkeypatch, failing):
    add_model(make_model(tmp_path / "a", "knee", title="Earlier"))
    before, later, calls = tree(own), make_model(tmp_path / "b", "knee", title="Later"), []
    rename = Path.rename

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device", "weights")

    def second_fails(path: Path, target: Path) -> Path:
        calls.append(target)
        return full() if len(calls) == 2 else rename(path, target)

    if failing == "copyfile":
        monkeypatch.setattr(store.shutil, "copyfile", full)
    else:
        monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(InputError, match="No space left on device"):
        add_model(later, replace=True)
    assert tree(own) == before
    assert [p.name for p in own.iterdir()] == ["knee"]


def test_an_incomplete_copy_is_refused(tmp_path, own, monkeypatch):
    source, copy = make_model(tmp_path / "a", "knee"), shutil.copyfile

    def half(source: Path, target: Path) -> None:
        copy(source, target)
        if Path(target).name == WEIGHTS_FILE:
            Path(target).write_bytes(Path(target).read_bytes()[:1000])

    monkeypatch.setattr(store.shutil, "copyfile", half)
    with pytest.raises(ModelError, match="damaged"):
        add_model(source)
    assert list(own.iterdir()) == []


def test_a_model_is_not_listed_while_it_is_copied(tmp_path, own, monkeypatch):
    source, seen, copy = make_model(tmp_path / "a", "knee"), [], shutil.copyfile

    def watch(source: Path, target: Path) -> None:
        copy(source, target)
        seen.append(set(list_cards()) | set(list_cards().damaged))

    monkeypatch.setattr(store.shutil, "copyfile", watch)
    add_model(source)
    assert len(seen) == 2
    assert all("knee" not in names for names in seen)


def test_only_added_models_can_be_removed(tmp_path):
    with pytest.raises(ModelError, match="'brain-mri' is bundled"):
        remove_model("brain-mri")
    add_model(make_model(tmp_path / "a", "knee"))
    with pytest.raises(ModelError, match=r"No model 'hip' was added \(added: knee\)"):
        remove_model("hip")
    (get_user_models_folder().parent / "precious").mkdir()
    with pytest.raises(ModelError, match="cannot be a model's name"):
        remove_model("../precious")
    assert (get_user_models_folder().parent / "precious").is_dir()


def test_a_damaged_model_can_be_removed(tmp_path, own):
    make_model(own, "bad", title=None)
    remove_model("bad")
    assert list(own.iterdir()) == []


def test_weights_shared_by_other_models_are_not_removed(tmp_path, own):
    add_model(make_model(tmp_path / "a", "base"))
    source = make_model(tmp_path / "a", "shared", weights_of="base")
    (source / WEIGHTS_FILE).unlink()
    add_model(source)
    assert not (own / "shared" / WEIGHTS_FILE).exists()
    assert ModelRegistry().load("shared").card.name == "shared"
    with pytest.raises(ModelError, match="shared shares the weights of 'base'"):
        remove_model("base")
    remove_model("shared")
    remove_model("base")


def test_shared_weights_of_a_missing_model_are_refused(tmp_path, own):
    source = make_model(tmp_path / "a", "shared", weights_of="gone")
    with pytest.raises(ModelError, match="the model 'gone' is not installed"):
        add_model(source)
    assert not own.exists()


def test_a_read_only_folder_gives_a_one_line_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIGHTREG_MODELS", str(tmp_path / "file" / "Models"))
    with pytest.raises(InputError, match="Not a directory"):
        add_model(make_model(tmp_path / "a", "knee"))
