"""`light-registration models`: lists, shows, verifies, adds and removes models."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from LightRegistrationLib.commands import main as command_line
from LightRegistrationLib.commands.main import main
from LightRegistrationLib.core.models.cards import BUNDLED_MODELS_FOLDER, CARD_FILE, WEIGHTS_FILE, list_cards

from ..command_line import ONE_THREAD


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models, not there yet."""
    folder = tmp_path / "own"
    monkeypatch.setenv("LIGHTREG_MODELS", str(folder))
    # The handlers of signals belong to the test run.
    monkeypatch.setattr(command_line, "_clean_up_on_signals", lambda: None)
    return folder


@pytest.fixture
def knee(tmp_path: Path) -> Path:
    """A trained model as a user has it: a folder."""
    target = tmp_path / "trained" / "knee"
    shutil.copytree(BUNDLED_MODELS_FOLDER / "brain-mri", target)
    change(target, title="Knee", grid={"spacing_mm": 8.0}, covers={"modality": "MRI", "anatomy": "knee"})
    return target


def change(folder: Path, **changes: object) -> None:
    file = folder / CARD_FILE
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}))


def spoil(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS_FILE).read_bytes())
    data[5000] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(bytes(data))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["models", *map(str, arguments)])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_the_list_describes_each_model(capsys, knee):
    run(capsys, "add", knee)
    for arguments in ([], ["list"]):
        status, out, _ = run(capsys, *arguments)
        assert status == 0
        head, *rows = out.splitlines()
        assert head.split() == "NAME IMAGES PARAMETERS SIZE STEPS LICENSE FOR".split()
        steps = str(list_cards((BUNDLED_MODELS_FOLDER,))["brain-mri"].details["training"]["steps"])
        row = next(r for r in rows if r.split()[0] == "brain-mri")
        for word in ("MRI", "1.55 M", "3.1 MB", steps, "Apache-2.0", "brain or whole head"):
            assert word in row
        assert next(r for r in rows if r.startswith("knee")).endswith("knee (added)")


def test_the_list_shows_damaged_models_and_the_others(capsys, knee, own):
    run(capsys, "add", knee)
    (own / "knee" / CARD_FILE).write_text("{}")
    status, out, _ = run(capsys)
    assert status == 0
    assert "brain-mri" in out
    assert "knee  damaged: " in out.splitlines()[-1]
    assert "lacks title" in out.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["brain-mri"], ["show", "brain-mri"]])
def test_a_card_is_shown_as_text(capsys, arguments):
    status, out, _ = run(capsys, *arguments)
    assert status == 0
    for words in (
        "limits:",
        "license: Apache-2.0",
        "MRI: brain or whole head in T1, longest mm 110 to 290",
        "folder: ",
    ):
        assert words in out


def test_control_characters_of_a_card_do_not_reach_the_terminal(capsys, knee):
    change(knee, title="Knee \x1b[31m\nred", covers=[])
    assert run(capsys, "add", knee)[0] == 0
    for arguments in (["list"], ["show", "knee"]):
        out = run(capsys, *arguments)[1]
        assert "Knee  [31m red" in out
        assert all(line.isprintable() for line in out.split("\n"))


def test_an_intact_model_is_verified(capsys, knee):
    run(capsys, "add", knee)
    status, out, err = run(capsys, "verify", "knee")
    assert (status, err) == (0, "")
    assert out.startswith("knee: good (1.55 million parameters")


def test_a_model_for_ct_is_verified_in_its_own_window(capsys, knee):
    change(knee, modality="CT", intensity={"kind": "window", "low": -1000, "high": 500})
    run(capsys, "add", knee)
    assert run(capsys, "verify", "knee")[0] == 0


def test_damage_is_one_line_and_status_2_and_the_others_are_tried(capsys, knee, own):
    for name in ("a", "b", "c"):
        shutil.copytree(knee, own / name)
    spoil(own / "a")
    (own / "b" / CARD_FILE).write_text("no json")
    status, out, err = run(capsys, "verify")
    assert status == 2
    assert sorted(line.split(":")[0] for line in out.splitlines()) == sorted(
        [*list_cards((BUNDLED_MODELS_FOLDER,)), "c"]
    )
    (line,) = err.splitlines()
    assert "Model 'a'" in line
    assert "damaged or was exchanged" in line
    assert str(own / "b" / CARD_FILE) in line
    for name in ("a", "b"):
        status, _, err = run(capsys, "verify", name)
        assert (status, len(err.splitlines())) == (2, 1)


def test_weights_with_a_useless_deformation_fail(capsys, knee, own):
    """Whole by their hash, but no number comes out."""
    import hashlib

    import torch
    from safetensors.torch import load, save

    weights = {name: torch.full_like(t, float("nan")) for name, t in load((knee / WEIGHTS_FILE).read_bytes()).items()}
    (knee / WEIGHTS_FILE).write_bytes(save(weights))
    change(knee, sha256=hashlib.sha256((knee / WEIGHTS_FILE).read_bytes()).hexdigest())
    shutil.copytree(knee, own / "knee")
    status, _, err = run(capsys, "verify", "knee")
    assert status == 2
    assert "Model 'knee': the built-in pair cannot be registered with it" in err


def test_an_added_model_is_reported_used_and_removed(capsys, knee, own):
    status, out, _ = run(capsys, "add", knee)
    assert status == 0
    assert f"Added 'knee' to {own}." in out
    assert run(capsys, "show", "knee")[1].startswith("name: knee\ntitle: Knee")
    status, _, err = run(capsys, "add", knee)
    assert (status, len(err.splitlines())) == (2, 1)
    assert "--replace" in err
    assert run(capsys, "add", "--replace", knee)[0] == 0
    assert run(capsys, "remove", "knee")[:2] == (0, "Removed 'knee'.\n")
    assert run(capsys, "show", "knee")[0] == 2


def test_replacing_a_bundled_model_is_reported(capsys, knee):
    source = knee.rename(knee.with_name("brain-mri"))
    assert run(capsys, "add", source)[0] == 2
    out = run(capsys, "add", source, "--replace")[1]
    assert "instead of the bundled model 'brain-mri'" in out
    assert "The bundled model 'brain-mri' is used again" in run(capsys, "remove", "brain-mri")[1]


def test_a_model_that_auto_cannot_choose_is_reported(capsys, knee):
    card = json.loads((knee / CARD_FILE).read_text(encoding="utf-8"))
    del card["covers"]
    (knee / CARD_FILE).write_text(json.dumps(card))
    assert "never by `auto`" in run(capsys, "add", knee)[1]
    assert "only if chosen by name" in run(capsys, "show", "knee")[1]


@pytest.mark.parametrize(
    "arguments",
    [("add", "/nowhere"), ("remove", "brain-mri"), ("remove", "../x"), ("verify", "giraffe"), ("show", "giraffe")],
)
def test_impossible_actions_are_one_line(capsys, arguments):
    status, out, err = run(capsys, *arguments)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "Traceback" not in err


def test_listing_needs_no_torch():
    code = (
        "import sys; import LightRegistrationLib.commands.main as m; m.main(['models']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ONE_THREAD, check=True)
    assert done.stdout.splitlines()[-1] == "False"
