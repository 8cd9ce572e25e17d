"""The command line `light-registration`: parses the arguments, runs one command, returns the exit status."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import __version__
from ..core.errors import InputError
from ..core.torch_environment import TORCH_ENVIRONMENT
from ..worker.exit_reason import has_memory_error
from .apply.command import add_apply
from .batch.command import add_batch
from .demo.command import add_demo
from .evaluate.command import add_evaluate
from .fuse.command import add_fuse
from .models.command import add_models, expand_shorthand
from .profile.command import add_profile
from .register.command import add_register
from .series.command import add_series
from .template.command import add_template
from .terminal.exit_status import BAD_INPUT, DONE, EXIT_STATUS, INTERRUPTED
from .terminal.messages import PROGRAM, print_error
from .terminal.parser import OneLineParser
from .train.options import add_distill, add_train

DESCRIPTION = """\
Deformable registration of two medical volumes in seconds on an ordinary CPU.
Runs on the scene of 3D Slicer, without its windows."""

EPILOG = f"""\
first steps:
  light-registration demo --output demo                      try it on a built-in pair
  light-registration register fixed.nii.gz moving.nii.gz --output result
  light-registration register --help                         formats, options, what is written

{EXIT_STATUS}"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (see `terminal.exit_status`)."""
    _clean_up_on_signals()
    os.environ.update(TORCH_ENVIRONMENT | os.environ)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show ± gets a question mark, not a traceback
    options = build_parser().parse_args(expand_shorthand(sys.argv[1:] if arguments is None else arguments))
    try:
        options.run(options)
    except InputError as error:
        print_error(str(error))
        return BAD_INPUT
    except BrokenPipeError:
        raise  # the reader of the output has ended: the program ends silently
    except OSError as error:
        if error.filename is not None:
            raise
        print_error(f"The output cannot be written ({error.strerror}).")
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except (MemoryError, RuntimeError) as error:  # PyTorch raises the second
        if not has_memory_error(f"{type(error).__name__}: {error}"):
            raise
        print_error("The memory is full: close other programs, or use smaller inputs.")
        return BAD_INPUT
    return DONE


def build_parser() -> OneLineParser:
    """Return the parser of all commands."""
    parser = OneLineParser(prog=PROGRAM, description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_register(commands)
    add_apply(commands)
    add_batch(commands)
    add_fuse(commands)
    add_template(commands)
    add_series(commands)
    add_models(commands)
    add_evaluate(commands)
    add_train(commands)
    add_distill(commands)
    add_demo(commands)
    add_profile(commands)
    return parser


def _clean_up_on_signals() -> None:
    """Turn SIGTERM and SIGHUP into SystemExit, so that staging folders are removed."""
    signal.signal(signal.SIGTERM, _terminate)
    # Under nohup SIGHUP is ignored and stays ignored.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminate)


def _terminate(number: int, frame: Any) -> NoReturn:
    sys.exit(128 + number)
