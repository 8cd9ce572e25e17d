"""The module with its panel in, passed or failed scenarios out: the module's self-test, in Slicer and without it."""
