"""The argument parser of all commands."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from .exit_status import BAD_INPUT
from .messages import print_error


class OneLineParser(argparse.ArgumentParser):
    """A parser that reports wrong usage in one line."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **arguments)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise ArgumentError for a value that is no choice; argparse would show members of an enumeration as code."""
        if action.choices is not None and value not in action.choices:
            choices = ", ".join(map(str, action.choices))
            raise argparse.ArgumentError(action, f"invalid choice: '{value}' (choose from {choices})")

    def error(self, message: str) -> NoReturn:
        """Print the error and exit."""
        print_error(f"{message} (see {self.prog} --help)")
        sys.exit(BAD_INPUT)
