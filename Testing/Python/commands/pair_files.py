"""The files of a small phantom pair, for the tests of the commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from LightRegistrationLib.commands.phantom.pair import PhantomPair


@dataclass(frozen=True)
class PairFiles:
    """A small phantom pair on disk (label maps as NIfTI)."""

    pair: PhantomPair
    fixed: Path
    moving: Path
    fixed_segmentation: Path
    moving_segmentation: Path
