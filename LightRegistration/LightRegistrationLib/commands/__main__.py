"""`python -m LightRegistrationLib.commands`: the command line where its script is not installed."""

from __future__ import annotations

import sys

from .main import main

sys.exit(main())
