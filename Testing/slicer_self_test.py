"""Run the module's self-test inside a real Slicer and exit with its result (`make slicer-test`)."""

from __future__ import annotations

import importlib
import unittest

import slicer


def run_self_test() -> int:
    """Run every scenario of LightRegistrationTest. Returns 0 if all passed, 1 if not, 2 if they could not run."""
    if not hasattr(slicer.modules, "lightregistration"):
        print("Slicer did not load the module LightRegistration: see the messages above.")
        return 2
    environment = importlib.import_module("LightRegistrationLib.panel.running.environment")
    requirements = [f'"{environment.REQUIREMENTS[name]}"' for name in environment.find_missing_packages()]
    if requirements:
        print(f'Install first: "{environment.find_python_executable()}" -m pip install {" ".join(requirements)}')
        return 2
    scenarios = importlib.import_module("LightRegistration").LightRegistrationTest
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(scenarios)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    return 0 if result.testsRun and result.wasSuccessful() else 1


status = 1
try:
    status = run_self_test()
finally:
    # Exit after an error too: Slicer would wait for the user otherwise.
    slicer.util.exit(status)
