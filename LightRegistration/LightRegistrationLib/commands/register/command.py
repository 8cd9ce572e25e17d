"""The `register` command: its options, and what it prints."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ...core.errors import InputError
from ...core.report.definition import ChangedPlaceReport, Report
from ...core.result.result import ChangeKind
from ..files.bids_names import Layout
from ..terminal.messages import print_warning
from ..terminal.progress_bar import open_registration_bar
from . import help_texts as texts
from .call import register_files
from .options import (
    add_guidance_options,
    add_mask_options,
    add_segmentation_options,
    add_setting_options,
    parse_path,
)
from .series import LIST_SERIES, format_series, parse_series


def add_register(commands: Any) -> None:
    """Add the command to the command line's parser."""
    parser = commands.add_parser(
        "register",
        help="register a moving volume to a fixed one",
        description=texts.REGISTER,
        epilog=texts.REGISTER_END,
    )
    parser.add_argument("fixed", type=parse_path, metavar="FIXED", help="volume that stays: file or DICOM folder")
    parser.add_argument("moving", type=parse_path, metavar="MOVING", help="volume that is deformed onto the fixed one")
    parser.add_argument("--output", type=parse_path, metavar="DIR", help="folder for the results (needed)")
    parser.add_argument("--series", nargs="?", const=LIST_SERIES, metavar="NUMBER", help=texts.SERIES)
    add_segmentation_options(parser)
    parser.add_argument("--landmarks", type=parse_path, metavar="FILE", help=texts.LANDMARKS)
    add_setting_options(parser)
    add_mask_options(parser)
    add_guidance_options(parser)
    parser.add_argument("--inverse", action="store_true", help=texts.INVERSE)
    parser.add_argument("--views", action="store_true", help="also draw pictures of slice views (views/*.png)")
    parser.add_argument("--report", action="store_true", help=texts.PAGE)
    parser.add_argument("--no-compression", action="store_true", help=texts.NO_COMPRESSION)
    parser.add_argument("--layout", choices=list(Layout), default=Layout.FOLDERS, help=texts.LAYOUT)
    parser.add_argument("--force", action="store_true", help=texts.FORCE)
    parser.set_defaults(run=_run)


def format_model(report: Report) -> str:
    """Return the model that was used, and why."""
    return f"{report['model']['name']}: {report['model']['reason']}"


def _run(options: argparse.Namespace) -> None:
    if options.series == LIST_SERIES:
        for folder in (options.fixed, options.moving):
            print(format_series(folder))
        return
    if options.output is None:
        raise InputError("Name the folder for the results: --output DIR.")
    fixed_series, moving_series = parse_series(options.series, options.fixed, options.moving)
    with open_registration_bar() as progress:
        report = register_files(
            options.fixed,
            options.moving,
            options.output,
            fixed_segmentation=options.fixed_segmentation,
            moving_segmentation=options.moving_segmentation,
            fixed_series=fixed_series,
            moving_series=moving_series,
            fixed_mask=options.fixed_mask,
            moving_mask=options.moving_mask,
            landmarks=options.landmarks,
            model=options.model,
            cascades=options.cascades,
            initial=options.initial,
            refine=options.refine,
            keep_volume=options.keep_volume,
            follow_up=options.follow_up,
            threads=options.threads,
            consistency=options.consistency,
            inverse=options.inverse,
            views=options.views,
            page=options.report,
            compress=not options.no_compression,
            force=options.force,
            layout=options.layout,
            progress=progress,
        )
    _print_notes(report)
    for line in [*format_consistency(report), *format_changes(report)]:
        print(line)


def format_consistency(report: Report) -> list[str]:
    """Return one line on the agreement with the opposite direction; nothing unless that was measured."""
    found = report.get("consistency")
    if found is None:
        return []
    return [
        f"Consistency with the opposite direction: mean {found['mean_mm']:.2f} mm, "
        f"95 % below {found['percentile_95_mm']:.2f} mm, largest {found['maximum_mm']:.2f} mm."
    ]


def format_changes(report: Report) -> list[str]:
    """Return what changed between two scans of one person, a line for each place; nothing without follow-up."""
    follow_up = report["follow_up"]
    if follow_up is None:
        return []
    changes = follow_up["changes"]
    lines = [_format_change(number, change) for number, change in enumerate(changes, 1)]
    head = "Changes, at RAS mm in the fixed volume:" if changes else "No changes were found."
    return [follow_up["note"], head, *lines]


def _format_change(number: int, change: ChangedPlaceReport) -> str:
    right, anterior, superior = change["position_ras_mm"]
    what = {
        ChangeKind.BRIGHTER: "without counterpart, brighter in the moving volume",
        ChangeKind.DARKER: "without counterpart, darker in the moving volume",
        ChangeKind.LARGER: "more volume in the moving volume",
        ChangeKind.SMALLER: "less volume in the moving volume",
    }[change["kind"]]
    place = f"{right:8.1f} {anterior:8.1f} {superior:8.1f}"
    return f"{number:3d}  {place}  {change['volume_mm3']:9.0f} mm³  {what}"


def _print_notes(report: Report) -> None:
    """Print the warnings, and on a terminal the model and why it was used; the report has both."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"Model {format_model(report)}", file=sys.stderr)
    for line in report["warnings"]:
        print_warning(line)
