"""A registration connects to nothing, starts nothing, unpickles nothing, writes where it is told, names no patient."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LightRegistrationLib.commands.phantom.pair import make_phantom_pair
from LightRegistrationLib.core.geometry.volume import Volume

from ..audited import audited_environment, find_forbidden, read_events
from ..command_line import QUICK, run_command, run_fresh_command
from .pair_files import PairFiles

BENCHMARKS = Path(__file__).parents[2] / "Benchmarks"
PATIENT, PATIENT_ID = "Zaphod^Beeblebrox", "PID-4711-0815"


def test_a_registration_stays_on_this_machine_and_in_its_folders(pair_files: PairFiles, tmp_path: Path) -> None:
    log, output, private = tmp_path / "log", tmp_path / "result", tmp_path / "private"
    private.mkdir()
    environment = {**audited_environment(log), "TMPDIR": str(private), "HOME": str(private)}
    done = run_fresh_command(
        *("register", pair_files.fixed, pair_files.moving, "--output", output, *QUICK, "--refine", "fast"),
        environment=environment,
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    events = read_events(log)
    assert any(event == "open" and Path(text).is_relative_to(tmp_path) for event, text in events)
    assert find_forbidden(events, [output, tmp_path / ".result.unfinished", private]) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "private", "result"]
    assert list(private.iterdir()) == []


def test_what_is_forbidden_would_be_found(tmp_path: Path) -> None:
    acts = (
        "import socket, subprocess, pickle, sys, collections",
        "open(sys.argv[1], 'w').close()",
        "subprocess.run([sys.executable, '-c', ''])",
        "pickle.loads(pickle.dumps(collections.OrderedDict))",
        "socket.socket().close()",
    )
    log, elsewhere = tmp_path / "log", tmp_path / "elsewhere"
    subprocess.run([sys.executable, "-c", "\n".join(acts), elsewhere], env=audited_environment(log), check=True)
    found = {event for event, _ in find_forbidden(read_events(log), [tmp_path / "result"])}
    assert {"open", "subprocess.Popen", "pickle.find_class", "socket.__new__"} <= found


def write_dicom(volume: Volume, folder: Path) -> Path:
    from fuzzing.dicom import make_series
    from fuzzing.images import MadeVolume

    array, affine = np.round(volume.array).astype(np.int16), volume.affine
    if np.linalg.det(affine[:3, :3]) < 0:
        affine = affine @ np.array([[-1, 0, 0, array.shape[2] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        array = array[:, :, ::-1]
    make_series(MadeVolume(array, affine), _Singles(), folder, PATIENT, PATIENT_ID)
    return folder


class _Singles:
    """Chooses single slices in order."""

    def random(self) -> float:
        return 1.0

    def shuffle(self, values: list[Any]) -> None:
        """Keep the order."""


def list_contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, unpacked, by name."""
    contents: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        contents[str(path.relative_to(folder))] = gzip.decompress(content) if path.suffix == ".gz" else content
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents |= {f"{path.name}/{name}": archive.read(name) for name in archive.namelist()}
    return contents


def test_the_name_of_a_patient_is_nowhere_in_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    pair = make_phantom_pair(spacing_mm=4.0)
    folders = [write_dicom(volume, tmp_path / volume.name) for volume in (pair.fixed, pair.moving)]
    assert PATIENT.encode() in next(folders[0].iterdir()).read_bytes()
    output = tmp_path / "result"
    done = run_command("register", *folders, "--output", output, *QUICK, "--views")
    assert done.returncode == 0, done.stderr
    contents = list_contents(output)
    assert {"report.json", "transform.h5"} <= set(contents)
    for secret in ("zaphod", "beeblebrox", PATIENT_ID.lower()):
        assert secret not in (done.stdout + done.stderr).lower()
        assert [name for name, content in contents.items() if secret.encode() in content.lower()] == []
        assert [name for name in contents if secret in name.lower()] == []


def test_an_error_names_no_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    pair = make_phantom_pair(spacing_mm=4.0)
    folder = write_dicom(pair.fixed, tmp_path / "fixed")
    sorted(folder.iterdir())[3].unlink()
    done = run_command("register", folder, folder, "--output", tmp_path / "result")
    assert done.returncode == 2
    assert "mm apart" in done.stderr
    assert "zaphod" not in (done.stdout + done.stderr).lower()
