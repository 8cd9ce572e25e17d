"""The processor that a measurement ran on."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

_INSTRUCTIONS = {"amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2"}


def processor_name() -> str:
    """Return the processor's model as the operating system names it, on Linux also its widest vector instructions.

    Virtual machines give one name to processors that differ severalfold in speed.
    """
    information = Path("/proc/cpuinfo")
    if information.is_file():
        text = information.read_text()
        models = (line for line in text.splitlines() if line.startswith("model name"))
        model = next(models, f": {platform.machine()}").partition(":")[2].strip()
        widest = next((name for flag, name in _INSTRUCTIONS.items() if flag in text), "")
        return f"{model}, {widest}" if widest else model
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()
