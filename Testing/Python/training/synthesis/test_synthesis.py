"""Image pairs of label maps: their random variation, what both images share, and the targets of the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.synthesis.anatomies import ABDOMEN, BRAIN, Anatomy
from LightRegistrationLib.training.synthesis.appearance import (
    AppearanceSettings,
    ScannerSettings,
    cut_ends,
    render_ct,
    render_mri,
    simulate_thick_slices,
)
from LightRegistrationLib.training.synthesis.body import GENERATED_NAMES
from LightRegistrationLib.training.synthesis.label_maps import LabelMaps
from LightRegistrationLib.training.synthesis.pair_synthesizer import PROJECTIONS, PairSynthesizer, SynthesisConfig

SHAPE = (32, 32, 48)
NO_POSE = {"rotation": 0, "residual_rotation": 0, "scaling": 0, "residual_scaling": 0, "shift_mm": 0}
NO_POSE |= {"residual_shift_mm": 0, "elastic_mm": 0}
NO_EFFECTS = {"noise": 0, "bias": 0, "thick": 0, "cut": 0, "contrast": 0, "couch": 0, "arms": 0, "other_contrast": 0}
NO_EFFECTS |= {"stripped": 0, "mixed": 0}
BRAIN_NAMES = ("cerebral white matter", "cerebral cortex", "lateral ventricle", "putamen", "outside 507")
ABDOMEN_NAMES = ("liver", "spleen", "colon", "sacrum", *GENERATED_NAMES[:4])


def ellipsoids(names: tuple[str, ...], anatomy: Anatomy, known: tuple[tuple[int, int], ...] = ()) -> LabelMaps:
    """Two subjects of nested shells, the first structure outermost but for what lies outside; the second is larger."""
    k, j, i = (np.linspace(-1, 1, n) for n in SHAPE)
    radius = np.sqrt(k[:, None, None] ** 2 + j[:, None] ** 2 + i**2)
    fractions = np.zeros((2, len(names), *SHAPE), dtype=np.uint8)
    known = known or ((0, SHAPE[0]),) * 2
    for subject, size in enumerate((0.8, 0.9)):
        shell = np.clip((1 - radius / size) * len(names), 0, len(names) - 1).astype(int)
        for n in range(len(names)):
            fractions[subject, n][(shell == n) & (radius < size)] = 255
        fractions[subject][:, [k < known[subject][0] or k >= known[subject][1] for k in range(SHAPE[0])]] = 0
    table = {structure.name: structure for structure in anatomy.structures}
    present = fractions.any((2, 3, 4))
    return LabelMaps(fractions, tuple(table[name] for name in names), known, present)


def brain(labels: int = 0, **changes: float) -> PairSynthesizer:
    names = (BRAIN_NAMES[-1], *BRAIN_NAMES[:-1])
    return PairSynthesizer(ellipsoids(names, BRAIN), BRAIN, 6, SynthesisConfig(**changes), labels)


def abdomen(labels: int = 0, known: tuple[tuple[int, int], ...] = (), **changes: float) -> PairSynthesizer:
    names = (GENERATED_NAMES[0], *(n for n in ABDOMEN_NAMES if n != GENERATED_NAMES[0]))
    return PairSynthesizer(ellipsoids(names, ABDOMEN, known), ABDOMEN, 6, SynthesisConfig(**changes), labels)


def drawn(source: PairSynthesizer, seed: int = 1) -> Pair:
    return source.draw(torch.Generator().manual_seed(seed))


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


@pytest.mark.parametrize("source", [brain(labels=3), abdomen(labels=3)], ids=["brain", "abdomen"])
def test_a_pair_has_what_a_loss_needs_and_is_repeatable(source):
    first, second = drawn(source), drawn(source)
    for name in ("fixed", "moving"):
        image, clean, labels = (getattr(first, name + what) for what in ("", "_clean", "_labels"))
        assert image.shape == (1, 1, *SHAPE)
        assert 0 <= image.min() < 0.05
        assert 0.9 < image.max() <= 1
        assert clean.shape == (1, 1 + PROJECTIONS, *SHAPE)
        assert labels.shape == (1, 3, *SHAPE)
        assert torch.equal(image, getattr(second, name))
        assert torch.equal(clean, getattr(second, name + "_clean"))
    assert not torch.equal(first.fixed, drawn(source, seed=2).fixed)
    assert 0.3 < correlation(first.fixed_clean[:, 0], first.moving_clean[:, 0]) < 0.999


def test_stripping_removes_everything_outside_the_brain():
    whole, bare = (drawn(brain(**(NO_EFFECTS | NO_POSE | {"stripped": value}))) for value in (0, 1))
    outside = torch.from_numpy(brain().maps.fractions[:, 0] > 0)
    assert min(float(whole.fixed[0, 0][mask].mean()) for mask in outside) > 0.01
    for image in bare.fixed_clean[0]:
        assert min(float(image[mask].abs().max()) for mask in outside) < 1e-4
    mixed = drawn(brain(**(NO_EFFECTS | NO_POSE | {"mixed": 1, "same": 1})))
    sizes = [float((image > 0.01).float().mean()) for image in (mixed.fixed, mixed.moving)]
    assert min(sizes) < 0.8 * max(sizes)
    assert torch.equal(mixed.fixed_clean, mixed.moving_clean)
    assert min(float(mixed.fixed_clean[0, 0][mask].abs().max()) for mask in outside) < 1e-4


def test_other_contrasts_are_independent_or_equal_and_the_clean_images_agree():
    """One subject in one pose: only the contrast can differ."""
    settings = NO_EFFECTS | NO_POSE | {"same": 1, "other_contrast": 1}
    for source in (brain, abdomen):
        pairs = [
            [drawn(source(independent_contrast=value, **settings), seed) for seed in range(4)] for value in (0.0, 1.0)
        ]
        body = pairs[0][0].fixed_clean[:, 1:2] != 0
        equal, different = ([correlation(p.fixed[body], p.moving[body]) for p in drawings] for drawings in pairs)
        assert min(equal) > 0.8
        assert min(different) < 0.3
        for pair in (*pairs[0], *pairs[1]):
            assert torch.equal(pair.fixed_clean, pair.moving_clean)


def shares(source: PairSynthesizer) -> dict[str, Tensor]:
    """The mask of each structure, for a source that is changed to have the same subject twice."""
    source.maps.fractions[0] = source.maps.fractions[1]
    masks = torch.from_numpy(source.maps.fractions[1] == 255)
    return {structure.name: mask for structure, mask in zip(source.maps.structures, masks, strict=True)}


def test_usual_contrasts_are_those_of_the_tables():
    """T1 intensities; Hounsfield units of the portal phase in their window."""
    source = brain(**(NO_EFFECTS | NO_POSE))
    masks, clean = shares(source), drawn(source).fixed_clean[0, 0]
    for name, mean in zip(BRAIN_NAMES[:4], (0.95, 0.60, 0.18, 0.72), strict=True):
        assert float(clean[masks[name]].mean()) == pytest.approx(mean, abs=1e-3), name
    source = abdomen(**(NO_EFFECTS | NO_POSE))
    masks, clean = shares(source), drawn(source).fixed_clean[0, 0]
    expected = {"liver": 56 + 52, "spleen": 48 + 70, "sacrum": 220, GENERATED_NAMES[0]: -105, GENERATED_NAMES[2]: -95}
    for name, mean in expected.items():
        assert float(clean[masks[name]].mean()) == pytest.approx((mean + 160) / 400, abs=1e-3), name
    assert float(clean[0].abs().max()) == 0


def test_generated_tissue_between_organs_counts_as_fat():
    """Generated filler has no counterpart in the other subject and must not be matched."""
    source = abdomen(**(NO_EFFECTS | NO_POSE))
    masks, pair = shares(source), drawn(source)
    filler, fat = (masks[GENERATED_NAMES[n]] for n in (3, 2))
    for channel in pair.fixed_clean[0]:
        assert float(channel[filler].mean()) == pytest.approx(float(channel[fat].mean()), abs=1e-4)
    assert float(pair.fixed[0, 0][filler].mean()) > float(pair.fixed[0, 0][fat].mean()) + 0.1


def test_labels_are_memberships_of_the_same_structures_in_both():
    """All but the generated ones in order, if more are requested than there are; otherwise some of them."""
    source = abdomen(labels=99, **(NO_EFFECTS | NO_POSE))
    masks, pair = shares(source), drawn(source)
    for labels in (pair.fixed_labels, pair.moving_labels):
        assert torch.equal(labels[0] > 0.99, torch.stack([masks[name] for name in ABDOMEN_NAMES[:4]]))
    few = drawn(brain(labels=2))
    for labels in (few.fixed_labels, few.moving_labels):
        assert labels.shape == (1, 2, *SHAPE)
        assert labels.min() >= 0
        assert labels.sum(1).max() < 1.001
    for n in range(2):
        assert correlation(few.fixed_labels[:, n], few.moving_labels[:, n]) > 0.2
    assert drawn(brain()).fixed_labels is None


def test_only_structures_that_both_have_are_drawn_as_labels():
    source = abdomen(labels=2)
    source.maps = replace(source.maps, present=source.maps.present.copy())
    source.maps.present[1, [n.name != "liver" and n.name != "colon" for n in source.maps.structures]] = False
    chosen = {
        int(n)
        for seed in range(5)
        for n in source._draw_target_weights(False, 0, 1, torch.Generator().manual_seed(seed))[-2:].argmax(1)
    }
    assert {source.maps.structures[n].name for n in chosen} == {"liver", "colon"}


def test_subjects_that_show_different_parts_make_no_pair():
    """Three subjects; the last one shares no slices with the first, and ten with the second."""
    maps = abdomen().maps
    known = ((0, 14), (10, 28), (18, 32))
    three = replace(maps, fractions=maps.fractions[[0, 1, 1]], present=maps.present[[0, 1, 1]], known=known)
    assert three.partners == ((), (2,), (1,))
    wide = replace(three, known=((0, 20), *known[1:]))
    assert wide.partners == ((1,), (0, 2), (1,))
    source = PairSynthesizer(wide, ABDOMEN, 6, SynthesisConfig())
    pairs = {source._draw_subjects(torch.Generator().manual_seed(seed)) for seed in range(60)}
    assert pairs == {(0, 1), (1, 0), (1, 2), (2, 1)}


def test_clean_images_show_the_slices_that_both_subjects_have():
    """The first has slices 0 to 19, the second 8 to 31: inputs show all of them, clean images 8 to 19 only."""
    pair = drawn(abdomen(labels=2, known=((0, 20), (8, 32)), **(NO_EFFECTS | NO_POSE)))
    seen = sorted(
        tuple(torch.nonzero(image[0, 0].amax((1, 2)))[[0, -1], 0].tolist()) for image in (pair.fixed, pair.moving)
    )
    assert seen[0][1] == 19
    assert seen[1][0] == 8
    for judged in (pair.fixed_clean, pair.moving_clean, pair.fixed_labels, pair.moving_labels):
        assert torch.nonzero(judged[0].abs().amax((0, 2, 3)))[[0, -1], 0].tolist() == [8, 19]


def test_a_cut_clears_its_end():
    image = torch.ones(1, 1, 20, 4, 4)
    counts = []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        cut = cut_ends(image, ScannerSettings(cut=0.5, cut_top=0.5, cut_share=0.4), generator)[0, 0]
        rows = cut.amax((1, 2))
        assert torch.equal(rows, cut.amin((1, 2)))
        kept = torch.nonzero(rows)[:, 0]
        assert torch.equal(kept, torch.arange(int(kept[0]), int(kept[-1]) + 1))
        counts.append((int(kept[0]), 19 - int(kept[-1])))
    lower, upper = (np.array(counts)[:, n] for n in (0, 1))
    assert 5 < lower.max() < 8
    assert 5 < upper.max() < 8
    assert ((lower == 0) & (upper > 0)).any()
    assert ((lower > 0) & (upper == 0)).any()
    assert torch.equal(cut_ends(image, ScannerSettings(cut=0, cut_top=0), torch.Generator()), image)


def test_a_cut_changes_the_input_but_not_the_clean_image():
    settings = NO_EFFECTS | NO_POSE | {"cut_share": 0.5}
    whole, cut = drawn(brain(**settings)), drawn(brain(**(settings | {"cut": 1, "cut_top": 1})))
    assert (cut.fixed > 0).float().mean() < 0.95 * (whole.fixed > 0).float().mean()
    assert torch.equal(cut.fixed_clean > 0, whole.fixed_clean > 0)


def test_thick_slices_blur_along_their_axis_only():
    pattern = torch.rand(1, 1, 16, 12, 14, generator=torch.Generator().manual_seed(0))
    settings = ScannerSettings(thick=1, slice_mm=6)
    for axis in range(3):
        for seed in range(3):
            thick = simulate_thick_slices(pattern, settings, 2, axis, torch.Generator().manual_seed(seed))
            assert float(thick.mean()) == pytest.approx(float(pattern.mean()), abs=0.01)
            changes = [float(torch.diff(thick, dim=a).std() / torch.diff(pattern, dim=a).std()) for a in (2, 3, 4)]
            assert min(range(3), key=changes.__getitem__) == axis
            across = pattern.mean(axis + 2, keepdim=True).expand(pattern.shape)
            assert torch.allclose(
                simulate_thick_slices(across, settings, 2, axis, torch.Generator().manual_seed(seed)), across, atol=1e-5
            )
    assert torch.equal(simulate_thick_slices(pattern, settings, 8, 0, torch.Generator().manual_seed(0)), pattern)


def scanned(**changes: float) -> Tensor:
    """A CT of a block of 50 HU in air: rows 20 to 39 of 64, columns 20 to 43 of 64."""
    channels = torch.zeros(1, 3, 4, 64, 64)
    channels[:, 0, :, 20:40, 20:44] = 1050
    settings = AppearanceSettings(**({"noise": 0, "thick": 0, "couch": 0, "arms": 0} | changes))
    return render_ct(channels, settings, 5, torch.Generator().manual_seed(3))[0, 0]


def test_couch_and_arms_are_beside_the_body():
    plain, couch, arms = scanned(), scanned(couch=1, low=-1000), scanned(arms=1)
    assert float(plain[:, 20:40, 20:44].mean()) == pytest.approx((50 + 160) / 400, abs=1e-4)
    assert float(plain.sum()) == pytest.approx(float(plain[:, 20:40, 20:44].sum()), abs=1e-3)
    table = torch.nonzero(couch.amax(0) > 0.05)
    assert (table[:, 0] < 20).any()
    assert not (couch[:, 40:] > 0.01).any()
    assert torch.allclose(couch[:, 20:40, 20:44], torch.full((4, 20, 24), 1050 / 1240), atol=1e-4)
    columns = torch.nonzero(arms.amax((0, 1)) > 0.1)[:, 0]
    assert columns.min() < 18
    assert columns.max() > 45
    assert torch.allclose(arms[:, 20:40, 20:44], plain[:, 20:40, 20:44])


def test_noise_and_windows_of_ct():
    settings = {"low": -100.0, "high": 200.0}
    assert float(scanned(**settings)[2, 30, 30]) == pytest.approx(0.5, abs=1e-4)
    spread = float(scanned(noise=0.1)[:, 22:38, 22:42].std())
    assert 0.005 < spread < 0.11


def test_bias_and_gamma_of_mri_keep_the_range():
    image = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    for seed in range(5):
        seen = render_mri(image, ScannerSettings(bias=0.5, noise=0.1), 3, torch.Generator().manual_seed(seed))
        assert seen.min() >= 0
        assert float((seen == 1).float().mean()) < 0.02
        assert seen.max() == 1
