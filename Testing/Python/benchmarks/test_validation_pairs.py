"""The validation pairs: the bars tell reached from missed, and the command runs on real and synthesized pairs."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from LightRegistrationLib.training import sources
from LightRegistrationLib.training.evaluation import Scores
from LightRegistrationLib.training.evaluation_pairs import EvaluationPair
from LightRegistrationLib.training.evaluation_run import PairRecord
from LightRegistrationLib.training.pairs import Pair

from .conftest import RunBenchmark

DATA = os.environ.get("LIGHTREG_DATA")


@pytest.fixture
def validation_pairs(benchmark: RunBenchmark) -> Any:
    """The module of the command."""
    import validation_pairs

    return validation_pairs


def record(name: str, group: str, before: Scores, affine: Scores, model: Scores) -> PairRecord:
    return PairRecord(name, group, "key", {"before": before, "affine": affine, "auto": model})


def bars(table: str) -> dict[str, str]:
    """What the last column says, by the bar."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()[2:]]
    return {row[2]: row[-1] for row in rows}


def test_bars_are_reached_or_missed(validation_pairs):
    def hippocampus(*dice: float, folding: float = 0.0) -> list[PairRecord]:
        scores = [Scores(dice=d, folding_percent=folding) for d in dice]
        return [record(f"p{n}", "hippocampus", Scores(), Scores(dice=0.7), s) for n, s in enumerate(scores)]

    def lung(*tre: float) -> list[PairRecord]:
        start = Scores(tre_mm=8.0)
        return [
            record(f"p{n}", "lung", start, Scores(tre_mm=5.0), Scores(tre_mm=t, folding_percent=0))
            for n, t in enumerate(tre)
        ]

    assert set(bars(validation_pairs.bars_table(hippocampus(0.71, 0.75), {})).values()) == {"reached"}
    found = bars(validation_pairs.bars_table(hippocampus(0.69, 0.70, folding=0.001), {}))
    assert set(found.values()) == {"MISSED"}
    assert len(found) == 3
    assert bars(validation_pairs.bars_table(lung(3.0, 4.9), {}))["TRE at most half of the start"] == "reached"
    assert bars(validation_pairs.bars_table(lung(3.5, 4.9), {}))["TRE at most half of the start"] == "MISSED"
    assert bars(validation_pairs.bars_table(lung(1.0, 5.1), {}))["no pair below affine"] == "MISSED"
    assert "no configuration" in validation_pairs.bars_table([], {"abdomen": "there is no configuration yet"})


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


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="LIGHTREG_DATA is not set: the validation pairs were NOT tried")
def test_the_command_measures_real_pairs(benchmark, tmp_path):
    arguments = ("--sets", "hippocampus", "liver", "--pairs", "1", "--threads", "1")
    folders = ("--output", tmp_path / "results", "--work", tmp_path / "work")
    done = benchmark("validation_pairs", *arguments, *folders, "--model", "brain-mri")
    assert done.status == 0, done.stderr
    table = (tmp_path / "results" / "validation_pairs.md").read_text()
    assert "mean Dice ≥ 0.720" in table
    assert (tmp_path / "results" / "validation_pairs.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "results" / "validation_pairs.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["method"] == "brain-mri"]
    assert [row["group"] for row in rows] == ["hippocampus", "liver"]
    assert float(rows[0]["dice"]) > 0.5
    assert 1 < float(rows[1]["tre_mm"]) < 15
    values = json.loads((tmp_path / "results" / "validation_pairs.json").read_text())
    assert (
        values["groups"]["liver"]["brain-mri"]["mean"]["tre_mm"] < values["groups"]["liver"]["before"]["mean"]["tre_mm"]
    )
