"""The methods of the comparison: what each is called, how it is set, where it starts, and how it runs on a pair."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from peers_settings import DEMONS, ELASTIX, SYN, SYN_CC

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.geometry.transforms import DisplacementField
from LightRegistrationLib.core.models import cards

OWN_AFFINE, AS_LOADED = "our affine stage", "as loaded"


class Run(Protocol):
    """One method on one pair. Making it imports and reads; `register` is what is timed; `field` comes after that.

    seconds, cpu_seconds: what is to be added to the time of `register`. model, weights, warnings: of the product's own
    methods; weights: their hash.
    """

    seconds: float
    cpu_seconds: float
    model: str
    weights: str
    warnings: tuple[str, ...]

    def register(self) -> None:
        """Do the work."""

    def field(self) -> DisplacementField:
        """The whole deformation, affine stage included, fixed -> moving, RAS mm."""


class RunDefaults:
    """What most runs say of themselves."""

    seconds = cpu_seconds = 0.0
    model = weights = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contender:
    """A method of the comparison.

    settings: how it is set, for the reader. start: where it begins. options: all of its settings, by which it runs.
    package, version: the distribution that it needs, exactly. ours: whether our code has a part in its result.
    make: fixed file, moving file, threads -> Run; imports what it needs itself, so that no other method pays for it.
    """

    title: str
    settings: str
    start: str
    make: Callable[[Path, Path, int], Run]
    options: Mapping[str, Any] = field(default_factory=dict)
    package: str = ""
    version: str = ""
    ours: bool = False

    def check_package(self) -> None:
        """Raise InputError unless its package is there in its version: another one may find something else."""
        if not self.package:
            return
        try:
            found = importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found != self.version:
            wanted = f"{self.package}=={self.version}"
            raise InputError(f'{self.title} needs {wanted}, found {found}: pip install ".[benchmarks]".')

    def key(self) -> list[Any]:
        """All that its results depend on, besides the pair."""
        return [self.options, self.package, self.version, own_code_digest() if self.ours else ""]


HOW_A_MODEL_IS_USED = ("covers", "network", "grid", "intensity", "refinement")
"""What a card says of that; its weights count for the pairs that they registered."""


@cache
def own_code_digest() -> str:
    """Of the code that registers and of how every model is chosen and used."""
    code = b"".join(file.read_bytes() for file in sorted(Path(cards.__file__).parents[1].rglob("*.py")))
    models = {name: _usage(card.file) for name, card in cards.list_cards().items()}
    return hashlib.sha256(code + json.dumps(models, sort_keys=True).encode()).hexdigest()


def _usage(file: Path) -> dict[str, Any]:
    card = json.loads(file.read_text(encoding="utf-8"))
    return {key: card.get(key) for key in HOW_A_MODEL_IS_USED}


def weights_of(model: str) -> str:
    """The hash of a model's weights as they are now; nothing where there is no such model."""
    card = cards.list_cards().get(model)
    return card.sha256 if card else ""


def _unregistered(fixed: Path, moving: Path, threads: int) -> Run:
    from peers_own import Unregistered

    return Unregistered(fixed)


def _affine(fixed: Path, moving: Path, threads: int) -> Run:
    from peers_own import AffineOnly

    return AffineOnly(fixed, moving, threads)


def _product(refine: str) -> Callable[[Path, Path, int], Run]:
    def make(fixed: Path, moving: Path, threads: int) -> Run:
        from peers_own import Product

        return Product(fixed, moving, threads, refine)

    return make


def _demons(fixed: Path, moving: Path, threads: int) -> Run:
    from peers_demons import Demons

    return Demons(fixed, moving, threads, DEMONS)


def _elastix(fixed: Path, moving: Path, threads: int) -> Run:
    from peers_elastix import Elastix

    return Elastix(fixed, moving, threads, ELASTIX)


def _ants(options: Mapping[str, Any]) -> Callable[[Path, Path, int], Run]:
    def make(fixed: Path, moving: Path, threads: int) -> Run:
        from peers_ants import Ants

        return Ants(fixed, moving, options)

    return make


def _ours(refine: str) -> Contender:
    title = "ours, no refinement" if refine == "none" else f"ours, refine {refine}"
    settings = f"RegistrationSettings(refine={refine!r}), model auto"
    return Contender(title, settings, OWN_AFFINE, _product(refine), {"refine": refine}, ours=True)


ELASTIX_PACKAGE, ANTS_PACKAGE = ("itk-elastix", "0.25.4"), ("antspyx", "0.6.3")
METHODS = {
    "none": Contender("no registration", "", AS_LOADED, _unregistered),
    "affine": Contender("affine only (ours)", "", AS_LOADED, _affine, ours=True),
    "ours-none": _ours("none"),
    "ours-fast": _ours("fast"),
    "ours-best": _ours("best"),
    "demons": Contender(
        "demons (SimpleITK)",
        "DiffeomorphicDemonsRegistrationFilter at 2 mm after a Gaussian of 0.8 mm and histogram matching "
        "(256 bins, 15 points): 60 iterations, field smoothing 1.5 voxels",
        OWN_AFFINE,
        _demons,
        DEMONS,
        ours=True,
    ),
    "elastix": Contender(
        "elastix B-spline",
        "affine on Mattes mutual information, then cubic B-splines (10 mm, or a seventh of the shortest side of a "
        "small crop) on normalized correlation; both with 4 resolutions, adaptive stochastic gradient descent, "
        "4096 random samples, 500 and 1000 iterations a resolution",
        "own affine stage",
        _elastix,
        ELASTIX,
        *ELASTIX_PACKAGE,
    ),
    "syn": Contender(
        "ANTs SyN, default",
        "ants.registration(type_of_transform='SyN'): affine, then SyN on Mattes mutual information, 40-20-0 iterations",
        "own affine stage",
        _ants(SYN),
        SYN,
        *ANTS_PACKAGE,
    ),
    "syn-cc": Contender(
        "ANTs SyN-CC",
        "ants.registration(type_of_transform='SyN', syn_metric='CC', syn_sampling=2, reg_iterations=(100, 70, 50, 0)): "
        "affine on Mattes mutual information, then SyN on local cross-correlation of radius 2, at 8, 4 and 2 voxels",
        "own affine stage",
        _ants(SYN_CC),
        SYN_CC,
        *ANTS_PACKAGE,
    ),
}
