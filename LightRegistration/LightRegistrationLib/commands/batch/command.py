"""The `batch` command: its options, and what it prints."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.result.settings import RegistrationSettings
from ..files.bids_names import Layout
from ..register.help_texts import INVERSE, NO_COMPRESSION, PAGE
from ..register.options import add_guidance_options, add_setting_options, parse_path
from ..register.request import FilesRequest
from ..terminal.progress_bar import open_progress_bar
from . import help_texts as texts
from .plan import Shape

_DEFAULT_FILTER = "suffix=T1w"


def add_batch(commands: Any) -> None:
    """Add the command to the command line's parser."""
    parser = commands.add_parser(
        "batch", help="register many pairs in several processes", description=texts.BATCH, epilog=texts.BATCH_END
    )
    parser.add_argument("pairs", nargs="?", type=parse_path, metavar="PAIRS", help=texts.PAIRS)
    parser.add_argument("--bids", type=parse_path, metavar="FOLDER", help=texts.BIDS)
    parser.add_argument("--filter", nargs="+", action="extend", metavar="KEY=VALUE", help=texts.FILTER)
    parser.add_argument("--fixed", type=parse_path, metavar="FILE", help=texts.FIXED)
    parser.add_argument("--output", type=parse_path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--shape", choices=list(Shape), default=Shape.PAIRS, help=texts.SHAPE)
    parser.add_argument("--layout", choices=list(Layout), default=Layout.FOLDERS, help=texts.LAYOUT)
    parser.add_argument("--dry-run", action="store_true", help=texts.DRY_RUN)
    parser.add_argument("--retry-failed", action="store_true", help=texts.RETRY)
    processes = parser.add_argument_group("processes")
    processes.add_argument("--workers", type=int, metavar="N", help=texts.WORKERS)
    processes.add_argument("--memory", type=float, metavar="GB", help=texts.MEMORY)
    processes.add_argument("--scheduler", metavar="ADDRESS", help=texts.SCHEDULER)
    each = parser.add_argument_group("options of each pair, as in register")
    add_setting_options(each, threads=texts.THREADS)
    add_guidance_options(each)
    each.add_argument("--inverse", action="store_true", help=INVERSE)
    each.add_argument("--views", action="store_true", help="also draw pictures of slice views (views/*.png)")
    each.add_argument("--report", action="store_true", help=PAGE)
    each.add_argument("--no-compression", action="store_true", help=NO_COMPRESSION)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if (options.pairs is None) == (options.bids is None):
        raise InputError("Name a list of pairs, PAIRS, or a BIDS folder, --bids FOLDER, and not both.")
    if options.bids is None and options.fixed is not None:
        raise InputError("--fixed goes with --bids; in a list the first row names the fixed volume.")
    if options.bids is None and options.filter is not None:
        raise InputError("--filter goes with --bids; of a list, every pair is registered.")
    from .run import BatchRequest, prepare, run_batch

    settings = RegistrationSettings(
        model=options.model,
        cascades=options.cascades,
        refine=options.refine,
        keep_volume=tuple(options.keep_volume),
        follow_up=options.follow_up,
    )
    request = BatchRequest(
        pairs=options.bids or options.pairs,
        output=options.output,
        options=FilesRequest(
            fixed=Path(),
            moving=Path(),
            initial=options.initial,
            settings=settings,
            consistency=options.consistency,
            inverse=options.inverse,
            views=options.views,
            page=options.report,
            thumbnail=True,
            compress=not options.no_compression,
        ),
        shape=Shape(options.shape),
        workers=options.workers,
        threads=options.threads,
        memory_gb=options.memory,
        scheduler=options.scheduler,
        retry_failed=options.retry_failed,
        is_bids=options.bids is not None,
        filters=tuple(options.filter or [_DEFAULT_FILTER]),
        fixed=options.fixed,
        layout=Layout(options.layout),
    )
    batch = prepare(request)
    print(batch.describe())
    if options.scheduler is None and batch.waiting:
        print(f"{batch.processes.describe()} (--workers, --threads and --memory change that).")
    if options.dry_run:
        for task in batch.waiting:
            print(f"  {task.name}: {task.request.moving} to {task.request.fixed}")
        return
    sys.stdout.flush()
    with open_progress_bar() as show:
        rows = run_batch(request, batch, show, print)
    failed = [row for row in rows if row.state != "done"]
    for row in failed:
        print(f"  {row.name}: {row.error}")
    print(f"{len(rows) - len(failed)} of {len(rows)} pairs are registered: {options.output / 'index.html'}")
    if failed:
        raise InputError(f"{len(failed)} of {len(rows)} pairs failed; the table says why.")
