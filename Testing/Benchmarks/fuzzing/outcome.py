"""Give one made-up input to the library, and judge what comes of it."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.headless.application import headless_application

from .judging import Wrong
from .kinds import KINDS

READ, REFUSED, FAULT = "read", "refused", "FAULT"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_EXPECTED_REFUSALS = (
    "3-D volume is needed",
    "is empty",
    "no finite value",
    "below 2147483648",
)
"""Parts of the messages with which an undamaged file may be refused: one slice, one value, labels beyond Slicer's."""


@dataclass(frozen=True)
class Outcome:
    """What came of an input: `read`, `refused`, or `FAULT` with what was wrong."""

    result: str
    text: str = ""


def try_input(kind: str, random: Random) -> Outcome:
    """Make an input of a kind in a folder of its own and read it.

    A fault is: another error than InputError, a message of several lines or with control characters, a sound input
    that is refused or read wrongly, something printed, and a file left in the folder or in the working folder.
    """
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as here, _capture_output() as printed:
        with chdir(here):
            outcome = _read(kind, random, Path(name))
            headless_application().scene.Clear(0)
            left = os.listdir()
        printed.seek(0)
        text = printed.read().decode(errors="replace")
    if outcome.result != FAULT and text:
        return Outcome(FAULT, f"printed: {text[:300]!r}")
    if outcome.result != FAULT and left:
        return Outcome(FAULT, f"left: {sorted(left)}")
    return outcome


def _read(kind: str, random: Random, folder: Path) -> Outcome:
    try:
        KINDS[kind](random, folder)
    except InputError as error:
        message = str(error)
        if not message.strip() or _CONTROL.search(message):
            return Outcome(FAULT, f"not one line: {message[:300]!r}")
        if len(message) > 2000:
            return Outcome(FAULT, f"a message of {len(message)} characters: {message[:200]}")
        is_expected = not kind.startswith("sound") or any(part in message for part in _EXPECTED_REFUSALS)
        return Outcome(REFUSED if is_expected else FAULT, message)
    except Wrong as error:
        return Outcome(FAULT, str(error))
    except Exception:  # noqa: BLE001 - these are the faults that are looked for
        lines = traceback.format_exc().splitlines()
        places = [line.strip() for line in lines if line.startswith("  File")]
        return Outcome(FAULT, f"{lines[-1][:300]} ({' '.join(places[-2:])})")
    return Outcome(READ)


@contextmanager
def _capture_output() -> Iterator[IO[bytes]]:
    """Redirect standard output and error of the process to a file."""
    with tempfile.TemporaryFile() as stream:
        sys.stdout.flush()
        sys.stderr.flush()
        earlier = os.dup(1), os.dup(2)
        try:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            yield stream
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, number in zip(earlier, (1, 2), strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)
