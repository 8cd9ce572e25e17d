"""Options of the command line that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...core.result.settings import AUTO_MODEL, InitialAlignment, RefinementPreset
from . import help_texts as texts


def parse_path(text: str) -> Path:
    """Return the path of an argument; an empty one, of a script whose variable is not set, is refused."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty; name a file or a folder")
    return Path(text)


def add_segmentation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the two segmentations."""
    for role in ("fixed", "moving"):
        parser.add_argument(
            f"--{role}-segmentation", type=parse_path, metavar="FILE", help=texts.SEGMENTATION.format(role=role)
        )


def add_setting_options(parser: argparse._ActionsContainer, threads: str = texts.THREADS) -> None:
    """Add the options for model, cascades, initial alignment, refinement and threads; threads: help of the last."""
    initial = f"{'|'.join(InitialAlignment)}|FILE"
    parser.add_argument("--model", default=AUTO_MODEL, metavar="NAME", help=texts.MODEL)
    parser.add_argument("--cascades", type=int, metavar="N", help=texts.CASCADES)
    parser.add_argument("--initial", default=InitialAlignment.AFFINE, metavar=initial, help=texts.INITIAL)
    parser.add_argument("--refine", choices=list(RefinementPreset), default=RefinementPreset.NONE, help=texts.REFINE)
    parser.add_argument("--threads", type=int, metavar="N", help=threads)


def add_guidance_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for masks, volume preservation and follow-up."""
    for role in ("fixed", "moving"):
        parser.add_argument(f"--{role}-mask", type=parse_path, metavar="FILE", help=texts.MASK.format(role=role))
    parser.add_argument("--keep-volume", nargs="+", default=[], metavar="NAME", help=texts.KEEP_VOLUME)
    parser.add_argument("--follow-up", action="store_true", help=texts.FOLLOW_UP)
