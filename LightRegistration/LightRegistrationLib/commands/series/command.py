"""The `series` command: its options, and what it prints."""

from __future__ import annotations

import argparse
from typing import Any

from ...core.result.settings import InitialAlignment, RefinementPreset
from ..register.help_texts import FORCE, NO_COMPRESSION
from ..register.options import add_group_setting_options, parse_path
from ..terminal.messages import print_warning
from ..terminal.progress_bar import open_progress_bar
from . import help_texts as texts
from .request import DEFAULT_ROUNDS


def add_series(commands: Any) -> None:
    """Add the command to the command line's parser."""
    parser = commands.add_parser(
        "series",
        help="register the frames of a 4-D series to one frame or to their mean",
        description=texts.SERIES,
        epilog=texts.SERIES_END,
    )
    parser.add_argument("series", nargs="+", type=parse_path, metavar="SERIES", help=texts.INPUTS)
    reference = parser.add_mutually_exclusive_group(required=True)
    reference.add_argument("--frame", type=int, metavar="K", help=texts.FRAME)
    reference.add_argument("--to-mean", action="store_true", help=texts.TO_MEAN)
    parser.add_argument("--output", type=parse_path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, metavar="N", help=texts.ROUNDS)
    parser.add_argument("--points", type=parse_path, metavar="FILE", help=texts.POINTS)
    parser.add_argument("--lps", action="store_true", help=texts.LPS)
    parser.add_argument("--no-compression", action="store_true", help=NO_COMPRESSION)
    parser.add_argument("--force", action="store_true", help=FORCE)
    each = parser.add_argument_group("options of each registration, as in register")
    add_group_setting_options(each, InitialAlignment.NONE, texts.INITIAL, RefinementPreset.FAST, texts.REFINE)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from .call import register_series

    with open_progress_bar() as progress:
        summary = register_series(
            options.series,
            options.output,
            frame=options.frame,
            rounds=options.rounds,
            points=options.points,
            is_lps=options.lps,
            model=options.model,
            cascades=options.cascades,
            initial=options.initial,
            refine=options.refine,
            threads=options.threads,
            compress=not options.no_compression,
            force=options.force,
            progress=progress,
        )
    for line in summary["warnings"]:
        print_warning(line)
    done = [frame for frame in summary["frames"] if frame["transform"]]
    most = max(frame["mean_mm"] for frame in done)
    print(f"{len(done)} of {len(summary['frames'])} frames are registered; mean displacement up to {most:.1f} mm.")
