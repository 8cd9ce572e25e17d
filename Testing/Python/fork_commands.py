"""Fork one process per request on standard input; write its process ID, then its exit status, to standard output.

A request is a line of JSON: program (a key of PROGRAMS), arguments, environment, folder, and the two files that
standard output and error go to.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

PROGRAMS = {"light-registration": "LightRegistrationLib.commands.main", "compare.row": "compare.row"}
"""Modules whose `main` is run: the command line, and one row of a comparison in Testing/Benchmarks."""
BENCHMARKS = Path(__file__).parents[1] / "Benchmarks"
LIBRARIES = ("torch", "slicer", "vtk", "scipy.ndimage", "safetensors.torch")
ROW_LIBRARIES = ("SimpleITK", "scipy.spatial")
TRAINING_LIBRARIES = ("monai", "lightning_fabric", "SimpleITK", "matplotlib.figure", "torch.utils.tensorboard")


def load(names: tuple[str, ...]) -> None:
    gc.disable()
    for name in names:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
    assert threads == 1, "a library started threads, which do not exist in a forked process"


def redirect(request: dict[str, Any]) -> None:
    descriptors = [os.open(os.devnull, os.O_RDONLY)]
    descriptors += [os.open(file, os.O_WRONLY) for file in request["files"]]
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])


def run_forked(request: dict[str, Any]) -> int:
    """Fork; the exit status in the parent. The child becomes the command and does not return."""
    if child := os.fork():
        print(child, flush=True)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    redirect(request)
    sys.argv = [request["program"], *request["arguments"]]
    os._exit(run_here(PROGRAMS[request["program"]]))


def run_here(module: str) -> int:
    """Run the program and the exit functions, but skip the interpreter's finalization, which copies all its memory."""
    try:
        status = importlib.import_module(module).main() or 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def main() -> None:
    sys.path.append(str(BENCHMARKS))
    load(LIBRARIES)
    for line in sys.stdin:
        request = json.loads(line)
        if request["program"] == "compare.row":
            load(ROW_LIBRARIES)
        elif request["arguments"][:1] in (["train"], ["distill"]):
            load(TRAINING_LIBRARIES)
        print(run_forked(request), flush=True)


if __name__ == "__main__":
    main()
