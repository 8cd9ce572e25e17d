"""All methods of the comparison by name, the product's own first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from LightRegistrationLib import core
from LightRegistrationLib.core.models import cards

from .method import AS_LOADED, OUR_AFFINE, OWN_AFFINE, ComparedMethod, Make, Run, Start
from .settings import CONVEX_ADAM, DEEDS, DEMONS, ELASTIX, GREEDY, SYN, SYN_CC, SYN_CC_FROM_START, SYN_FROM_START

HOW_A_MODEL_IS_USED = ("covers", "network", "grid", "intensity", "refinement")
"""The entries of a card on which our results depend; its weights count for the pairs that they registered."""
FROM_OUR_AFFINE = "-from-affine"
"""Ending of the name of a peer's second row."""


@cache
def own_code_digest() -> str:
    """SHA-256 of the code that registers and of how every model is chosen and used."""
    code = b"".join(file.read_bytes() for file in sorted(Path(core.__file__).parent.rglob("*.py")))
    models = {name: _usage(card.file) for name, card in cards.list_cards().items()}
    return hashlib.sha256(code + json.dumps(models, sort_keys=True).encode()).hexdigest()


def _usage(file: Path) -> dict[str, Any]:
    card = json.loads(file.read_text(encoding="utf-8"))
    return {key: card.get(key) for key in HOW_A_MODEL_IS_USED}


def weights_of(model: str) -> str:
    """The hash of a model's weights as they are now; empty where there is no such model."""
    card = cards.list_cards().get(model)
    return card.sha256 if card else ""


def key_of(method: ComparedMethod, start: Start | None) -> list[Any]:
    """All that the results of a method depend on, besides the pair: settings, version, and our code or affine map."""
    if method.needs_start and start is not None:
        origin = start.digest
    else:
        origin = own_code_digest() if method.is_ours or method.needs_start else ""
    return [method.options, method.package, method.version, origin]


def _run_of(module: str, name: str, options: Mapping[str, Any]) -> Make:
    return partial(_make_run, module, name, options)


def _make_run(
    module: str, name: str, options: Mapping[str, Any], fixed: Path, moving: Path, threads: int, start: Start | None
) -> Run:
    # Imported when it is run: no method's process may contain the libraries of another.
    return getattr(import_module(f"{__package__}.{module}"), name)(fixed, moving, threads, start, options)


def _ours(refine: str) -> ComparedMethod:
    title = "ours, no refinement" if refine == "none" else f"ours, refine {refine}"
    settings = f"RegistrationSettings(refine={refine!r}), model auto"
    options = {"refine": refine}
    return ComparedMethod(title, settings, OUR_AFFINE, _run_of("own", "Product", options), options, is_ours=True)


def _from_our_affine(method: ComparedMethod, title: str, settings: str, **changes: Any) -> ComparedMethod:
    return replace(method, title=f"{title} from our affine", settings=settings, start=OUR_AFFINE, **changes)


