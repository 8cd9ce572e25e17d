"""Inputs that are no files: a pipe that nobody writes to is refused at once, by every command and for every option."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import SimpleITK as sitk

from LightRegistrationLib.commands.main import build_parser

from ..command_line import QUICK, run_command
from .pair_files import PairFiles

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")


class Folder:
    """A folder with a pipe of any name, and good files for the other options of a command."""

    def __init__(self, folder: Path, good: PairFiles) -> None:
        self.folder, self.good = folder, good
        self.output = folder / "output"
        self.csv = self.text("points.csv", "x,y,z\n1,2,3\n")
        self.transform = folder / "good.tfm"
        sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(self.transform))

    def text(self, name: str, content: str) -> Path:
        (self.folder / name).write_text(content, encoding="utf-8")
        return self.folder / name

    def pipe(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
        return path

    def listed(self, columns: str, *names: object) -> Path:
        """A list with the files of a good row and of one with a pipe."""
        self.pipe("pipe.nii.gz")
        return self.text("list.csv", f"{columns}\n" + "".join(f"{','.join(map(str, row))}\n" for row in names))


Arguments = Callable[[Folder], list[object]]


def _register(*options: object) -> Arguments:
    return lambda f: [
        "register",
        f.good.fixed,
        f.good.moving,
        "--output",
        f.output,
        *QUICK,
        *(f.pipe(o) if n % 2 else o for n, o in enumerate(options)),
    ]


def _apply(source: str, *options: str) -> Arguments:
    return lambda f: [
        "apply",
        f.pipe(source),
        "--transform",
        f.transform,
        "--output",
        f.folder / f"out{source[4:]}",
        *options,
        *([f.good.fixed] if options else []),
    ]


def _train(kind: list[str], *options: str) -> Arguments:
    return lambda f: [
        *kind,
        f.pipe("pipe.toml") if not options else options[0],
        "--data",
        f.folder,
        "--output",
        f.output,
        *(f.pipe(o) if n % 2 else o for n, o in enumerate(options[1:])),
    ]


def _image_table(f: Folder) -> list[object]:
    f.pipe("train.csv")
    return ["train", "student", "toy-student", "--data", f.folder, "--output", f.output]


INPUTS: dict[str, Arguments] = {
    "register fixed": lambda f: ["register", f.pipe("pipe.nii.gz"), f.good.moving, "--output", f.output],
    "register moving": lambda f: ["register", f.good.fixed, f.pipe("pipe.nrrd"), "--output", f.output],
    "register fixed_segmentation": _register("--fixed-segmentation", "pipe.nii"),
    "register moving_segmentation": _register("--moving-segmentation", "pipe.seg.nrrd"),
    "register fixed_mask": _register("--fixed-mask", "pipe.mha"),
    "register moving_mask": _register("--moving-mask", "pipe.nii.gz"),
    "register landmarks": _register("--landmarks", "pipe.csv"),
    "register initial": _register("--initial", "pipe.h5"),
    "register initial .tfm": _register("--initial", "pipe.tfm"),
    "apply input": _apply("pipe.csv"),
    "apply input .mrk.json": _apply("pipe.mrk.json"),
    "apply input .ply": _apply("pipe.ply"),
    "apply input .nii": _apply("pipe.nii", "--reference"),
    "apply input .seg.nrrd": _apply("pipe.seg.nrrd", "--reference"),
    "apply transforms": lambda f: [
        "apply", f.csv, "--transform", f.pipe("pipe.mat"), "--output", f.folder / "out.csv",
    ],
    "apply transforms .nii.gz": lambda f: [
        "apply", f.csv, "--inverse", f.pipe("pipe.nii.gz"), "--output", f.folder / "out.csv",
    ],
    "apply reference": lambda f: [
        "apply", f.good.moving, "--transform", f.transform, "--reference", f.pipe("pipe.nii.gz"),
        "--output", f.folder / "out.nii.gz",
    ],
    "batch pairs": lambda f: ["batch", f.pipe("pipe.csv"), "--output", f.output],
    "batch pairs .json": lambda f: ["batch", f.pipe("pipe.json"), "--output", f.output],
    "batch in the list": lambda f: [
        "batch", f.listed("fixed,moving", (f.good.fixed, "pipe.nii.gz")), "--output", f.output,
    ],
    "batch initial": lambda f: [
        "batch", f.listed("fixed,moving", (f.good.fixed, f.good.moving)), "--initial", f.pipe("pipe.txt"),
        "--output", f.output,
    ],
    "batch bids": lambda f: ["batch", "--bids", f.pipe("data"), "--output", f.output],
    "batch fixed": lambda f: [
        "batch", "--bids", f.text("dataset_description.json", "{}").parent, "--shape", "all-to-one",
        "--fixed", f.pipe("pipe.nii.gz"), "--output", f.output,
    ],
    "evaluate pairs": lambda f: ["evaluate", f.pipe("pipe.csv"), "--output", f.output],
    "evaluate in the list": lambda f: [
        "evaluate", f.listed("fixed,moving", (f.good.fixed, "pipe.nii.gz")), "--output", f.output,
    ],
    "fuse atlases": lambda f: ["fuse", f.pipe("pipe.csv"), "--target", f.good.fixed, "--output", f.output],
    "fuse in the list": lambda f: [
        "fuse",
        f.listed("image,labels", (f.good.fixed, "pipe.nii.gz"), (f.good.moving, f.good.moving_segmentation)),
        "--target", f.good.fixed, "--output", f.output,
    ],
    "fuse target": lambda f: [
        "fuse",
        f.text(
            "list.csv",
            f"image,labels\n{f.good.fixed},{f.good.fixed_segmentation}\n{f.good.moving},{f.good.moving_segmentation}\n",
        ),
        "--target", f.pipe("pipe.nii.gz"), "--output", f.output,
    ],
    "template scans": lambda f: ["template", f.pipe("pipe.csv"), "--output", f.output],
    "template scans .nii.gz": lambda f: ["template", f.good.fixed, f.pipe("pipe.nii.gz"), "--output", f.output],
    "template in the list": lambda f: [
        "template",
        f.listed("image,labels", (f.good.fixed, "pipe.nii.gz"), (f.good.moving, f.good.moving_segmentation)),
        "--output", f.output,
    ],
    "series series": lambda f: ["series", "--to-mean", f.pipe("pipe.nii.gz"), "--output", f.output],
    "series series .nrrd": lambda f: ["series", "--to-mean", f.pipe("pipe.nrrd"), "--output", f.output],
    "series series, a file for each frame": lambda f: [
        "series", "--to-mean", f.good.fixed, f.pipe("pipe.nii.gz"), "--output", f.output,
    ],
    "series points": lambda f: [
        "series", "--to-mean", f.good.fixed, f.good.moving, "--points", f.pipe("pipe.csv"), "--output", f.output,
    ],
    "models add folder": lambda f: ["models", "add", f.pipe("model/card.json").parent],
    "models add folder, itself": lambda f: ["models", "add", f.pipe("model")],
    "models export training_run": lambda f: ["models", "export", f.pipe("state.pt").parent],
    "models export training_run, a file": lambda f: ["models", "export", f.pipe("pipe.pt")],
    "train teacher config": _train(["train", "teacher"]),
    "train student config": _train(["train", "student"]),
    "train student data": lambda f: [
        "train", "student", "toy-student", "--data", f.pipe("data"), "--output", f.output,
    ],
    "train teacher data": lambda f: [
        "train", "teacher", "toy-teacher", "--data", f.pipe("data"), "--output", f.output,
    ],
    "train student table of images": _image_table,
    "distill config": _train(["distill"]),
    "distill data": lambda f: ["distill", "toy-aldk", "--data", f.pipe("data"), "--output", f.output],
    "distill teacher": _train(["distill"], "toy-aldk", "--teacher", "pipe.pt"),
    "demo fixed": lambda f: ["demo", "--fixed", f.pipe("pipe.nii"), "--moving", f.good.moving, "--output", f.output],
    "demo moving": lambda f: ["demo", "--fixed", f.good.fixed, "--moving", f.pipe("pipe.nii"), "--output", f.output],
    "demo fixed_segmentation": lambda f: [
        "demo", "--fixed", f.good.fixed, "--moving", f.good.moving, "--output", f.output,
        "--moving-segmentation", f.good.moving_segmentation, "--fixed-segmentation", f.pipe("pipe.nii"),
    ],
    "demo moving_segmentation": lambda f: [
        "demo", "--fixed", f.good.fixed, "--moving", f.good.moving, "--output", f.output,
        "--fixed-segmentation", f.good.fixed_segmentation, "--moving-segmentation", f.pipe("pipe.nii"),
    ],
    "demo initial": lambda f: ["demo", "--initial", f.pipe("pipe.tfm"), "--output", f.output],
    "profile initial": lambda f: ["profile", f.good.fixed, f.good.moving, "--initial", f.pipe("pipe.tfm")],
    "profile fixed_segmentation": lambda f: [
        "profile", f.good.fixed, f.good.moving, "--moving-segmentation", f.good.moving_segmentation,
        "--fixed-segmentation", f.pipe("pipe.nii"),
    ],
    "profile moving_segmentation": lambda f: [
        "profile", f.good.fixed, f.good.moving, "--fixed-segmentation", f.good.fixed_segmentation,
        "--moving-segmentation", f.pipe("pipe.nii"),
    ],
    "profile fixed": lambda f: ["profile", f.pipe("pipe.nii.gz"), f.good.moving],
    "profile moving": lambda f: ["profile", f.good.fixed, f.pipe("pipe.nii.gz")],
}  # fmt: skip
_PATH_TYPES = ("parse_path", "_parse_transform", "_parse_inverse", "_parse_name")
OUTPUTS = ("output", "distill store", "profile json", "models export to", "train toy-data folder")


def _list_paths(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield each argument of the command line that is a path: the words of the command, and what it is called."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield from _list_paths(child, (*words, word))
        elif getattr(action.type, "__name__", "") in _PATH_TYPES:
            yield " ".join((*words, action.dest))


def test_every_option_that_names_a_file_is_tried() -> None:
    paths = {path for path in _list_paths(build_parser()) if not path.endswith(OUTPUTS)}
    assert len(paths) > 30
    assert sorted(path for path in paths if not any(name.startswith(path) for name in INPUTS)) == []


@pytest.mark.parametrize("name", INPUTS)
def test_a_pipe_is_refused_in_one_line(pair_files: PairFiles, tmp_path: Path, name: str) -> None:
    arguments = INPUTS[name](Folder(tmp_path, pair_files))
    done = run_command(*map(str, arguments))
    assert done.returncode == 2, (done.stdout, done.stderr)
    *progress, line = done.stderr.splitlines()
    assert not progress or name.startswith("train")
    assert re.match("light-registration: error: .*(this is a pipe|is a pipe, which|this is no folder)", line), line
