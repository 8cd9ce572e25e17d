"""The `apply` command and its Python call: stored transforms bring a file into the space of a reference.

`apply_transforms` is the documented call; `inverse_of` names the inverse of a transform.
"""

from .call import apply_transforms
from .request import inverse_of

__all__ = ["apply_transforms", "inverse_of"]
