"""``python -m slicer_host FOLDER --test MODULE``: run a module's self-test in the double; exit code 0 or 1."""

from __future__ import annotations

import argparse
import sys
import unittest

from .host import start_slicer_host


def main() -> int:
    parser = argparse.ArgumentParser(prog="slicer_host", description="Run a scripted module's self-test.")
    parser.add_argument("folder", help="folder that holds <module>.py")
    parser.add_argument("--test", required=True, metavar="MODULE", help="module whose self-test is run")
    arguments = parser.parse_args()
    host = start_slicer_host([arguments.folder])
    case = unittest.FunctionTestCase(lambda: host.run_module_test(arguments.test), description=arguments.test)
    result = unittest.TextTestRunner(verbosity=2).run(case)
    host.shutdown()
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
