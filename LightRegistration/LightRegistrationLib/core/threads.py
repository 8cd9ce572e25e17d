"""Work shared among Python threads: for steps whose own operations are too small for torch to share them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import torch


def run_in_threads(work: Callable[[int], None], count: int) -> None:
    """Call work(0) to work(count - 1), each in a thread of its own, the last one here; raises what one of them raised.

    Inside, torch starts no threads of its own and records no gradients. The threads end with the call: in a process
    that is forked later, those that were kept would be missing.
    """
    inference, allowed = torch.is_inference_mode_enabled(), torch.get_num_threads()

    def guarded(number: int) -> None:
        torch.set_num_threads(1)
        try:
            with torch.inference_mode(inference), torch.no_grad():
                work(number)
        finally:
            torch.set_num_threads(allowed)

    if count == 1:
        guarded(0)
        return
    with ThreadPoolExecutor(count - 1) as pool:
        running = [pool.submit(guarded, number) for number in range(count - 1)]
        guarded(count - 1)
        for future in running:
            future.result()


def split_range(total: int, count: int) -> list[range]:
    """Split range(total) into `count` stretches of nearly equal length; none for a count of 0."""
    if count == 0:
        return []
    return [range(first, last) for first, last in pairwise(total * number // count for number in range(count + 1))]


@contextmanager
def limit_threads(count: int | None) -> Iterator[None]:
    """Use so many threads inside (None: as many as now), and afterward as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
