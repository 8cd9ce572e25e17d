"""The `demo` command: its options, and what it prints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.result.settings import RegistrationSettings
from ...core.thread_count import check_threads
from ..register.help_texts import FORCE
from ..register.options import add_segmentation_options, add_setting_options, parse_path
from ..register.request import FilesRequest
from ..terminal.progress_bar import open_registration_bar
from . import help_texts as texts


def add_demo(commands: Any) -> None:
    """Add the command to the command line's parser."""
    parser = commands.add_parser(
        "demo", help="try it on a built-in pair", description=texts.DEMO, epilog=texts.DEMO_END
    )
    parser.add_argument("--output", type=parse_path, default=Path("demo"), metavar="DIR", help="default: demo")
    parser.add_argument("--fixed", type=parse_path, metavar="FILE", help="your own fixed volume")
    parser.add_argument("--moving", type=parse_path, metavar="FILE", help="your own moving volume")
    add_segmentation_options(parser)
    add_setting_options(parser)
    parser.add_argument("--force", action="store_true", help=FORCE)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
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
    check_threads(options.threads)
    from .run import demo_own_files, demo_phantom
    from .summary import format_summary

    run = demo_own_files if options.fixed else demo_phantom
    with open_registration_bar() as progress:
        report = run(request, options.output, options.force, progress)
    print(format_summary(report, options.output))
