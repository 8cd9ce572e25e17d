"""`python -m LightRegistrationLib.commands`: the command line where its script is not installed."""

from __future__ import annotations

import sys

from .entry import run

if __name__ == "__main__":  # worker processes of `batch` import this file under another name
    sys.exit(run())
