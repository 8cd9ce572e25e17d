"""Keep None, True and False alive under a PySide that no longer counts references to them."""

from __future__ import annotations

import ctypes
import sys


def keep_singletons_alive() -> None:
    """Make the singletons immortal where Python has not done so itself.

    PySide 6.12 is built for interpreters where None, True and False live forever (Python 3.12 and newer) and returns
    them without counting the reference. In Python 3.11, where its wheels install as well, each such call takes one
    reference away, and after some ten thousand of them the interpreter frees None and aborts.
    """
    if sys.version_info >= (3, 12):
        return
    for singleton in (None, True, False, NotImplemented):
        # The reference count is the first field of every object in CPython 3.11.
        ctypes.c_ssize_t.from_address(id(singleton)).value += 1 << 40
