"""The `template` command and its Python call: scans of a group go in; their unbiased mean comes out.

`build_template` is the documented call.
"""

from .call import build_template

__all__ = ["build_template"]
