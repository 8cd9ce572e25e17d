"""The worker's priority under a parent with a low one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CHILD = """
import os
from LightRegistrationLib.worker.priority import take_normal_priority
line = take_normal_priority()
print(os.getpriority(os.PRIO_PROCESS, 0), line or "", sep=";")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows does not inherit a priority below normal")
def test_a_low_inherited_priority_is_raised_or_reported():
    run = subprocess.run(
        [sys.executable, "-c", CHILD], preexec_fn=lambda: os.nice(10), capture_output=True, text=True, check=True
    )
    nice, line = run.stdout.strip().split(";")
    raised = int(nice) == 0
    assert raised != bool(line), run.stdout
    assert raised or line.endswith("the system does not let it change.")
    if os.geteuid() == 0:
        assert raised
