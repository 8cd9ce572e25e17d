"""Builds the methods of an evaluation from models; each runs the registration of `core.registration`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from torch import nn

from ...core.models.cards import CARD_FILE, ModelCard
from ...core.models.registry import ModelRegistry, Student
from ...core.network.intensity import IntensityNormalization
from ...core.network.settings import GridSettings
from ...core.registration import register
from ...core.result.settings import RefinementPreset, RegistrationSettings, parse_choice
from .cases import AffineStart, Case, Method, Outcome, evaluate_field

_GRID_STAGES = ("shrink", "resample", "network", "field")


def build_model_methods(
    model: str,
    cascades: Sequence[int] = (),
    threads: int | None = None,
    registry: ModelRegistry | None = None,
    refine: Sequence[str] = ("none",),
) -> list[Method]:
    """Methods for a model by name, or `auto`, with each number of cascades and each refinement preset.

    cascades: empty for the number that the model was trained with. Raises InputError for an unknown model or
    refinement, or a number of cascades that no student has.
    """
    models = registry or ModelRegistry()
    card = models.card(model)
    used = list(models.cards.values()) if model == "auto" else [card]
    cards = [(c.folder / CARD_FILE).read_text(encoding="utf-8") for c in used]
    name = "auto" if model == "auto" else card.name
    methods = []
    for count, preset in product(cascades or (None,), refine):
        settings = RegistrationSettings(
            model, count, threads=threads, refine=parse_choice(RefinementPreset, preset, "refinement")
        )
        key = hashlib.sha256(json.dumps([count, threads, preset, cards]).encode()).hexdigest()
        methods.append(build_model_method(_format_name(name, settings), key, settings, models))
    return methods


def _format_name(name: str, settings: RegistrationSettings) -> str:
    count, preset = settings.cascades, settings.refine
    cascades = "" if count is None else f", {count} cascade{'s' * (count > 1)}"
    return f"{name}{cascades}" + (f", {preset}" if preset != "none" else "")


def build_model_method(name: str, key: str, settings: RegistrationSettings, registry: ModelRegistry) -> Method:
    """A method that registers with a model of a registry; its seconds include the affine stage."""

    def run(case: Case, start: AffineStart | None) -> Outcome:
        used = settings if start is None else replace(settings, initial=start.transform)
        result = register(case.fixed, case.moving, used, registry=registry)
        seconds = {stage: value for stage, value in result.seconds.items() if stage != "load model"}
        if start is not None:
            seconds["initial alignment"] = start.seconds
        return replace(
            evaluate_field(case, result.field, result.jacobian),
            seconds=sum(seconds.values()),
            grid_seconds=sum(seconds.get(stage, 0.0) for stage in _GRID_STAGES),
            start=AffineStart(result.initial, seconds["initial alignment"]),
            model=result.model,
            warnings=result.warnings,
        )

    return Method(name, key, run)


class NetworkRegistry(ModelRegistry):
    """A registry of one network that has no model folder: a student in training, or a teacher.

    network: called like a student, (fixed, moving, cascades) -> (flow, predictions), see `core.network.cascade`.
    """

    def __init__(
        self, name: str, network: nn.Module, grid: GridSettings, intensity: IntensityNormalization, modality: str
    ) -> None:
        super().__init__(())
        card = ModelCard(name, name, modality, "", "", {}, {}, {}, Path())
        self.cards = {name: card}
        self._loaded = {name: Student(card, network, grid, intensity)}  # type: ignore[arg-type]
