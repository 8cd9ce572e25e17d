"""The `template` command: its options, and what it prints."""

from __future__ import annotations

import argparse
from typing import Any

from ...core.result.settings import InitialAlignment, RefinementPreset
from ..batch.help_texts import MEMORY, THREADS
from ..register.help_texts import NO_COMPRESSION
from ..register.options import add_group_setting_options, parse_path
from ..terminal.messages import print_warning
from ..terminal.progress_bar import open_progress_bar
from . import help_texts as texts


def add_template(commands: Any) -> None:
    """Add the command to the command line's parser."""
    parser = commands.add_parser(
        "template",
        help="build the unbiased mean of a group of scans",
        description=texts.TEMPLATE,
        epilog=texts.TEMPLATE_END,
    )
    parser.add_argument("scans", nargs="+", type=parse_path, metavar="SCANS", help=texts.SCANS)
    parser.add_argument("--output", type=parse_path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--iterations", type=int, default=4, metavar="N", help=texts.ITERATIONS)
    parser.add_argument("--start", metavar="NAME", help=texts.START)
    parser.add_argument("--spacing", type=float, metavar="MM", help=texts.SPACING)
    parser.add_argument("--probabilities", action="store_true", help=texts.PROBABILITIES)
    parser.add_argument("--no-compression", action="store_true", help=NO_COMPRESSION)
    parser.add_argument("--force", action="store_true", help=texts.FORCE)
    processes = parser.add_argument_group("processes")
    processes.add_argument("--workers", type=int, metavar="N", help=texts.WORKERS)
    processes.add_argument("--memory", type=float, metavar="GB", help=MEMORY)
    each = parser.add_argument_group("options of each registration, as in register")
    add_group_setting_options(
        each, InitialAlignment.AFFINE, texts.INITIAL, RefinementPreset.FAST, texts.REFINE, THREADS
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from .call import build_template

    with open_progress_bar() as progress:
        summary = build_template(
            options.scans,
            options.output,
            iterations=options.iterations,
            start=options.start,
            spacing_mm=options.spacing,
            probabilities=options.probabilities,
            model=options.model,
            cascades=options.cascades,
            initial=options.initial,
            refine=options.refine,
            workers=options.workers,
            threads=options.threads,
            memory_gb=options.memory,
            compress=not options.no_compression,
            force=options.force,
            progress=progress,
            print_line=lambda line: print(line, flush=True),
        )
    for line in summary["warnings"]:
        print_warning(line)
    last, ratio = summary["iterations"][-1], summary["sharpness"]["ratio"]
    print(
        f"Mean of {len(summary['scans'])} scans; iteration {last['number']}, the last one, changed it by "
        f"{last['change_percent']:.1f} %. Gradient energy: {ratio:.2f} times that of the affine mean."
    )
