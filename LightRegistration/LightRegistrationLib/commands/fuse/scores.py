"""The Dice of single atlases and of fused labels against the labels of a left-out scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.label_fusion.structures import Structures
from ...core.metrics.label_counts import LabelLookup, count_voxels


@dataclass(frozen=True, eq=False)
class ScanScores:
    """The Dice of one left-out scan, by structure (NaN: not measured).

    single: (n, s) of the n atlases in `atlases`, NaN where the atlas lacks a structure. majority, joint: (s,), NaN
    where all atlases lack it. seconds: of the registrations, and of each method.
    """

    name: str
    atlases: tuple[str, ...]
    single: NDArray[np.float64]
    majority: NDArray[np.float64]
    joint: NDArray[np.float64]
    seconds: dict[str, float]

    @property
    def single_means(self) -> NDArray[np.float64]:
        """The mean Dice of each atlas, over the structures that it and the scan have; NaN if there is none."""
        return _average_known(self.single.T)

    @property
    def best(self) -> int:
        """Which atlas has the greatest mean Dice; only who knows the true labels can choose it."""
        return int(np.nanargmax(self.single_means))

    def make_row(self) -> dict[str, Any]:
        """Return the row of the table."""
        singles, majority, joint = self.single_means, np.nanmean(self.majority), np.nanmean(self.joint)
        return {
            "scan": self.name,
            "structures": int(np.isfinite(self.joint).sum()),
            "best_single": round(float(singles[self.best]), 4),
            "best_atlas": self.atlases[self.best],
            "mean_single": round(float(np.nanmean(singles)), 4),
            "majority": round(float(majority), 4),
            "joint": round(float(joint), 4),
            "joint_above_best": round(float(joint - singles[self.best]), 4),
            **{f"{name}_seconds": round(value, 2) for name, value in self.seconds.items()},
        }

    def list_structures(self, structures: Structures) -> list[dict[str, Any]]:
        """Return a row for each structure."""
        columns = {
            "best_single": self.single[self.best],
            "mean_single": _average_known(self.single),
            "majority": self.majority,
            "joint": self.joint,
        }
        return [
            {"scan": self.name, "value": segment.value, "name": segment.name}
            | {name: round(float(d[n]), 4) if np.isfinite(d[n]) else None for name, d in columns.items()}
            for n, segment in enumerate(structures.segments)
            if np.isfinite(self.joint[n])
        ]


def compute_dice(
    truth: NDArray, candidates: Sequence[NDArray], shown: Sequence[NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """Compute the Dice (n, s) of the structures 1 to s of the true labels in n label maps.

    shown: for each label map, booleans (s,) of the structures that the atlases behind it have. NaN where they or the
    truth lack a structure.
    """
    lookup = LabelLookup(range(1, len(shown[0]) + 1))
    voxels, common = count_voxels([truth, *candidates], [lookup] * (len(candidates) + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        dice = 2 * common[1:] / (voxels[0] + voxels[1:])
    dice[:, voxels[0] == 0] = np.nan
    dice[~np.array(shown)] = np.nan
    return np.asarray(dice)


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table for the terminal, with the means in the last line."""
    columns = ["best_single", "mean_single", "majority", "joint", "joint_above_best"]
    width = max(len("scan"), *(len(row["scan"]) for row in rows))
    lines = [f"{'scan':<{width}}  " + "  ".join(f"{name.replace('_', ' '):>16}" for name in columns)]
    means = {name: float(np.mean([row[name] for row in rows])) for name in columns}
    for row in [*rows, {"scan": "mean", **means}]:
        lines.append(f"{row['scan']:<{width}}  " + "  ".join(f"{row[name]:>16.4f}" for name in columns))
    return "\n".join(lines)


def _average_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the first axis; NaN counts nothing, and stays where there is nothing else."""
    known = np.isfinite(values)
    counts = known.sum(0)
    total = np.where(known, values, 0).sum(0)
    return np.where(counts, total / np.maximum(counts, 1), np.nan)
