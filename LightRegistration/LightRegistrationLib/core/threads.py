"""Python threads for steps whose operations are too small for the threads of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import torch

from .thread_count import check_threads


def run_in_threads(work: Callable[[int], None], count: int) -> None:
    """Call work(0) to work(count - 1), each in its own thread, the last one in the caller's; raises their exceptions.

    Inside, torch starts no threads of its own and records no gradients. The threads end with the call, since threads
    that stay alive would be missing in a process that is forked later.
    """
    inference, allowed = torch.is_inference_mode_enabled(), torch.get_num_threads()

    def run_one(number: int) -> None:
        torch.set_num_threads(1)
        try:
            with torch.inference_mode(inference), torch.no_grad():
                work(number)
        finally:
            torch.set_num_threads(allowed)

    if count == 1:
        run_one(0)
        return
    with ThreadPoolExecutor(count - 1) as pool:
        running = [pool.submit(run_one, number) for number in range(count - 1)]
        run_one(count - 1)
        for future in running:
            future.result()


def split_range(total: int, count: int) -> list[range]:
    """Split range(total) into `count` parts of nearly equal length; no part for a count of 0."""
    if count == 0:
        return []
    return [range(first, last) for first, last in pairwise(total * number // count for number in range(count + 1))]


@contextmanager
def limit_threads(count: int | None) -> Iterator[None]:
    """Limit torch to `count` threads inside the block (None: no change); the former number returns afterward.

    Raises InputError as `check_threads`.
    """
    check_threads(count)
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
