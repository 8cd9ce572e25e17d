"""What a teacher says of pairs: a lesson; and what every teacher provides, whatever its deformations come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...core.errors import InputError
from ..data.pairs import Pair


@dataclass(frozen=True, eq=False)
class Lesson:
    """A teacher's deformations of pairs.

    flow: (N, 3, D, H, W), voxels of the pairs' grid, fixed -> moving, components i, j, k. is_taught: (N,) booleans;
    where it is False the teacher has nothing to teach (a refinement that found no better match), and its deformation
    is not used.
    """

    flow: Tensor
    is_taught: Tensor

    @classmethod
    def of(cls, flow: Tensor) -> Lesson:
        """A lesson in which every pair is taught."""
        return cls(flow, torch.ones(len(flow), dtype=torch.bool))

    def check(self, pair: Pair, where: str) -> None:
        """Raise InputError, beginning with `where`, for deformations of another grid or that are not finite."""
        expected = (len(pair.fixed), 3, *pair.fixed.shape[2:])
        if tuple(self.flow.shape) != expected:
            raise InputError(
                f"{where}: the teacher's field is {tuple(self.flow.shape)}, but the pair needs {expected}."
            )
        if not bool(torch.isfinite(self.flow).all()):
            raise InputError(f"{where}: the teacher's deformation has values that are not finite; check the teacher.")


class FieldTeacher(Protocol):
    """Anything that has deformations for pairs.

    identity: plain values, with the key `kind`, that differ between teachers that say something else; they are written
    to the store, the state and the card, and a run or a store goes on only with the same ones.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """See the class."""
        ...

    def teach(self, pair: Pair, number: int | None = None) -> Lesson:
        """The deformations of N pairs. number: of the pair (N = 1) in a store; None for pairs that are not stored.

        Raises InputError if there are none for this pair.
        """
        ...


def hash_weights(network: nn.Module) -> str:
    """SHA-256 of the names and values of a network's weights."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
