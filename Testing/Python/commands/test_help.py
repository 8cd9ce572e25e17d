"""Help, version and model list of the command line."""

from __future__ import annotations

import pytest

from ..command_line import run_command


def test_help_of_register_names_every_option_and_file() -> None:
    text = run_command("register", "--help").stdout
    for option in (
        "--output --fixed-segmentation --moving-segmentation --model --cascades --initial --threads --views --force "
        "--refine --fixed-mask --moving-mask --keep-volume --no-compression"
    ).split():
        assert option in text
    for name in ("transform.h5", "warped.nii.gz", "warped_segmentation.nii.gz", "views/", "report.json", "exit status"):
        assert name in text


@pytest.mark.parametrize("arguments", [["--help"], ["models", "--help"], ["demo", "--help"], ["--version"]])
def test_help_needs_nothing(arguments: list[str]) -> None:
    done = run_command(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "light-registration" in done.stdout


def test_models_are_listed_and_explained() -> None:
    listed = run_command("models")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "brain-mri" in listed.stdout
    card = run_command("models", "brain-mri")
    assert card.returncode == 0
    for word in ("license", "limits", "weights sha256", "spacing mm"):
        assert word in card.stdout
    unknown = run_command("models", "giraffe")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (2, 1)
    assert "brain-mri" in unknown.stderr
