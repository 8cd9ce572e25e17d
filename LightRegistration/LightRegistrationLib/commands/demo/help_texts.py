"""Help texts of the `demo` command."""

from __future__ import annotations

DEMO = """\
Register a built-in pair and print a short table. The pair is computed: two scans of a phantom head with known anatomy,
the second one deformed in a known way, so that the error of the registration is known, too.
With --fixed and --moving your own files are registered instead."""
DEMO_END = """\
what is written to DIR: the result with pictures, as `register --views` does. For the built-in pair also its files in
DIR/inputs, and `known_deformation` in report.json: the lengths of the true displacements and of the remaining error,
mm, in the brain and in the whole head."""
