"""`light-registration register --report`: one page that needs nothing else."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.commands.register import register_files

from .conftest import check_schema
from .pair_files import PairFiles


class Page(HTMLParser):
    """The images of a page, its visible text, and all addresses that it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[bytes] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href") and value is not None:
                data = re.fullmatch("data:image/png;base64,(.*)", value)
                self.pictures += [base64.b64decode(data[1])] if data else []
                self.addresses += [] if data else [value]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def reported(pair_files: PairFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("page")
    moving = folder / "a<script>alert(1)<b>.nii.gz"
    moving.write_bytes(pair_files.moving.read_bytes())
    segmentations = {
        "fixed_segmentation": pair_files.fixed_segmentation,
        "moving_segmentation": pair_files.moving_segmentation,
    }
    report = register_files(pair_files.fixed, moving, folder / "result", page=True, threads=1, **segmentations)
    return folder / "result", report


def test_the_page_needs_no_other_file_and_runs_nothing_from_the_input(reported: tuple[Path, dict]) -> None:
    output, report = reported
    check_schema(report)
    assert report["outputs"]["page"] == "report.html"
    page = Page((output / "report.html").read_text(encoding="utf-8"))
    assert page.addresses == []
    assert "script" not in page.tags
    assert "a<script>alert(1)<b>" in page.text


def test_the_page_says_what_the_report_says(reported: tuple[Path, dict]) -> None:
    output, report = reported
    text = Page((output / "report.html").read_text(encoding="utf-8")).text
    for line in report["warnings"]:
        assert line in text
    for structure in report["structures"]:
        assert structure["name"] in text
        assert f"{structure['after']['dice']:.3f}" in text
    for word in (
        report["model"]["weights_sha256"],
        "AAPM TG-132",
        "not measured",
        "not for clinical use",
        "not reviewed",
    ):
        assert word in text
    assert "differ from the default" not in text


def test_the_pictures_are_those_of_the_pair(reported: tuple[Path, dict], tmp_path: Path) -> None:
    """The fixed slice and the result are alike after registration, more than fixed and moving as loaded."""
    output, _ = reported
    pictures = []
    for number, data in enumerate(Page((output / "report.html").read_text(encoding="utf-8")).pictures):
        (tmp_path / f"{number}.png").write_bytes(data)
        pictures.append(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"{number}.png"))).astype(float))
    assert len(pictures) == 6 + 3 * 7
    fixed, result = pictures[0], pictures[1]
    before, after = pictures[6], pictures[9]  # red: fixed, green and blue: moving
    np.testing.assert_array_equal(before[..., 0], fixed[..., 0])
    np.testing.assert_array_equal(after[..., 1], result[..., 1])
    assert np.corrcoef(fixed.ravel(), result.ravel())[0, 1] > 0.95
    assert np.abs(after[..., 0] - after[..., 1]).mean() < 0.6 * np.abs(before[..., 0] - before[..., 1]).mean()


def test_no_page_unless_asked_for(registered) -> None:
    assert not (registered.output / "report.html").exists()
    assert "page" not in registered.report["outputs"]
