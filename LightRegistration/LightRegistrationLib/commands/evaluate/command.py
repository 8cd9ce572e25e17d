"""The `evaluate` command: registers and measures many pairs; can be stopped and resumed."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.models.cards import find_card, list_cards
from ...core.result.settings import AUTO_MODEL, RefinementPreset, RegistrationSettings, parse_choice
from ...core.thread_count import check_threads
from ..register.help_texts import MODEL, THREADS
from ..register.options import parse_path
from ..terminal.messages import print_warning
from ..terminal.progress_bar import ShowProgress, ignore_progress, open_progress_bar
from ..terminal.versions import read_versions
from . import help_texts as texts

if TYPE_CHECKING:
    from ...training.evaluation.run import PairRecord


def add_evaluate(commands: Any) -> None:
    """Add the command to the command line's parser."""
    parser = commands.add_parser(
        "evaluate", help="measure a model on many pairs", description=texts.EVALUATE, epilog=texts.EVALUATE_END
    )
    parser.add_argument(
        "pairs", type=parse_path, metavar="PAIRS", help="list of pairs: .csv, or .json with a list `pairs`"
    )
    parser.add_argument("--output", type=parse_path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--model", default=AUTO_MODEL, metavar="NAME", help=MODEL)
    parser.add_argument("--cascades", type=int, nargs="+", default=[], metavar="N", help=texts.CASCADES)
    parser.add_argument(
        "--refine",
        nargs="+",
        choices=list(RefinementPreset),
        default=[RefinementPreset.NONE],
        metavar="PRESET",
        help=texts.REFINE,
    )
    parser.add_argument("--groups", nargs="+", default=[], metavar="NAME", help=texts.GROUPS)
    parser.add_argument("--minimum-voxels", type=int, default=100, metavar="N", help=texts.MINIMUM)
    parser.add_argument("--pictures", action="store_true", help="also draw each pair (pictures/*.png)")
    parser.add_argument("--threads", type=int, metavar="N", help=THREADS)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    with open_progress_bar() as progress:
        records = evaluate_files(
            options.pairs,
            options.output,
            model=options.model,
            cascades=options.cascades,
            refine=options.refine,
            groups=options.groups,
            minimum_voxels=options.minimum_voxels,
            pictures=options.pictures,
            threads=options.threads,
            progress=progress,
        )
    for line in dict.fromkeys(line for record in records for line in record.warnings):
        print_warning(line)
    print(format_tables(records))
    failed = sum(bool(record.error) for record in records)
    if failed:
        raise InputError(f"{failed} of {len(records)} pairs could not be evaluated; the table says why.")


def evaluate_files(
    pairs: str | Path,
    output: str | Path,
    *,
    model: str = AUTO_MODEL,
    cascades: Sequence[int] = (),
    refine: Sequence[str] = (RefinementPreset.NONE,),
    groups: Sequence[str] = (),
    minimum_voxels: int = 100,
    pictures: bool = False,
    threads: int | None = None,
    progress: ShowProgress = ignore_progress,
) -> list[PairRecord]:
    """Evaluate a model on the pairs of a list and write results.csv, summary.json and pairs/ into the folder `output`.

    Does the same as `light-registration evaluate`; its help describes the arguments and the files. A pair that cannot
    be evaluated has its `error` set. Raises InputError for a list, a model or a folder that cannot be used.
    """
    output = Path(output)
    presets = [parse_choice(RefinementPreset, preset, "refinement") for preset in refine]
    for count, preset in product(cascades or (None,), presets):
        RegistrationSettings(model, count, threads=threads, refine=preset)
    check_threads(threads)
    if minimum_voxels < 0:
        raise InputError(f"The least number of voxels is 0 or more, got {minimum_voxels}.")
    _check_output(output)
    find_card(model, list_cards())
    _check_installed(pictures)
    from ...training.evaluation.pairs import read_pairs

    listed = read_pairs(Path(pairs), groups)
    # torch takes seconds to import: all checks that do not need it come before.
    from ...core.threads import limit_threads
    from ...training.evaluation.methods import build_model_methods
    from ...training.evaluation.run import EvaluationOptions, evaluate_pairs
    from ...training.evaluation.tables import write_results

    methods = build_model_methods(model, cascades, threads, refine=presets)
    with limit_threads(threads):
        records = evaluate_pairs(listed, methods, output, EvaluationOptions(minimum_voxels, pictures), progress)
    settings = {
        "pairs": str(pairs),
        "groups": list(groups),
        "model": model,
        "cascades": list(cascades),
        "refine": presets,
        "minimum_voxels": minimum_voxels,
        "threads": threads,
        "weights_sha256": _list_hashes(model),
        "versions": read_versions(),
    }
    write_results(records, output, settings)
    return records


def _list_hashes(model: str) -> dict[str, str]:
    """The hash of the weights of a model, or of all models for `auto`."""
    cards = list_cards()
    return {card.name: card.sha256 for card in (cards.values() if model == AUTO_MODEL else [find_card(model, cards)])}


def format_tables(records: Sequence[PairRecord]) -> str:
    """Return a line for each pair, and the summary below."""
    from ...training.evaluation.tables import format_pairs_table, format_summary_table

    parts = [format_pairs_table(records)]
    if any(record.scores for record in records):
        parts.append(format_summary_table(records))
    return "\n\n".join(parts)


def _check_output(output: Path) -> None:
    """Raise InputError for a folder with files of another origin that would be replaced."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: the output is a folder, but this is a file; choose another name.")
    taken = [name for name in ("results.csv", "summary.json") if (output / name).exists()]
    if taken and not (output / "pairs").is_dir():
        raise InputError(f"{output / taken[0]} is not of an evaluation and would be replaced; choose another folder.")


def _check_installed(pictures: bool) -> None:
    """Raise InputError if a package that only training and evaluation need is not installed."""
    for name in ("SimpleITK", *(["matplotlib"] if pictures else [])):
        if importlib.util.find_spec(name) is None:
            raise InputError(f"{name} is not installed: install it with pip install 'light-registration[training]'.")
