from __future__ import annotations

from collections import Counter

import pytest
import torch

from LightRegistrationLib.training.data.pairs import Mixture, Pair, join


class Constant:
    """Pairs of one value; fixed_labels are random numbers of the generator."""

    spacing_mm = 2.0

    def __init__(self, value: float, size: int = 16, *, labeled: bool = True) -> None:
        self.value = value
        self.shape = (size, size, size)
        self.labeled = labeled

    def draw(self, generator: torch.Generator) -> Pair:
        image = torch.full((1, 1, *self.shape), self.value)
        drawn = torch.rand((1, 2, *self.shape), generator=generator)
        labels = (drawn, drawn + 1) if self.labeled else ()
        return Pair(image, image + 1, image.expand(1, 3, *self.shape), image + 2, *labels)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_sources_are_drawn_by_their_weights():
    mixture = Mixture([Constant(1, 1), Constant(2, 1), Constant(3, 1)], [1.0, 0.25, 3.75])
    generator = _generator()
    count = 3000
    drawn = Counter(float(mixture.draw(generator).fixed) for _ in range(count))
    for value, share in ((1, 0.2), (2, 0.05), (3, 0.75)):
        assert drawn[value] / count == pytest.approx(share, abs=0.03)


def test_a_batch_comes_from_one_source():
    mixture = Mixture([Constant(1, 4), Constant(2, 6, labeled=False)], [1.0, 1.0])
    assert mixture.shapes == ((4, 4, 4), (6, 6, 6))
    generator = _generator()
    seen = set()
    for _ in range(12):
        pair = mixture.draw(generator, 3)
        value = float(pair.fixed[0, 0, 0, 0, 0])
        seen.add(value)
        assert (pair.fixed == value).all()
        assert pair.fixed.shape[0] == pair.moving_clean.shape[0] == 3
        assert (pair.fixed_labels is None) == (value == 2)
    assert seen == {1.0, 2.0}


def test_the_pairs_of_a_batch_are_drawn_one_after_the_other():
    mixture = Mixture([Constant(1, 4)], [0.3])
    batch = mixture.draw(_generator(), 3)
    generator = _generator()
    for number in range(3):
        single = mixture.draw(generator)
        assert torch.equal(single.fixed_labels[0], batch.fixed_labels[number])
    assert not torch.equal(batch.fixed_labels[0], batch.fixed_labels[1])


def test_a_mixture_repeats_from_its_generator():
    mixture = Mixture([Constant(n, 2) for n in range(4)], [1.0] * 4)
    first, second = _generator(7), _generator(7)
    for _ in range(10):
        one, other = mixture.draw(first, 2), mixture.draw(second, 2)
        assert torch.equal(one.fixed, other.fixed)
        assert torch.equal(one.moving_labels, other.moving_labels)


@pytest.mark.parametrize("labeled", [True, False])
def test_joined_pairs_keep_every_part_in_order(labeled):
    pairs = [Constant(n, 3, labeled=labeled).draw(_generator(n)) for n in range(3)]
    joined = join(pairs)
    for number, pair in enumerate(pairs):
        for name in ("fixed", "moving", "fixed_clean", "moving_clean"):
            assert torch.equal(getattr(joined, name)[number], getattr(pair, name)[0])
        if labeled:
            assert torch.equal(joined.fixed_labels[number], pair.fixed_labels[0])
            assert torch.equal(joined.moving_labels[number], pair.moving_labels[0])
    assert (joined.fixed_labels is None) != labeled
    assert (joined.moving_labels is None) != labeled
