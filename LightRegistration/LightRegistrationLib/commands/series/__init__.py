"""The `series` command and its Python call: the frames of a 4-D series go in; all of them on one, over time, come out.

`register_series` is the documented call.
"""

from .call import register_series

__all__ = ["register_series"]
