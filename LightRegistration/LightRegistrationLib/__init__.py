"""Deformable registration of two medical volumes: everything of the extension except Slicer's module file."""

__version__ = "0.1.0"
