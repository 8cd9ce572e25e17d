"""Anatomies: tables of structures with their label values and usual intensities, landmarks, and field of view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .body import GENERATED_NAMES, UNKNOWN_CLASS, Body


@dataclass(frozen=True)
class Structure:
    """One tissue class.

    values: its label values; empty if the tissue is generated (see Body). mean: usual intensity, 0 (black) to 1 (T1
    MRI) or Hounsfield units (CT); None: drawn at random for each image. enhancement: added by the contrast agent in the
    arterial, portal and late phase, HU (CT). texture: standard deviation inside the structure, HU (CT). inside: whether
    it remains after skull stripping. hollow: whether it may contain gas (CT).
    """

    name: str
    values: tuple[int, ...]
    mean: float | None = None
    enhancement: tuple[float, float, float] = (0.0, 0.0, 0.0)
    texture: float = 0.0
    inside: bool = True
    hollow: bool = False


@dataclass(frozen=True)
class Anatomy:
    """A part of the body.

    modality: `mri` or `ct`, how images are rendered. landmarks: label values whose centers align the subjects.
    extent_mm, shift_mm: size of the field of view, and its center relative to the mean of the landmarks, (k, j, i) =
    superior, anterior, right; the labeled part of the template if extent_mm is empty. mirrored: whether a mirrored
    subject is plausible. rigidity_mm2: weight of a rotation with scaling in the affine alignment, as a sum of squared
    distances of landmarks. body: settings of the generated tissues; None if the label maps are complete.
    """

    name: str
    modality: str
    structures: tuple[Structure, ...]
    landmarks: tuple[int, ...]
    extent_mm: tuple[float, ...] = ()
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mirrored: bool = False
    rigidity_mm2: float = 0.0
    body: Body | None = None

    @property
    def values(self) -> frozenset[int]:
        """All label values that belong to a structure."""
        return frozenset(value for structure in self.structures for value in structure.values)


_OUTSIDE_BRAIN = (502, 506, 507, 508, 509, 511, 512, 514, 515, 516, 530)

BRAIN = Anatomy(
    name="brain",
    modality="mri",
    structures=(
        Structure("cerebral white matter", (2, 41), 0.95),
        Structure("cerebral cortex", (3, 42), 0.60),
        Structure("lateral ventricle", (4, 43, 5, 44), 0.18),
        Structure("cerebellum white matter", (7, 46), 0.90),
        Structure("cerebellum cortex", (8, 47), 0.62),
        Structure("thalamus", (10, 49), 0.78),
        Structure("caudate", (11, 50), 0.66),
        Structure("putamen", (12, 51), 0.72),
        Structure("pallidum", (13, 52), 0.84),
        Structure("third ventricle", (14,), 0.18),
        Structure("fourth ventricle", (15,), 0.18),
        Structure("brain stem", (16,), 0.86),
        Structure("hippocampus", (17, 53), 0.62),
        Structure("amygdala", (18, 54), 0.62),
        Structure("CSF", (24,), 0.17),
        Structure("accumbens", (26, 58), 0.68),
        Structure("ventral DC", (28, 60), 0.84),
        Structure("other inside", (25, 57, 30, 62, 72, 85, 136, 137, 163, 164), 0.8),
        *(Structure(f"outside {value}", (value,), inside=False) for value in _OUTSIDE_BRAIN),
    ),
    landmarks=(2, 41, 4, 43, 7, 46, 8, 47, 10, 49, 11, 50, 12, 51, 13, 52, 14, 15, 16, 17, 53, 18, 54, 28, 60),
    extent_mm=(192, 240, 192),
    # keeps the top of the head in the field of view
    shift_mm=(8, 0, 0),
    mirrored=True,
)

_SURROUNDINGS = tuple(
    Structure(name, (), mean, texture=texture)
    for name, mean, texture in zip(
        GENERATED_NAMES, (-105, 45, -95, 30, -830, 220), (8, 12, 15, 25, 30, 60), strict=True
    )
)
_SPLEEN, _KIDNEY, _PANCREAS, _LIVER = (55.0, 70.0, 50.0), (100.0, 150.0, 130.0), (55.0, 45.0, 35.0), (12.0, 52.0, 40.0)

ABDOMEN = Anatomy(
    name="abdomen",
    modality="ct",
    structures=(
        Structure("spleen", (1,), 48, _SPLEEN, 4),
        Structure("right kidney", (2,), 32, _KIDNEY, 15),
        Structure("left kidney", (3,), 32, _KIDNEY, 15),
        Structure("gallbladder", (4,), 8, texture=3),
        Structure("liver", (5,), 56, _LIVER, 6),
        Structure("stomach", (6,), 25, (10, 20, 15), 40, hollow=True),
        Structure("pancreas", (7,), 40, _PANCREAS, 12),
        Structure("adrenal glands", (8, 9), 25, (30, 40, 30), 5),
        Structure("left lung", (10, 11), -830, texture=30),
        Structure("right lung", (12, 13, 14), -830, texture=30),
        Structure("esophagus", (15,), 35, (10, 20, 15), 15),
        Structure("airways", (16,), -950),
        Structure("thyroid", (17,), 90, (80, 60, 40), 10),
        Structure("small bowel", (18,), 25, (30, 50, 35), 30),
        Structure("duodenum", (19,), 25, (30, 50, 35), 20),
        Structure("colon", (20,), 15, (15, 25, 20), 60, hollow=True),
        Structure("bladder", (21,), 6, (0, 0, 20), 3),
        Structure("prostate", (22,), 40, (15, 30, 30), 6),
        Structure("cysts", (23, 24), 8),
        Structure("sacrum", (25,), 220, texture=60),
        # Neighboring vertebrae are in two classes, so that a shift by one vertebra changes the image.
        Structure("vertebrae S1, L4, L2 and so on", tuple(range(26, 51, 2)), 230, texture=60),
        Structure("vertebrae L5, L3, L1 and so on", tuple(range(27, 50, 2)), 230, texture=60),
        Structure("heart", (51, 53, 61), 40, (140, 95, 75), 15),
        Structure("arteries", (52, 54, 55, 56, 57, 58, 65, 66), 42, (260, 110, 75), 5),
        Structure("veins", (59, 60, 62, 63, 67, 68), 42, (15, 95, 75), 8),
        Structure("portal vein", (64,), 42, (40, 130, 80), 5),
        Structure("shoulder and arm bones", (69, 70, 71, 72, 73, 74), 300, texture=80),
        Structure("femurs", (75, 76), 300, texture=80),
        Structure("left hip", (77,), 240, texture=80),
        Structure("right hip", (78,), 240, texture=80),
        Structure("spinal cord", (79,), 35, (0, 5, 5), 8),
        Structure("gluteal muscles", tuple(range(80, 86)), 52, (2, 10, 10), 14),
        Structure("back muscles", (86, 87), 48, (2, 10, 10), 18),
        Structure("iliopsoas muscles", (88, 89), 55, (2, 10, 10), 8),
        Structure("brain", (90,), 36, texture=4),
        Structure("skull", (91,), 700, texture=150),
        Structure("ribs and sternum", (*range(92, 116), 116), 300, texture=80),
        Structure("costal cartilage", (117,), 90, texture=20),
        *_SURROUNDINGS,
    ),
    landmarks=(1, 2, 3, 5, 7, 10, 11, 12, 13, 14, *range(25, 38), 51, 77, 78, 86, 87, 88, 89),
    extent_mm=(384, 320, 384),
    # The landmarks are around the spine, the body is in front of it.
    shift_mm=(-24, 30, 0),
    rigidity_mm2=20000,
    body=Body(wall_mm=12, back_mm=5),
)

UPPER_ABDOMEN = Anatomy(
    name="upper-abdomen",
    modality="ct",
    structures=(
        Structure("spleen", (1,), 48, _SPLEEN, 4),
        Structure("pancreas", (2,), 40, _PANCREAS, 12),
        Structure("left kidney", (3,), 32, _KIDNEY, 15),
        Structure("gallbladder", (4,), 8, texture=3),
        Structure("esophagus", (5,), 35, (10, 20, 15), 15),
        Structure("liver", (6,), 56, _LIVER, 6),
        Structure("stomach", (7,), 25, (10, 20, 15), 40, hollow=True),
        Structure("duodenum", (8,), 25, (30, 50, 35), 20),
        *_SURROUNDINGS,
    ),
    landmarks=(1, 2, 3, 4, 6, 7, 8),
    extent_mm=(256, 320, 384),
    shift_mm=(0, -12, 12),
    rigidity_mm2=40000,
    body=Body(wall_mm=12, back_mm=35, fat_mm=(5, 20), above_mm=30, below_mm=10, reach_mm=60, filler=0.45, whole=True),
)

ANATOMIES: dict[str, Anatomy] = {a.name: a for a in (BRAIN, ABDOMEN, UPPER_ABDOMEN)}
OWN = "own"
"""Name of an anatomy that the configuration defines."""


def build_anatomy(
    name: str,
    classes: Mapping[str, Sequence[int]],
    means: Mapping[str, float],
    extent_mm: Sequence[float] = (),
    modality: str = "",
) -> Anatomy:
    """Build the anatomy with a name, with the user's label values (class name -> values) and means if there are any.

    A user's class with the name of a class of the anatomy keeps its other settings. All of the user's label values are
    landmarks. modality: of the anatomy `own`. Raises ValueError that names the key.
    """
    if name not in (*ANATOMIES, OWN):
        raise ValueError(f"anatomy = '{name}' is unknown; use one of {', '.join((*ANATOMIES, OWN))}")
    if name == OWN and not classes:
        raise ValueError("anatomy = 'own' needs a table [source.classes]: for each class its name = its label values")
    if modality and (name != OWN or modality not in ("mri", "ct")):
        raise ValueError("modality belongs to anatomy = 'own', and has to be mri or ct")
    if extent_mm and (len(extent_mm) != 3 or min(extent_mm) <= 0):
        raise ValueError("extent_mm has to be three lengths above 0: along S, A and R")
    base = ANATOMIES.get(name, Anatomy(OWN, modality or "mri", (), (), rigidity_mm2=20000))
    if classes:
        base = _with_classes(base, classes)
    _check_means(base, means)
    structures = tuple(replace(s, mean=float(means[s.name])) if s.name in means else s for s in base.structures)
    return replace(base, structures=structures, extent_mm=tuple(extent_mm) or base.extent_mm)


def _check_means(anatomy: Anatomy, means: Mapping[str, float]) -> None:
    names = [structure.name for structure in anatomy.structures]
    for name, value in means.items():
        if name not in names:
            raise ValueError(f"[source.means] '{name}' is none of the classes: {', '.join(names)}")
        if not isinstance(value, (int, float)):
            raise ValueError(f"[source.means] '{name}': a number is needed, got {value!r}")


def _with_classes(base: Anatomy, classes: Mapping[str, Sequence[int]]) -> Anatomy:
    known = {structure.name: structure for structure in base.structures}
    structures, seen = [], set[int]()
    for name, values in classes.items():
        if not isinstance(values, list | tuple) or not values or not all(isinstance(v, int) and v > 0 for v in values):
            raise ValueError(f"[source.classes] '{name}': a list of label values above 0 is needed, got {values!r}")
        if seen & set(values):
            raise ValueError(f"[source.classes] '{name}': {min(seen & set(values))} is in two classes")
        seen |= set(values)
        structures.append(replace(known.get(name, Structure(name, ())), values=tuple(values)))
    generated = tuple(structure for structure in base.structures if not structure.values)
    if len(structures) + len(generated) > UNKNOWN_CLASS:
        raise ValueError(f"[source.classes]: at most {UNKNOWN_CLASS - len(generated)} classes are possible")
    return replace(base, structures=(*structures, *generated), landmarks=tuple(sorted(seen)))
