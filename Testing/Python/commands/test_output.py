"""The folder of a result is complete or unchanged, also after failures and signals."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from LightRegistrationLib.commands.files.output_folder import RESULT_ENTRIES, check_output, staging_folder
from LightRegistrationLib.core.errors import InputError

from ..command_line import COMMAND, ONE_THREAD, QUICK, RunningCommand, start_command
from ..processes import PATIENCE_S, is_alive
from .pair_files import PairFiles


def _write(folder: Path, content: str, views: bool = True) -> None:
    for name in ("report.json", "transform.h5"):
        (folder / name).write_text(content)
    if views:
        (folder / "views").mkdir()
        (folder / "views" / "before.png").write_text(content)


def _tree(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text(encoding="utf-8") for p in sorted(folder.rglob("*")) if p.is_file()}


def test_new_folder_appears_as_a_whole(tmp_path: Path) -> None:
    output = tmp_path / "a" / "b"
    with staging_folder(output) as folder:
        _write(folder, "new")
        assert not output.exists()
    assert _tree(output) == {"report.json": "new", "transform.h5": "new", "views/before.png": "new"}
    assert [p.name for p in output.parent.iterdir()] == ["b"]


def test_failure_leaves_no_trace(tmp_path: Path) -> None:
    output = tmp_path / "a" / "b"
    with pytest.raises(ZeroDivisionError), staging_folder(output) as folder:
        _write(folder, "new")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_the_second_of_two_programs_that_write_the_same_folder_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "result"
    with pytest.raises(InputError, match="meanwhile"), staging_folder(output) as folder:
        _write(folder, "second")
        output.mkdir()
        _write(output, "first")
    assert set(_tree(output).values()) == {"first"}
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_an_empty_folder_whose_parent_is_closed_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "result"
    output.mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with staging_folder(output) as folder:
        assert folder.parent == output
        _write(folder, "new", views=False)
    assert _tree(output) == {"report.json": "new", "transform.h5": "new"}
    assert len(list(output.iterdir())) == 2


def test_earlier_result_is_replaced_and_other_files_stay(tmp_path: Path) -> None:
    output = tmp_path / "result"
    output.mkdir()
    _write(output, "old")
    (output / "notes.txt").write_text("mine")
    with staging_folder(output) as folder:
        _write(folder, "new", views=False)
        assert _tree(output)["transform.h5"] == "old", "replaced before the new one was complete"
    assert _tree(output) == {"report.json": "new", "transform.h5": "new", "notes.txt": "mine"}
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_earlier_result_survives_a_failure(tmp_path: Path) -> None:
    output = tmp_path / "result"
    output.mkdir()
    _write(output, "old")
    before = _tree(output)
    with pytest.raises(ZeroDivisionError), staging_folder(output) as folder:
        _write(folder, "new")
        raise ZeroDivisionError
    assert _tree(output) == before
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_earlier_result_comes_back_if_the_exchange_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "result"
    output.mkdir()
    _write(output, "old")
    before = _tree(output)
    rename = Path.rename

    def fails_for_the_new_report(path: Path, target: Path) -> Path:
        if target == output / "report.json" and path.read_text(encoding="utf-8") == "new":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails_for_the_new_report)
    with pytest.raises(InputError, match="No space left"), staging_folder(output) as folder:
        _write(folder, "new")
    assert _tree(output) == before


@pytest.mark.parametrize("name", RESULT_ENTRIES)
def test_inputs_are_never_replaced(tmp_path: Path, name: str) -> None:
    inside = tmp_path / name / "slice.dcm" if name == "views" else tmp_path / name
    inside.parent.mkdir(exist_ok=True)
    inside.write_text("input")
    with pytest.raises(InputError, match="would replace"):
        check_output(tmp_path, [inside], force=True)


def test_output_in_an_input_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lies in the input"):
        check_output(tmp_path / "dicom" / "result", [tmp_path / "dicom"], force=True)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_killed_run_leaves_the_earlier_result_unchanged(
    pair_files: PairFiles, tmp_path: Path, end: signal.Signals
) -> None:
    output = tmp_path / "result"
    output.mkdir()
    _write(output, "old")
    before = _tree(output)
    arguments = ["register", str(pair_files.fixed), str(pair_files.moving), "--output", str(output), "--force", *QUICK]
    # Drawing the views leaves a second between the first file and the end.
    running = start_command(*arguments, "--views")
    _wait_until_it_writes(tmp_path, running)
    running.send_signal(end)
    done = running.wait()
    assert done.returncode != 0, "it was over before the signal came"
    assert _tree(output) == before
    if end != signal.SIGKILL:
        assert done.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}[end]
        assert done.stderr == ""
        assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_terminal_shows_progress_and_force_replaces(pair_files: PairFiles, tmp_path: Path) -> None:
    output = tmp_path / "result"
    output.mkdir()
    _write(output, "old")
    arguments = ["register", str(pair_files.fixed), str(pair_files.moving), "--output", str(output), "--force"]
    terminal, child_end = pty.openpty()
    fcntl.ioctl(child_end, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    process = subprocess.Popen([*COMMAND, *arguments], stderr=child_end, stdout=subprocess.PIPE, env=ONE_THREAD)
    os.close(child_end)
    shown = _read_all(terminal)
    assert process.wait(PATIENCE_S) == 0, shown
    assert "network" in shown
    assert "Model brain-mri: both volumes look like MRI" in shown
    assert "%" in shown
    assert json.loads((output / "report.json").read_text(encoding="utf-8"))["structures"] is None
    assert not (output / "views").exists()


def test_register_works_without_standard_error(pair_files: PairFiles, tmp_path: Path) -> None:
    arguments = [
        "register",
        str(pair_files.fixed),
        str(pair_files.moving),
        "--output",
        str(tmp_path / "result"),
        *QUICK,
    ]
    done = subprocess.run(
        ["sh", "-c", '"$@" 2>&-', "sh", *COMMAND, *arguments], env=ONE_THREAD, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "result" / "report.json").exists()


def _wait_until_it_writes(folder: Path, running: RunningCommand) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not list(folder.glob(".*.unfinished-*/transform.h5")):
        assert is_alive(running.process_id), "ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _read_all(terminal: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux says that the other end is closed in this way
            break
        if not part:
            break
        parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode(errors="replace")
