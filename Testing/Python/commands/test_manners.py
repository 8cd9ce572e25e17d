"""The command line under bad conditions: interrupted, with closed pipes, a full disk, dead processes, odd arguments."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from LightRegistrationLib.commands.files.output_folder import staging_folder
from LightRegistrationLib.core.errors import InputError

from ..command_line import COMMAND, ONE_THREAD, QUICK, run_command
from .pair_files import PairFiles

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and pipes of POSIX systems")


@pytest.mark.parametrize("after_s", [0.1, 0.3, 0.7, 1.2, 2.0])
def test_ctrl_c_is_silent_at_any_moment(pair_files: PairFiles, tmp_path: Path, after_s: float) -> None:
    files = ("register", pair_files.fixed, pair_files.moving, "--output", tmp_path / "out")
    command = [*COMMAND, *files, "--refine", "best"]
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ONE_THREAD
    ) as process:
        time.sleep(after_s)
        for _ in range(2):  # a terminal and a program above may both send it
            process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    # A process that the signal itself ended has the status 130 in a shell.
    assert process.returncode in (130, -signal.SIGINT)
    assert output == b""
    assert b"Traceback" not in errors
    assert b"rror" not in errors
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_silent(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "models"], stdout=writer, stderr=subprocess.PIPE, env=ONE_THREAD, check=False)
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 141


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the memory of a process")
def test_a_full_memory_is_one_line(tmp_path: Path) -> None:
    """A list of a gigabyte, in a process that may have half of it."""
    import resource

    pairs = tmp_path / "pairs.csv"
    with pairs.open("wb") as stream:
        stream.truncate(1 << 30)
    done = subprocess.run(
        [*COMMAND, "evaluate", str(pairs), "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env=ONE_THREAD,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29)),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "light-registration: error: The memory is full: close other programs, or use smaller inputs."
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_output_that_cannot_be_written_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "models"], stdout=full, stderr=subprocess.PIPE, env=ONE_THREAD, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "light-registration: error: The output cannot be written (No space left on device)."
    ]


def test_closed_standard_streams_do_no_harm(pair_files: PairFiles, tmp_path: Path) -> None:
    line = f'"{sys.executable}" -m LightRegistrationLib.commands register "$@" <&- >&- 2>&-'
    arguments = [str(pair_files.fixed), str(pair_files.moving), "--output", str(tmp_path / "out"), *QUICK]
    assert subprocess.run(["sh", "-c", line, "sh", *arguments], env=ONE_THREAD, check=False).returncode == 0
    assert (tmp_path / "out" / "report.json").is_file()


def test_an_unfinished_folder_of_a_dead_process_is_removed_by_the_next(tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\n"
        "from LightRegistrationLib.commands.files.output_folder import staging_folder\n"
        "with staging_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'warped.nii.gz').write_text('a patient')\n    os._exit(9)\n"
    )
    package = str(Path(sys.modules["LightRegistrationLib"].__file__ or "").parents[1])
    environment = {**ONE_THREAD, "PYTHONPATH": package}
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "out")], env=environment, check=False)
    (left,) = tmp_path.iterdir()
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    with staging_folder(tmp_path / "out") as own:
        assert not left.exists()
        with staging_folder(tmp_path / "out"):
            assert own.exists()  # its process lives
        own_mode = stat.S_IMODE(own.stat().st_mode)
        # The inner one has made the output meanwhile.
        (tmp_path / "out").rmdir()
    assert own_mode == 0o700
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_result_has_the_usual_permissions(tmp_path: Path) -> None:
    with staging_folder(tmp_path / "out") as folder:
        (folder / "report.json").write_text("{}")
    (tmp_path / "usual").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_an_error_names_the_output_and_not_the_unfinished_folder(tmp_path: Path) -> None:
    def fail() -> None:
        with staging_folder(tmp_path / "out") as folder:
            raise InputError(f"{folder / 'transform.h5'}: cannot be written (the disk is full).")

    with pytest.raises(InputError, match="disk is full") as caught:
        fail()
    assert str(caught.value).startswith(f"{tmp_path / 'out' / 'transform.h5'}: ")


def test_an_array_that_does_not_fit_on_the_disk_is_said_in_words(tmp_path: Path) -> None:
    """NumPy's error names numbers alone. A limit of the size of files stands for the disk."""
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from LightRegistrationLib.commands.files.output_folder import staging_folder\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
        "with staging_folder(Path(sys.argv[1])) as folder:\n    np.save(folder / 'array.npy', np.ones(1 << 20))\n"
    )
    package = str(Path(sys.modules["LightRegistrationLib"].__file__ or "").parents[1])
    environment = {**ONE_THREAD, "PYTHONPATH": package}
    command = [sys.executable, "-c", script, str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert re.search(r"FullDiskError: .*out: cannot be written \(.*is the disk full\?\)\.$", done.stderr.rstrip())
    assert list(tmp_path.iterdir()) == []


def _refuse(*arguments: object) -> str:
    done = run_command(*map(str, arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_odd_inputs_are_told_what_they_are(pair_files: PairFiles, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")
    out = ("--output", tmp_path / "out")
    assert "this is a pipe" in _refuse("register", pair_files.fixed, tmp_path / "pipe.nii", *out)
    assert "this is a device" in _refuse("register", pair_files.fixed, "/dev/null", *out)
    assert "the name is empty" in _refuse("register", pair_files.fixed, "", *out)
    assert "the name is empty" in _refuse("register", pair_files.fixed, pair_files.moving, "--output", "")
    assert "Name the folder for the results" in _refuse("register", pair_files.fixed, pair_files.moving)
    cores = os.cpu_count() or 1
    line = _refuse("register", pair_files.fixed, pair_files.moving, *out, "--threads", 4 * cores + 1)
    assert f"use {4 * cores} or fewer" in line
    for command in (("demo",), ("evaluate", tmp_path / "pairs.csv")):
        assert f"use {4 * cores} or fewer" in _refuse(*command, *out, "--threads", 99_999)
        assert "the name is empty" in _refuse(*command, "--output", "")
    assert "neither volume is a DICOM folder" in _refuse(
        "register", pair_files.fixed, pair_files.moving, *out, "--series", "3"
    )


def test_a_training_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = _refuse("train", "student", "toy-student", "--data", tmp_path, "--output", tmp_path / "file" / "run")
    assert f"{tmp_path / 'file' / 'run'}: cannot be written" in line
