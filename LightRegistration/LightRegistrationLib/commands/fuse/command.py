"""The `fuse` command: its options, and what it prints."""

from __future__ import annotations

import argparse
from typing import Any

from ...core.errors import InputError
from ...core.label_fusion.settings import FusionMethod, FusionSettings
from ...core.result.settings import InitialAlignment, RefinementPreset
from ..register.help_texts import FORCE, NO_COMPRESSION
from ..register.options import add_group_setting_options, parse_path
from ..terminal.messages import print_warning
from ..terminal.progress_bar import open_progress_bar
from . import help_texts as texts


def add_fuse(commands: Any) -> None:
    """Add the command to the command line's parser."""
    parser = commands.add_parser(
        "fuse", help="label a scan from several atlases", description=texts.FUSE, epilog=texts.FUSE_END
    )
    parser.add_argument("atlases", type=parse_path, metavar="ATLASES", help=texts.ATLASES)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--target", type=parse_path, metavar="FILE", help=texts.TARGET)
    task.add_argument("--leave-one-out", action="store_true", help=texts.LEAVE_ONE_OUT)
    parser.add_argument("--output", type=parse_path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--scans", nargs="+", metavar="NAME", help=texts.SCANS)
    parser.add_argument("--method", choices=list(FusionMethod), help=texts.METHOD)
    parser.add_argument("--patch-radius", type=int, default=FusionSettings.patch_radius, metavar="N", help=texts.PATCH)
    parser.add_argument(
        "--search-radius", type=int, default=FusionSettings.search_radius, metavar="N", help=texts.SEARCH
    )
    parser.add_argument("--probabilities", action="store_true", help=texts.PROBABILITIES)
    parser.add_argument("--no-compression", action="store_true", help=NO_COMPRESSION)
    parser.add_argument("--force", action="store_true", help=FORCE)
    each = parser.add_argument_group("options of each registration, as in register")
    add_group_setting_options(each, InitialAlignment.AFFINE, texts.INITIAL, RefinementPreset.NONE)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    (_evaluate if options.leave_one_out else _fuse)(options)


def _fuse(options: argparse.Namespace) -> None:
    from .call import fuse_atlases

    if options.scans:
        raise InputError("--scans chooses scans of --leave-one-out; leave it out with --target.")
    with open_progress_bar() as progress:
        summary = fuse_atlases(
            options.target,
            options.atlases,
            options.output,
            method=options.method or FusionMethod.JOINT,
            probabilities=options.probabilities,
            compress=not options.no_compression,
            progress=progress,
            **_read_common(options),
        )
    for line in summary["warnings"]:
        print_warning(line)


def _evaluate(options: argparse.Namespace) -> None:
    from .call import evaluate_fusion

    if options.method or options.probabilities or options.no_compression:
        raise InputError(
            "--leave-one-out measures both methods and writes no images; leave out --method, --probabilities, "
            "--no-compression."
        )
    with open_progress_bar() as progress:
        rows = evaluate_fusion(
            options.atlases, options.output, scans=options.scans or (), progress=progress, **_read_common(options)
        )
    from .scores import format_table

    print(format_table(rows))


def _read_common(options: argparse.Namespace) -> dict[str, Any]:
    names = ("patch_radius", "search_radius", "model", "cascades", "initial", "refine", "threads", "force")
    return {name: getattr(options, name) for name in names}
