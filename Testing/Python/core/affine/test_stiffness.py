"""A stiffer transform is taken where it matches as well in what both volumes show, not by a larger overlap alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from LightRegistrationLib.core.affine.settings import AFFINE
from LightRegistrationLib.core.affine.similarity import Candidates
from LightRegistrationLib.core.affine.stiffness import prefer_stiffer

TIE = AFFINE.max_stiffness_deficit


def candidate(scale: float, correlation: float, overlap: float) -> Candidates:
    matrix = torch.diag(torch.tensor([scale, 1, 1, 1], dtype=torch.float64))[None]
    merit = torch.tensor([correlation * overlap**0.5])
    unused = torch.zeros(1, 3)
    return Candidates(matrix, torch.tensor([correlation]), merit, unused, unused, unused)


@pytest.mark.parametrize(
    ("correlation", "overlap", "is_taken"),
    [
        (0.97, 1.0, True),
        (0.97 - 0.9 * TIE, 1.0, True),
        (0.97 - 1.5 * TIE, 1.0, False),  # a slab: as loaded it lies wholly in the other volume
        (0.97, 0.7, False),
    ],
)
def test_as_loaded_is_taken_if_merit_and_correlation_are_hardly_lower(correlation, overlap, is_taken):
    found, unmoved = candidate(1.2, 0.97, 0.8), candidate(1.0, correlation, overlap)
    chosen = prefer_stiffer(SimpleNamespace(evaluate=lambda matrices: unmoved), found)
    assert chosen is (unmoved if is_taken else found)