_DEMONS = ComparedMethod(
    "demons (SimpleITK)",
    "DiffeomorphicDemonsRegistrationFilter at 2 mm after a Gaussian of 0.8 mm and histogram matching "
    "(256 bins, 15 points): 60 iterations, field smoothing 1.5 voxels",
    OUR_AFFINE,
    _run_of("demons", "Demons", DEMONS),
    DEMONS,
)
_ELASTIX = ComparedMethod(
    "elastix B-spline",
    "affine on Mattes mutual information, then cubic B-splines (10 mm, or a seventh of the shortest side of a "
    "small crop) on normalized correlation; both with 4 resolutions, adaptive stochastic gradient descent, "
    "4096 random samples, 500 and 1000 iterations a resolution",
    OWN_AFFINE,
    _run_of("elastix", "Elastix", ELASTIX),
    ELASTIX,
    "itk-elastix",
    "0.25.4",
)
_SYN = ComparedMethod(
    "ANTs SyN, default",
    "ants.registration(type_of_transform='SyN'): affine, then SyN on Mattes mutual information, 40-20-0 iterations",
    OWN_AFFINE,
    _run_of("ants_syn", "Ants", SYN),
    SYN,
    "antspyx",
    "0.6.3",
)
_SYN_CC = replace(
    _SYN,
    title="ANTs SyN-CC",
    settings="ants.registration(type_of_transform='SyN', syn_metric='CC', syn_sampling=2, "
    "reg_iterations=(100, 70, 50, 0)): affine on Mattes mutual information, then SyN on local cross-correlation of "
    "radius 2, at 8, 4 and 2 voxels",
    make=_run_of("ants_syn", "Ants", SYN_CC),
    options=SYN_CC,
)
_GREEDY = ComparedMethod(
    "Greedy",
    f"greedy {GREEDY['affine']}, then greedy {GREEDY['deformable']}; the rest is Greedy's default",
    OWN_AFFINE,
    _run_of("greedy", "Greedy", GREEDY),
    GREEDY,
    "picsl-greedy",
    "1.4.0.3",
)
_CONVEX_ADAM = ComparedMethod(
    "ConvexAdam, MIND",
    "convex_adam_pt with its defaults on the fixed volume's grid: MIND-SSC of radius 1 and dilation 2, coupled convex "
    "search of ±4 steps of 6 voxels with inverse consistency, then 80 iterations of Adam at 2 voxels, lambda 1.25",
    AS_LOADED,
    _run_of("convex_adam", "ConvexAdam", CONVEX_ADAM),
    CONVEX_ADAM,
    "convexadam",
    "0.2.0",
)
_DEEDS = ComparedMethod(
    "deeds",
    "the version of 2013 (MIND-SSC, minimum spanning tree, symmetric) as quantiphyse-deeds wraps it, with its "
    "defaults on the fixed volume's grid: alpha 2, 50 random samples, 5 levels; up to 4 threads, not to be limited",
    AS_LOADED,
    _run_of("deeds", "Deeds", DEEDS),
    DEEDS,
    "quantiphyse-deeds",
    "0.8.dev9",
)
METHODS = {
    "none": ComparedMethod("no registration", "", AS_LOADED, _run_of("own", "Unregistered", {})),
    "affine": ComparedMethod("affine only (ours)", "", AS_LOADED, _run_of("own", "AffineOnly", {}), is_ours=True),
    "ours-none": _ours("none"),
    "ours-fast": _ours("fast"),
    "ours-best": _ours("best"),
    "demons": _DEMONS,
    "elastix": _ELASTIX,
    "elastix-from-affine": _from_our_affine(_ELASTIX, "elastix", "the B-spline stage alone"),
    "syn": _SYN,
    "syn-from-affine": _from_our_affine(
        _SYN,
        "ANTs SyN",
        "ants.registration(type_of_transform='SyNOnly', initial_transform=...)",
        make=_run_of("ants_syn", "Ants", SYN_FROM_START),
        options=SYN_FROM_START,
    ),
    "syn-cc": _SYN_CC,
    "syn-cc-from-affine": _from_our_affine(
        _SYN_CC,
        "ANTs SyN-CC",
        "the same with type_of_transform='SyNOnly' and initial_transform",
        make=_run_of("ants_syn", "Ants", SYN_CC_FROM_START),
        options=SYN_CC_FROM_START,
    ),
    "greedy": _GREEDY,
    "greedy-from-affine": _from_our_affine(_GREEDY, "Greedy", "the deformable stage alone, with -it"),
    "convexadam": _CONVEX_ADAM,
    "convexadam-from-affine": _from_our_affine(
        _CONVEX_ADAM, "ConvexAdam", "the same; the moving volume is resampled through our affine map first"
    ),
    "deeds": _DEEDS,
    "deeds-from-affine": _from_our_affine(
        _DEEDS, "deeds", "the same; the moving volume is resampled through our affine map first"
    ),
}
