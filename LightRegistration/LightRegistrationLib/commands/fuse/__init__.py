"""The `fuse` command and its Python calls: labeled atlases go in; the labels of a target, or their accuracy, come out.

`fuse_atlases` and `evaluate_fusion` are the documented calls.
"""

from .call import evaluate_fusion, fuse_atlases

__all__ = ["evaluate_fusion", "fuse_atlases"]
