"""Run the module's self-test inside a real Slicer and leave with its verdict (`make slicer-test`)."""

from __future__ import annotations

import importlib
import unittest

import slicer


def verdict() -> int:
    """Run every scenario of LightRegistrationTest: 0 if all passed, 1 if not, 2 if they could not be run."""
    if not hasattr(slicer.modules, "lightregistration"):
        print("Slicer did not load the module LightRegistration: see the messages above.")
        return 2
    environment = importlib.import_module("LightRegistrationLib.panel.environment")
    wishes = [f'"{environment.REQUIREMENTS[name]}"' for name in environment.find_missing_packages()]
    if wishes:
        print(f'Install first: "{environment.python_executable()}" -m pip install {" ".join(wishes)}')
        return 2
    scenarios = importlib.import_module("LightRegistration").LightRegistrationTest
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(scenarios)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    return 0 if result.testsRun and result.wasSuccessful() else 1


status = 1
try:
    status = verdict()
finally:
    # An error above must end Slicer too: it would wait for the user otherwise.
    slicer.util.exit(status)
