"""The priority of the worker process: normal, also under an application with a low one."""

from __future__ import annotations

import os


def take_normal_priority() -> str | None:
    """Give this process the normal priority if it has inherited a lower one; on Linux, Slicer runs with nice 19.

    Returns one line for the log if the system does not allow it: on Linux, raising a priority needs a privilege
    (RLIMIT_NICE). Windows starts a child with the normal priority by itself.
    """
    if os.name == "nt":
        return None
    inherited = os.getpriority(os.PRIO_PROCESS, 0)
    if inherited <= 0:
        return None
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    except PermissionError:
        return f"The worker keeps the low priority of its parent (nice {inherited}): the system does not let it change."
    return None
