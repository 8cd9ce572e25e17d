"""A progress bar on standard error; nothing is drawn where standard error is no terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from ...core.result.progress import Progress, ProgressUpdate
from .stage_labels import format_progress

ShowProgress = Callable[[float, str], None]
"""Called with the fraction done (0 to 1) and a label."""
_LAYOUT = "{desc:<32}{percentage:3.0f}% |{bar}| {elapsed}"


def ignore_progress(fraction: float, label: str) -> None:
    """Show progress to nobody."""


@contextlib.contextmanager
def open_progress_bar() -> Iterator[ShowProgress]:
    """Draw a bar during the block; yields the function that moves it."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda fraction, label: None
        return
    from tqdm import tqdm

    with tqdm(total=1.0, bar_format=_LAYOUT, leave=False, dynamic_ncols=True) as bar:

        def show(fraction: float, label: str) -> None:
            bar.set_description_str(label, refresh=False)
            bar.n = fraction
            bar.refresh()

        yield show


@contextlib.contextmanager
def open_registration_bar() -> Iterator[Progress]:
    """Draw the progress of a registration during the block."""
    with open_progress_bar() as show:

        def show_update(update: ProgressUpdate) -> None:
            show(update.fraction, format_progress(update))

        yield show_update
