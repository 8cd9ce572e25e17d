"""The `apply` command: its options, and what it prints."""

from __future__ import annotations

import argparse
from typing import Any

from ...core.sampling.settings import Interpolation
from ..register.help_texts import THREADS
from ..register.options import parse_path
from ..terminal.messages import print_warning
from . import help_texts as texts
from .request import TransformFile


def add_apply(commands: Any) -> None:
    """Add the command to the command line's parser."""
    parser = commands.add_parser(
        "apply",
        help="bring volumes, labels, points or surfaces along by stored transforms",
        description=texts.APPLY,
        epilog=texts.APPLY_END,
    )
    parser.add_argument("input", type=parse_path, metavar="INPUT", help=texts.INPUT)
    parser.add_argument("--output", type=parse_path, required=True, metavar="FILE", help=texts.OUTPUT)
    parser.add_argument(
        "--transform", dest="transforms", action="append", type=_parse_transform, metavar="FILE", help=texts.TRANSFORM
    )
    parser.add_argument(
        "--inverse", dest="transforms", action="append", type=_parse_inverse, metavar="FILE", help=texts.INVERSE
    )
    parser.add_argument("--reference", type=parse_path, metavar="FILE", help=texts.REFERENCE)
    parser.add_argument("--interpolation", choices=list(Interpolation), help=texts.INTERPOLATION)
    parser.add_argument("--lps", action="store_true", help=texts.LPS)
    parser.add_argument("--threads", type=int, metavar="N", help=THREADS)
    parser.add_argument("--force", action="store_true", help="replace an existing FILE")
    parser.set_defaults(run=_run)


def _parse_transform(text: str) -> TransformFile:
    return TransformFile(parse_path(text))


def _parse_inverse(text: str) -> TransformFile:
    return TransformFile(parse_path(text), is_inverted=True)


def _run(options: argparse.Namespace) -> None:
    from .call import apply_transforms

    warnings = apply_transforms(
        options.transforms or (),
        options.input,
        options.output,
        reference=options.reference,
        interpolation=options.interpolation,
        is_lps=options.lps,
        threads=options.threads,
        force=options.force,
    )
    for line in warnings:
        print_warning(line)
