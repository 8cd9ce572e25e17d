"""Verifies a model: its file, its network, and a registration of a small built-in pair."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

from ...core.errors import InputError, ModelError
from ...core.geometry.volume import Volume
from ...core.models.cards import ModelCard
from ...core.models.registry import ModelRegistry, Student, load_student
from ...core.registration import register
from ...core.result.settings import RegistrationSettings
from ..phantom.pair import PhantomPair, make_phantom_pair

SPACING_MM = 5.0
"""Coarse, so that the verification takes about a second."""


def verify_model(card: ModelCard) -> str:
    """Check the weights file, build the network, and register the built-in pair; returns a line for the user.

    Raises ModelError for a damaged model, and for a deformation that is not finite or folds.
    """
    started = time.perf_counter()
    student = load_student(card)
    count = sum(parameter.numel() for parameter in student.network.parameters())
    try:
        _register_built_in_pair(student)
    except InputError as error:
        raise ModelError(f"Model '{card.name}': the built-in pair cannot be registered with it: {error}") from error
    return (
        f"good ({count / 1e6:.2f} million parameters, hash as in the card, built-in pair registered without folding, "
        f"{time.perf_counter() - started:.1f} s)"
    )


def _register_built_in_pair(student: Student) -> None:
    pair = _make_pair()
    fixed, moving = (_convert_to_window(volume, student) for volume in (pair.fixed, pair.moving))
    result = register(fixed, moving, RegistrationSettings(model=student.card.name), registry=_LoadedModel(student))
    if not np.isfinite(result.field.array).all():
        raise InputError("the deformation is not finite.")
    if result.jacobian.percent_nonpositive > 0:
        raise InputError(f"the deformation folds in {result.jacobian.percent_nonpositive:.3f} % of the volume.")


@cache
def _make_pair() -> PhantomPair:
    return make_phantom_pair(spacing_mm=SPACING_MM)


def _convert_to_window(volume: Volume, student: Student) -> Volume:
    """Return the volume; for a model with an intensity window, its intensities are spread over the window."""
    rule = student.intensity
    if rule.kind != "window":
        return volume
    values = volume.array.astype(np.float32)
    return Volume(rule.low + (rule.high - rule.low) * values / values.max(), volume.affine, volume.name)


class _LoadedModel(ModelRegistry):
    """A registry of one model that is already loaded."""

    def __init__(self, student: Student) -> None:
        self.cards = {student.card.name: student.card}
        self._loaded = {student.card.name: student}
