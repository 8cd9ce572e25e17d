"""The processor that a measurement ran on."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path


def processor_name() -> str:
    """Return the processor's model as the operating system names it."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        models = (line for line in information.read_text().splitlines() if line.startswith("model name"))
        return next(models, f": {platform.machine()}").partition(":")[2].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()
