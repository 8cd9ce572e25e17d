"""The `register` command and its Python call: two volumes as files go in, a folder with the result comes out.

`register_files` is the documented call; its request is checked and read here, and its result is written as a whole.
"""

from .call import register_files

__all__ = ["register_files"]
