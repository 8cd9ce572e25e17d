"""The module's Qt side: it connects widgets and parameter node to the scene and the worker, and computes nothing."""
