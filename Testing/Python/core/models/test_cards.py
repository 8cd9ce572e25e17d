"""Cards are checked key by key, a wrong one does not affect others, and models can share one weights file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from LightRegistrationLib.core.errors import ModelError
from LightRegistrationLib.core.models.cards import (
    BUNDLED_MODELS_FOLDER,
    CARD_FILE,
    WEIGHTS_FILE,
    find_card,
    get_model_folders,
    get_user_models_folder,
    list_cards,
    read_card,
)
from LightRegistrationLib.core.models.registry import ModelRegistry

from ..body_phantoms import add_model


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"title": None}, "the model card lacks title"),
        ({"network": None, "grid": None}, "the model card lacks network, grid"),
        ({"title": 7}, "title: text is needed"),
        ({"summary": ""}, "summary: text is needed"),
        ({"modality": "PET"}, "modality: one of MRI, CT, any is needed"),
        ({"sha256": "abc"}, "sha256: the 64 hexadecimal digits"),
        ({"grid": [2.0]}, "grid: a table is needed"),
        ({"weights_of": 3}, "weights_of: text is needed"),
        ({"covers": "brains"}, "covers: a table or a list of tables"),
        ({"covers": ["brains"]}, "covers: a table or a list of tables"),
        ({"covers": {"anatomy": "brain"}}, "covers.modality: one of MRI, CT, any"),
        ({"covers": {"modality": "MRI"}}, "covers.anatomy: words"),
        ({"covers": {"modality": "MRI", "anatomy": "a", "longest": [1, 2]}}, "covers.longest: unknown; use longest_mm"),
        ({"covers": {"modality": "MRI", "anatomy": "a", "longest_mm": [2, 1]}}, "covers.longest_mm: two numbers"),
        ({"covers": {"modality": "MRI", "anatomy": "a", "longest_mm": [1]}}, "covers.longest_mm: two numbers"),
        ({"covers": {"modality": "MRI", "anatomy": "a", "longest_mm": [1, "x"]}}, "covers.longest_mm: two numbers"),
    ],
)
def test_a_wrong_card_is_refused_in_one_line_with_file_and_key(tmp_path, changes, words):
    folder = add_model(tmp_path, "mine", **changes)
    with pytest.raises(ModelError) as caught:
        read_card(folder)
    assert str(caught.value).startswith(f"{folder / CARD_FILE}: {words}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["no json", "[1]", "\udcff"])
def test_a_file_that_is_no_card_is_refused(tmp_path, text):
    folder = add_model(tmp_path, "mine")
    (folder / CARD_FILE).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ModelError, match=r"cannot be read as a model card|not a card file of text"):
        read_card(folder)


def test_covers_may_be_one_table_or_several(tmp_path):
    table = {"modality": "CT", "anatomy": "knee", "longest_mm": [100, 250]}
    (one,) = read_card(add_model(tmp_path, "one", covers=table)).covers
    assert (one.modality, one.anatomy, one.ranges) == ("CT", "knee", {"longest_mm": (100.0, 250.0)})
    assert len(read_card(add_model(tmp_path, "two", covers=[table, table])).covers) == 2


def test_a_wrong_card_is_listed_as_damaged_and_the_others_stay_usable(tmp_path):
    add_model(tmp_path, "bad", title=None)
    cards = list_cards((BUNDLED_MODELS_FOLDER, tmp_path))
    assert list(cards.damaged) == ["bad"]
    assert "bad" not in cards
    assert ModelRegistry((BUNDLED_MODELS_FOLDER, tmp_path)).load("brain-mri").card.name == "brain-mri"
    for look_up in (lambda: find_card("bad", cards), lambda: cards["bad"]):
        with pytest.raises(ModelError, match="the model card lacks title"):
            look_up()
    with pytest.raises(ModelError, match="the model card lacks title"):
        find_card("auto", list_cards((tmp_path,)))


def test_a_damaged_model_hides_the_bundled_model_of_its_name(tmp_path):
    """A user who asks for an own model must not get the bundled model of that name."""
    add_model(tmp_path, "brain-mri", title=None)
    cards = list_cards((BUNDLED_MODELS_FOLDER, tmp_path))
    assert "brain-mri" not in list(cards)
    with pytest.raises(ModelError, match="lacks title"):
        find_card("brain-mri", cards)


def test_one_weights_file_serves_several_models(tmp_path):
    folder = add_model(tmp_path, "shared", weights_of="brain-mri", title="Another")
    (folder / WEIGHTS_FILE).unlink()
    registry = ModelRegistry((BUNDLED_MODELS_FOLDER, tmp_path))
    student = registry.load("shared")
    assert student.card.title == "Another"
    ours, theirs = (registry.load(name).network.state_dict() for name in ("shared", "brain-mri"))
    assert all((ours[key] == theirs[key]).all() for key in ours)


def test_the_hash_of_shared_weights_is_checked_too(tmp_path):
    folder = add_model(tmp_path, "shared", weights_of="brain-mri", sha256="0" * 64)
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=r"Model 'shared'.*was exchanged"):
        ModelRegistry((BUNDLED_MODELS_FOLDER, tmp_path)).load("shared")


@pytest.mark.parametrize(
    ("weights_of", "words"),
    [
        ("nowhere", "weights_of: the model 'nowhere' is not installed"),
        ("shared", "weights_of: the model 'shared' is not installed"),
        ("second", "weights_of: the model 'second' itself has the weights of 'brain-mri'"),
        ("bad", "weights_of: the model 'bad' is damaged .*lacks title"),
    ],
)
def test_shared_weights_of_an_unusable_model_are_refused(tmp_path, weights_of, words):
    add_model(tmp_path, "shared", weights_of=weights_of)
    add_model(tmp_path, "second", weights_of="brain-mri")
    add_model(tmp_path, "bad", title=None)
    cards = list_cards((BUNDLED_MODELS_FOLDER, tmp_path))
    assert {"brain-mri", "second"} <= set(cards)
    with pytest.raises(ModelError, match=words):
        find_card("shared", cards)


def test_hidden_folders_are_skipped(tmp_path):
    add_model(tmp_path, ".mine-being-copied")
    assert len(list_cards((tmp_path,))) == 0
    with pytest.raises(ModelError, match="No model is installed"):
        find_card("auto", list_cards((tmp_path,)))


def test_the_users_models_folder_follows_the_system_or_the_environment_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("LIGHTREG_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert get_user_models_folder() == tmp_path / "LightRegistration" / "Models"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert get_user_models_folder() == tmp_path / "home" / ".local" / "share" / "LightRegistration" / "Models"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert get_user_models_folder() == tmp_path / "local" / "LightRegistration" / "Models"
    monkeypatch.setenv("LIGHTREG_MODELS", str(tmp_path / "mine"))
    assert get_model_folders() == (BUNDLED_MODELS_FOLDER, tmp_path / "mine")
    add_model(tmp_path / "mine", "own")
    assert "own" in ModelRegistry().names()
    assert "own" in list_cards()


def test_the_bundled_card_and_its_configuration_cover_the_same():
    library = Path(list_cards.__code__.co_filename).parents[2]
    trained = [card for card in list_cards((BUNDLED_MODELS_FOLDER,)).values() if card.weights_of is None]
    assert trained
    for card in trained:
        configuration = library / card.details["training"]["configuration"]
        written = tomllib.loads(configuration.read_text(encoding="utf-8"))["card"].get("covers", [])
        assert written == json.loads(card.file.read_text(encoding="utf-8")).get("covers", [])
