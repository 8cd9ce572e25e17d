"""The options of the `train` and `distill` commands and of `models export`."""

from __future__ import annotations

import argparse
from typing import Any

from ..register.options import parse_path
from ..terminal.progress_bar import open_progress_bar
from . import help_texts as texts
from .request import TrainingKind, TrainingRequest


def add_train(commands: Any) -> None:
    """Add `train teacher`, `train student` and `train toy-data` to the command line's parser."""
    parser = commands.add_parser(
        "train", help="train a teacher or a student", description=texts.TRAIN, epilog=texts.TRAIN_END
    )
    kinds = parser.add_subparsers(title="what to train", metavar="KIND", required=True)
    for kind, summary in ((TrainingKind.TEACHER, texts.TEACHER), (TrainingKind.STUDENT, texts.STUDENT)):
        trained = kinds.add_parser(kind, help=f"train a {kind}", description=summary, epilog=texts.RUN_END)
        _add_run(trained)
        trained.set_defaults(run=_run_training, kind=kind)
    _add_toy_data(kinds)


def add_distill(commands: Any) -> None:
    """Add `distill` to the command line's parser."""
    parser = commands.add_parser(
        "distill", help="train a student by a teacher", description=texts.DISTILL, epilog=texts.RUN_END
    )
    _add_run(parser)
    parser.add_argument("--teacher", type=parse_path, metavar="RUN", help=texts.TEACHER_RUN)
    parser.add_argument("--store", type=parse_path, metavar="DIR", help=texts.STORE)
    parser.set_defaults(run=_run_training, kind=TrainingKind.DISTILLATION)


def add_export(commands: Any) -> None:
    """Add `export` to the parser of the `models` commands."""
    parser = commands.add_parser("export", help="make a model of a training run", description=texts.EXPORT)
    parser.add_argument("training_run", type=parse_path, metavar="RUN", help="folder of the run, or its state.pt")
    parser.add_argument(
        "--to", type=parse_path, metavar="DIR", help="folder of models (default: models in the run's folder)"
    )
    parser.set_defaults(run=_run_export)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=parse_path, metavar="CONFIG", help=texts.CONFIG)
    parser.add_argument("--data", type=parse_path, required=True, metavar="DIR", help=texts.DATA)
    parser.add_argument("--output", type=parse_path, required=True, metavar="RUN", help=texts.OUTPUT)
    parser.add_argument("--seed", type=int, metavar="N", help="replaces the seed of the configuration")
    parser.add_argument("--no-tensorboard", action="store_true", help="write no logs for TensorBoard")
    hardware = parser.add_argument_group("hardware")
    hardware.add_argument("--threads", type=int, metavar="N", help="CPU threads of each process (default: all cores)")
    hardware.add_argument("--accelerator", choices=("cpu", "cuda", "auto"), default="cpu", help=texts.ACCELERATOR)
    hardware.add_argument("--devices", type=int, default=1, metavar="N", help=texts.DEVICES)
    hardware.add_argument("--nodes", type=int, default=1, metavar="N", help=texts.NODES)
    hardware.add_argument("--precision", choices=("32", "bf16"), help=texts.PRECISION)


def _run_training(options: argparse.Namespace) -> None:
    hardware = {name: getattr(options, name) for name in ("accelerator", "devices", "nodes", "threads")}
    request = TrainingRequest(
        kind=options.kind,
        config=options.config,
        data=options.data,
        output=options.output,
        teacher=getattr(options, "teacher", None),
        store=getattr(options, "store", None),
        seed=options.seed,
        hardware=hardware | {"precision": options.precision or ""},
        tensorboard=not options.no_tensorboard,
    )
    from .run import train

    train(request)


def _add_toy_data(kinds: Any) -> None:
    parser = kinds.add_parser(
        "toy-data", help="make small phantom heads", description=texts.TOY_DATA, epilog=texts.TOY_DATA_END
    )
    parser.add_argument("folder", type=parse_path, metavar="DIR", help="folder for the heads")
    parser.add_argument("--subjects", type=int, default=20, metavar="N", help="heads to train with (default: 20)")
    parser.add_argument("--validation", type=int, default=5, metavar="N", help="heads to validate with (default: 5)")
    parser.add_argument("--spacing", type=float, default=4.0, metavar="MM", help="size of a voxel (default: 4)")
    parser.add_argument("--force", action="store_true", help="replace heads that were made before")
    parser.set_defaults(run=_run_toy_data)


def _run_export(options: argparse.Namespace) -> None:
    from .run import export_run

    print(export_run(options.training_run, options.to))


def _run_toy_data(options: argparse.Namespace) -> None:
    from .toy_data import make_toy_data

    with open_progress_bar() as progress:
        make_toy_data(options.folder, options.subjects, options.validation, options.spacing, options.force, progress)
    print(f"{options.subjects} heads to train with and {options.validation} to validate with are in {options.folder}.")
    print(f"Next: light-registration train student toy-student --data {options.folder} --output RUN")
