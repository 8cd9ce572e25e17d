"""`python -m LightRegistrationLib.commands`: the command line where its script is not installed."""

from __future__ import annotations

import sys

from .entry import run

sys.exit(run())
