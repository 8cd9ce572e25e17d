"""Whether a model does what it is there for: a small built-in pair is registered with it."""

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
"""Coarse, so that the check of a model takes about a second."""


def verify_model(card: ModelCard) -> str:
    """Check the weights file, build the network, and register the built-in pair; returns what was found, for people.

    Raises ModelError in one line for a model that is damaged, or whose answer is not finite or folds.
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
    pair = _built_in_pair()
    fixed, moving = (_in_the_models_unit(volume, student) for volume in (pair.fixed, pair.moving))
    result = register(fixed, moving, RegistrationSettings(model=student.card.name), registry=_Single(student))
    if not np.isfinite(result.field.array).all():
        raise InputError("the deformation is not finite.")
    if result.jacobian.percent_nonpositive > 0:
        raise InputError(f"the deformation folds in {result.jacobian.percent_nonpositive:.3f} % of the volume.")


@cache
def _built_in_pair() -> PhantomPair:
    return make_phantom_pair(spacing_mm=SPACING_MM)


def _in_the_models_unit(volume: Volume, student: Student) -> Volume:
    """The volume as it is, or, for a model with an intensity window, spread over the window."""
    rule = student.intensity
    if rule.kind != "window":
        return volume
    values = volume.array.astype(np.float32)
    return Volume(rule.low + (rule.high - rule.low) * values / values.max(), volume.affine, volume.name)


class _Single(ModelRegistry):
    """A registry of one model that is loaded already."""

    def __init__(self, student: Student) -> None:
        self.cards = {student.card.name: student.card}
        self._loaded = {student.card.name: student}
