"""Options of the command line that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...core.result.settings import AUTO_MODEL, InitialAlignment, RefinementPreset
from . import help_texts as texts


def parse_path(text: str) -> Path:
    """Return the path of an argument; an empty one, of a script whose variable is not set, is refused."""
    return Path(_parse_name(text))


def _parse_name(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty; name a file or a folder")
    return text


def add_segmentation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the two segmentations."""
    for role in ("fixed", "moving"):
        parser.add_argument(
            f"--{role}-segmentation", type=parse_path, metavar="FILE", help=texts.SEGMENTATION.format(role=role)
        )


def add_setting_options(parser: argparse._ActionsContainer, threads: str = texts.THREADS) -> None:
    """Add the options for model, cascades, initial alignment, refinement and threads; threads: help of the last."""
    metavar = f"{'|'.join(InitialAlignment)}|FILE"
    initial = {"default": InitialAlignment.AFFINE, "metavar": metavar, "type": _parse_name, "help": texts.INITIAL}
    _add_settings(parser, initial, RefinementPreset.NONE, texts.REFINE, threads)


def add_group_setting_options(
    parser: argparse._ActionsContainer,
    initial: InitialAlignment,
    initial_help: str,
    refine: RefinementPreset,
    refine_help: str = texts.REFINE,
    threads: str = texts.THREADS,
) -> None:
    """Add the same options for a command that registers many scans, for which no transform file is initial.

    initial, refine: the defaults.
    """
    choices = {"default": initial, "choices": list(InitialAlignment), "help": initial_help}
    _add_settings(parser, choices, refine, refine_help, threads)


def _add_settings(
    parser: argparse._ActionsContainer,
    initial: dict[str, Any],
    refine: RefinementPreset,
    refine_help: str,
    threads: str,
) -> None:
    parser.add_argument("--model", default=AUTO_MODEL, metavar="NAME", help=texts.MODEL)
    parser.add_argument("--cascades", type=int, metavar="N", help=texts.CASCADES)
    parser.add_argument("--initial", **initial)
    parser.add_argument("--refine", choices=list(RefinementPreset), default=refine, help=refine_help)
    parser.add_argument("--threads", type=int, metavar="N", help=threads)


def add_mask_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the two masks."""
    for role in ("fixed", "moving"):
        parser.add_argument(f"--{role}-mask", type=parse_path, metavar="FILE", help=texts.MASK.format(role=role))


def add_guidance_options(parser: argparse._ActionsContainer) -> None:
    """Add the options for volume preservation, follow-up, and the check in the opposite direction."""
    parser.add_argument("--keep-volume", nargs="+", default=[], metavar="NAME", help=texts.KEEP_VOLUME)
    parser.add_argument("--follow-up", action="store_true", help=texts.FOLLOW_UP)
    parser.add_argument("--consistency", action="store_true", help=texts.CONSISTENCY)
