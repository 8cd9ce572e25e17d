"""The command line `light-registration`: what it understands, what it says, how it ends."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..core.errors import InputError
from ..core.result.result import REFINEMENTS, RegistrationSettings
from .demo.command import demo_own_files, demo_phantom, format_model, summary
from .evaluate.command import add_evaluate
from .models.command import add_models, expand_shorthand
from .profile.command import add_profile
from .register.call import register_files
from .register.report import versions
from .register.request import FilesRequest
from .terminal import help_texts as texts
from .terminal.progress import progress_bar
from .train.options import add_distill, add_train

PROGRAM = "light-registration"
DONE, BAD_INPUT, INTERRUPTED = 0, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (see `help_texts.EXIT_STATUS`)."""
    _end_orderly_on_signals()
    # For torch, which is imported later: threads that wait for each other shall not burn the cores of other programs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show ± gets a question mark, not a traceback
    options = build_parser().parse_args(expand_shorthand(sys.argv[1:] if arguments is None else arguments))
    try:
        options.run(options)
    except InputError as error:
        _say_error(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    return DONE


def _end_orderly_on_signals() -> None:
    """Let SIGTERM and a closed terminal end the run in the ordinary way, so that unfinished folders are removed."""
    signal.signal(signal.SIGTERM, _terminate)
    # Under nohup the closed terminal is ignored, and stays so.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminate)


def _terminate(number: int, frame: Any) -> NoReturn:
    sys.exit(128 + number)


def _say_error(message: str) -> None:
    line = " ".join(message.split())
    if sys.stderr is not None:
        print(f"{PROGRAM}: error: {line}", file=sys.stderr)


def _say_notes(report: dict[str, Any]) -> None:
    """Warnings always, and on a terminal which model was used and why; all of it is in the report as well."""
    if sys.stderr is None:
        return
    if sys.stderr.isatty():
        print(f"Model {format_model(report)}", file=sys.stderr)
    for line in report["warnings"]:
        print(f"{PROGRAM}: warning: {line}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """A parser that reports wrong usage in one line."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **arguments)

    def error(self, message: str) -> NoReturn:
        _say_error(f"{message} (see {self.prog} --help)")
        sys.exit(BAD_INPUT)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(prog=PROGRAM, description=texts.PROGRAM, epilog=texts.PROGRAM_END)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {versions()[PROGRAM]}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_register(commands)
    add_models(commands)
    add_evaluate(commands)
    add_train(commands)
    add_distill(commands)
    _add_demo(commands)
    add_profile(commands)
    return parser


def _add_register(commands: Any) -> None:
    parser = commands.add_parser(
        "register",
        help="register a moving volume to a fixed one",
        description=texts.REGISTER,
        epilog=texts.REGISTER_END,
    )
    parser.add_argument("fixed", type=Path, metavar="FIXED", help="volume that stays: file or DICOM folder")
    parser.add_argument("moving", type=Path, metavar="MOVING", help="volume that is deformed onto the fixed one")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    _add_segmentations(parser)
    _add_choices(parser)
    _add_guidance(parser)
    parser.add_argument("--views", action="store_true", help="also draw pictures of slice views (views/*.png)")
    parser.add_argument("--no-compression", action="store_true", help=texts.NO_COMPRESSION)
    parser.add_argument("--force", action="store_true", help=texts.FORCE)
    parser.set_defaults(run=_run_register)


def _add_segmentations(parser: argparse.ArgumentParser) -> None:
    for role in ("fixed", "moving"):
        parser.add_argument(
            f"--{role}-segmentation",
            type=Path,
            metavar="FILE",
            help=f"structures in the {role} volume: label map or .seg.nrrd, on any grid",
        )


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="auto", metavar="NAME", help=texts.MODEL)
    parser.add_argument("--cascades", type=int, metavar="N", help=texts.CASCADES)
    parser.add_argument("--initial", default="affine", metavar="none|centers|affine|FILE", help=texts.INITIAL)
    parser.add_argument("--refine", choices=REFINEMENTS, default="none", help=texts.REFINE)
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")


def _add_guidance(parser: argparse.ArgumentParser) -> None:
    for role in ("fixed", "moving"):
        parser.add_argument(f"--{role}-mask", type=Path, metavar="FILE", help=texts.MASK.format(role=role))
    parser.add_argument("--keep-volume", nargs="+", default=[], metavar="NAME", help=texts.KEEP_VOLUME)


def _run_register(options: argparse.Namespace) -> None:
    with progress_bar() as progress:
        report = register_files(
            options.fixed,
            options.moving,
            options.output,
            fixed_segmentation=options.fixed_segmentation,
            moving_segmentation=options.moving_segmentation,
            fixed_mask=options.fixed_mask,
            moving_mask=options.moving_mask,
            model=options.model,
            cascades=options.cascades,
            initial=options.initial,
            refine=options.refine,
            keep_volume=options.keep_volume,
            threads=options.threads,
            views=options.views,
            compress=not options.no_compression,
            force=options.force,
            progress=progress,
        )
    _say_notes(report)


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser(
        "demo", help="try it on a built-in pair", description=texts.DEMO, epilog=texts.DEMO_END
    )
    parser.add_argument("--output", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    parser.add_argument("--fixed", type=Path, metavar="FILE", help="your own fixed volume")
    parser.add_argument("--moving", type=Path, metavar="FILE", help="your own moving volume")
    _add_segmentations(parser)
    _add_choices(parser)
    parser.add_argument("--force", action="store_true", help=texts.FORCE)
    parser.set_defaults(run=_run_demo)


def _run_demo(options: argparse.Namespace) -> None:
    own = (options.fixed, options.moving, options.fixed_segmentation, options.moving_segmentation)
    if any(own) and not (options.fixed and options.moving):
        raise InputError("Your own pair needs both --fixed and --moving.")
    request = FilesRequest(
        fixed=options.fixed or Path(),
        moving=options.moving or Path(),
        fixed_segmentation=options.fixed_segmentation,
        moving_segmentation=options.moving_segmentation,
        initial=options.initial,
        settings=RegistrationSettings(
            model=options.model, cascades=options.cascades, threads=options.threads, refine=options.refine
        ),
        views=True,
    )
    run = demo_own_files if options.fixed else demo_phantom
    with progress_bar() as progress:
        report = run(request, options.output, options.force, progress)
    print(summary(report, options.output))
