"""Run the worker: python -m LightRegistrationLib.worker SESSION_FOLDER [MODEL_FOLDER ...]."""

from __future__ import annotations

import sys
from pathlib import Path

from .server import serve

if __name__ == "__main__":
    serve(Path(sys.argv[1]), tuple(Path(folder) for folder in sys.argv[2:]))
