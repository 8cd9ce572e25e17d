"""Teacher against student: the counts are those of the networks as published."""

from __future__ import annotations

import json

import pytest


def test_parameters_and_multiply_adds_are_those_of_the_layers(benchmark, tmp_path):
    done = benchmark("teacher_student", "--size", "32", "--repetitions", "1", "--threads", "1", "--output", tmp_path)
    assert done.status == 0
    rows = {
        row["name"]: row for row in json.loads((tmp_path / "teacher_student.json").read_text(encoding="utf-8"))["rows"]
    }
    student, teacher = rows["student, published (full head)"], rows["teacher, VTN cascade"]
    assert student["parameters"] == pytest.approx(1.55e6, rel=0.01)  # the method's description
    assert teacher["parameters"] == pytest.approx(28.3e6, rel=0.01)
    assert rows["teacher, affine stem"]["parameters"] == pytest.approx(14.2e6, rel=0.01)

    # Layer by layer: kernel x inputs x outputs x voxels of the output (of the input, where it is transposed).
    down = [64 * a * b * (32 // s) ** 3 for a, b, s in ((2, 16, 2), (16, 32, 4), (32, 64, 8), (64, 128, 16))]
    up = [64 * a * b * (32 // s) ** 3 for a, b, s in ((128, 64, 16), (128, 32, 8), (64, 16, 4), (32, 3, 2))]
    assert student["macs"] == sum(down) + sum(up)
    one_way, last = rows["student, velocity head, one way"]["macs"], 27 * 32 * 3 * 16**3
    assert one_way == sum(down) + sum(up[:-1]) + last
    # The last layer sees the difference of both orders, once.
    assert rows["student, velocity head, symmetric"]["macs"] == 2 * one_way - last

    table = (tmp_path / "teacher_student.md").read_text(encoding="utf-8")
    assert all(name in table for name in rows)
    for row in rows.values():
        for precision in ("fp32", "bf16"):
            assert row[f"cascade_{precision}_cpu_s"] > 0
