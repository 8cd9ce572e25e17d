"""Pairs synthesized from label maps are what a configuration draws, as files, the same every time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import SimpleITK as sitk
import torch

from LightRegistrationLib.training import sources
from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair


@dataclass(frozen=True, kw_only=True)
class BallSource(sources.SourceConfig):
    """A bright ball in noise, somewhere else in every image."""

    kind: ClassVar[str] = "ball"
    spacing_mm: float = 5.0
    shape: ClassVar[tuple[int, ...]] = (24, 24, 24)

    def open(self, data: Path, cache: Path, spacing_mm: float) -> BallSource:
        return self

    def draw(self, generator: torch.Generator) -> Pair:
        images = [self._ball(torch.rand(3, generator=generator)) for _ in range(2)]
        return Pair(images[0] * 0.8, images[1] * 0.8, *images, *images)

    def _ball(self, place: torch.Tensor) -> torch.Tensor:
        axes = torch.stack(torch.meshgrid(*[torch.arange(n) - 11.0 for n in self.shape], indexing="ij"))
        distance = (axes - 4 * place.view(3, 1, 1, 1)).norm(dim=0)
        return (distance < 6).float()[None, None]


def test_synthesized_pairs_are_what_was_drawn(benchmark, tmp_path, monkeypatch):
    from synthesized import synthesized_pairs

    monkeypatch.setitem(sources.SOURCES, "ball", BallSource)
    config = tmp_path / "balls.toml"
    tables = '[[source]]\nkind = "ball"\n[[stage]]\nsteps = 1\n'
    window = '[intensity]\nkind = "window"\nlow = -160.0\nhigh = 240.0\n'
    config.write_text(f'name = "balls"\nseed = 1\n{tables}[[validation]]\nkind = "ball"\n{window}')
    pairs = synthesized_pairs(config, tmp_path, tmp_path / "work", "balls", count=2)
    again = synthesized_pairs(config, tmp_path, tmp_path / "again", "balls", count=2)
    assert [p.name for p in pairs] == ["balls_0", "balls_1"]
    arrays = {role: sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for role, path in pairs[1].files.items()}
    assert set(np.unique(arrays["fixed"])) == {-1000, 160}
    np.testing.assert_array_equal(arrays["fixed"] == 160, arrays["fixed_labels"] == 1)
    assert (arrays["fixed"] != arrays["moving"]).any()
    assert sitk.ReadImage(str(pairs[0].fixed)).GetSpacing() == (5, 5, 5)
    assert pairs[1].moving.read_bytes() == again[1].moving.read_bytes()
    assert isinstance(pairs[0], EvaluationPair)
