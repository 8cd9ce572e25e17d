"""A sample of damaged files through the whole command: exit status 2, one line, nothing written."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ..command_line import run_command
from .pair_files import PairFiles


def cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(1, len(content) // 2)]


def claim_more(content: bytes, random: Random) -> bytes:
    return content[:42] + b"\xff\x7f\xff\x7f\xff\x7f" + content[48:]


def change_type(content: bytes, random: Random) -> bytes:
    return content[:70] + random.choice((b"\0\0", b"\xff\xff", b"\x08\x00", b"\x00\x09")) + content[72:]


def replace_spacing(content: bytes, random: Random) -> bytes:
    return content[:80] + random.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", bytes(4))) + content[84:]


@pytest.mark.parametrize("make", [cut, claim_more, change_type, replace_spacing])
@pytest.mark.parametrize("is_moving", [False, True])
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_damaged_file_is_refused_by_the_command(
    pair_files: PairFiles, tmp_path: Path, make: Any, is_moving: bool, is_packed: bool
) -> None:
    name = "a.nii.gz" if is_packed else "a.nii"
    content = make(gzip.decompress(pair_files.moving.read_bytes()), Random(f"{is_moving} {is_packed}"))
    damaged = tmp_path / name
    damaged.write_bytes(gzip.compress(content, 1) if is_packed else content)
    pair = [pair_files.fixed, damaged] if is_moving else [damaged, pair_files.moving]
    done = run_command("register", *pair, "--output", tmp_path / "result", "--threads", "1")
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert str(damaged) in lines[0]
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == [name]
