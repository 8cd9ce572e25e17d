"""The `profile` command: its options, and the table that it prints."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.result.progress import ignore_progress
from ...core.result.settings import InitialAlignment, RegistrationSettings
from ...core.thread_count import check_threads
from ..files.output_file import check_output_file
from ..register.options import add_segmentation_options, add_setting_options, parse_path
from ..register.request import FilesRequest, check_request
from . import help_texts as texts

if TYPE_CHECKING:
    from ...worker.protocol import RegistrationRequest

PHANTOM_EXTENT_MM = 182.0


def add_profile(commands: Any) -> None:
    """Add the command to the command line's parser."""
    parser = commands.add_parser(
        "profile", help="measure the time of each step", description=texts.PROFILE, epilog=texts.PROFILE_END
    )
    parser.add_argument("fixed", type=parse_path, nargs="?", metavar="FIXED", help="your own fixed volume")
    parser.add_argument("moving", type=parse_path, nargs="?", metavar="MOVING", help="your own moving volume")
    add_segmentation_options(parser)
    parser.add_argument("--size", type=int, default=128, metavar="N", help=texts.SIZE)
    add_setting_options(parser)
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs after the first one (default: 3)")
    parser.add_argument("--json", type=parse_path, metavar="FILE", help="write the same numbers to this file")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if (options.fixed is None) != (options.moving is None):
        raise InputError("Name two volumes, FIXED and MOVING, or none for the built-in pair.")
    if not 16 <= options.size <= 512 or options.repeat < 1:
        raise InputError("--size is 16 to 512 voxels, and --repeat at least 1.")
    if options.json is not None:
        inputs = (options.fixed, options.moving, options.fixed_segmentation, options.moving_segmentation)
        _check_json(options.json, [path for path in inputs if path is not None])
    with _load_request(options) as request:
        from .measure import profile_request

        report = profile_request(request, options.repeat)
    if options.json is not None:
        try:
            options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{options.json}: cannot be written ({error.strerror or error}).") from error
    print(format_profile(report))


def _check_json(path: Path, inputs: Sequence[Path]) -> None:
    """Raise InputError at once for a file that could not be written after the measurement."""
    check_output_file(path, inputs, force=True)
    if not path.resolve().parent.is_dir():
        raise InputError(f"{path}: cannot be written; there is no folder {path.parent}.")
    if not os.access(path if path.exists() else path.resolve().parent, os.W_OK):
        raise InputError(f"{path}: cannot be written (Permission denied).")


@contextmanager
def _load_request(options: argparse.Namespace) -> Iterator[RegistrationRequest]:
    """Yield the request for the user's files or for the built-in pair."""
    check_threads(options.threads)
    settings = RegistrationSettings(
        model=options.model, cascades=options.cascades, threads=options.threads, refine=options.refine
    )
    if options.fixed is not None:
        files = FilesRequest(
            fixed=options.fixed,
            moving=options.moving,
            fixed_segmentation=options.fixed_segmentation,
            moving_segmentation=options.moving_segmentation,
            initial=options.initial,
            settings=settings,
        )
        check_request(files)
        from ..register.inputs import load_inputs

        with load_inputs(files, ignore_progress) as inputs:
            yield inputs.request
        return
    if options.fixed_segmentation or options.moving_segmentation:
        raise InputError("Segmentations need volumes: name FIXED and MOVING.")
    from ...worker.protocol import RegistrationRequest
    from ..phantom.pair import make_phantom_pair

    if options.initial not in list(InitialAlignment):
        raise InputError(f"The built-in pair is aligned by one of {', '.join(InitialAlignment)}.")
    pair = make_phantom_pair(spacing_mm=PHANTOM_EXTENT_MM / options.size)
    settings = replace(settings, initial=InitialAlignment(options.initial))
    yield RegistrationRequest(pair.fixed, pair.moving, settings, pair.fixed_segmentation, pair.moving_segmentation)


def format_profile(report: dict[str, Any]) -> str:
    """Return the profile as a table."""
    lines = [_format_volume("fixed", report["fixed"]), _format_volume("moving", report["moving"])]
    lines.append(
        f"model {report['model']}, refinement {report['refine']}, {report['threads']} threads, "
        f"the median of {report['runs']} runs after a first one"
    )
    lines += ["", f"{'':<34}{'wall ms':>10}{'CPU ms':>10}{'calls':>7}"]
    for step in report["steps"]:
        name = "  " * step["depth"] + step["name"]
        lines.append(f"{name:<34}{step['wall_ms']:>10.1f}{step['cpu_ms']:>10.1f}{step['calls']:>7}")
    machine, peaks = report["machine"], report["machine"]["matrix_product_gflops"]
    lines += [
        "",
        f"first picture (field is found)     {report['first_picture_ms']:>9.0f} ms",
        f"whole result (warped, compared)    {report['whole_ms']:>9.0f} ms",
    ]
    if report["peak_memory_mb"] is not None:
        lines.append(f"peak memory of the process         {report['peak_memory_mb']:>9.0f} MB")
    share = "" if machine["percent_of_peak"] is None else f" ({machine['percent_of_peak']:.0f} % of the peak)"
    lines += [
        "",
        f"matrix products of this machine: {peaks['float32']:.0f} GFLOP/s in float32, "
        f"{peaks['bfloat16']:.0f} in bfloat16",
        f"network: {machine['network_multiply_adds'] / 1e9:.1f} G multiply-adds, at that rate "
        f"{machine['least_ms']:.0f} ms in {machine['precision']}",
        f"its convolutions took {machine['convolutions_ms']:.0f} ms{share}, "
        f"squarings and warps {machine['grid_work_ms']:.0f} ms",
    ]
    return "\n".join(lines)


def _format_volume(role: str, volume: dict[str, Any]) -> str:
    size, spacing = (" x ".join(map(str, volume[key])) for key in ("size_ijk", "spacing_mm"))
    return f"{role}: {size} voxels of {spacing} mm, {volume['type']}"
