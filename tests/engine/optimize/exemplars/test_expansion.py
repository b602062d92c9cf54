"""Expansion: as low as an exhaustive search on small fields, below the greedy choice, and never up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed")

from engine.optimize.exemplars.expansion import (
    Integers,
    RandomField,
    cheapest_labels,
    expand,
    field_energy,
    offers_of,
)


def grid(height: int, width: int) -> Integers:
    sites = np.arange(height * width).reshape(height, width)
    across = np.stack([sites[:, :-1].ravel(), sites[:, 1:].ravel()], axis=1)
    down = np.stack([sites[:-1].ravel(), sites[1:].ravel()], axis=1)
    return np.concatenate([across, down]).astype(np.int64)


def table_field(seed: int, shape: tuple[int, int], labels: int, *, metric: bool) -> RandomField:
    """A field of random costs. With a metric the pairs' costs are a distance of labels; else each site has a point
    for each of its labels, and a pair costs the distance of two points, as patches of several candidates do."""
    random = np.random.default_rng(seed)
    pairs = grid(*shape)
    sites = shape[0] * shape[1]
    places = random.integers(0, 60, (labels, 2) if metric else (sites, labels, 2))
    first, second = (np.broadcast_to(places, (sites, labels, 2))[pairs[:, side]] for side in (0, 1))
    table = np.abs(first[:, :, None] - second[:, None]).sum(axis=3).astype(np.int64)
    single = random.integers(0, 100, (sites, labels)).astype(np.int64)
    return RandomField(sites, offers_of(single), pairs, lambda each, a, b: table[each, a, b])


def lowest(field: RandomField) -> int:
    """By exhaustive search."""
    every = itertools.product(range(len(field.offers)), repeat=field.sites)
    return min(field_energy(field, np.array(each)) for each in every)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_as_low_as_an_exhaustive_search(seed: int) -> None:
    field = table_field(seed, (2, 3), 3, metric=True)
    labels, energies = expand(field, cheapest_labels(field))
    assert field_energy(field, labels) == energies[-1] == lowest(field)


def test_two_labels_of_a_metric_need_one_round() -> None:
    field = table_field(7, (3, 4), 2, metric=True)
    _, energies = expand(field, cheapest_labels(field), rounds=1)
    assert energies[-1] == lowest(field)


@pytest.mark.parametrize("metric", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_below_the_greedy_choice_and_never_rises(seed: int, metric: bool) -> None:
    field = table_field(seed, (12, 16), 5, metric=metric)
    start = cheapest_labels(field)
    labels, energies = expand(field, start)
    assert energies[0] == field_energy(field, start)
    assert all(later < earlier for earlier, later in itertools.pairwise(energies))
    assert field_energy(field, labels) == energies[-1] < energies[0]


def test_pairs_that_are_not_submodular_never_raise_the_energy() -> None:
    """Costs without any order, so that most pairs are not submodular; from any start."""
    random = np.random.default_rng(3)
    pairs = grid(6, 6)
    table = random.integers(0, 100, (len(pairs), 4, 4)).astype(np.int64)
    offers = offers_of(random.integers(0, 30, (36, 4)).astype(np.int64))
    field = RandomField(36, offers, pairs, lambda each, a, b: table[each, a, b])
    for _ in range(5):
        labels, energies = expand(field, random.integers(0, 4, 36).astype(np.int64))
        assert field_energy(field, labels) == energies[-1]
        assert all(later < earlier for earlier, later in itertools.pairwise(energies)) and len(energies) > 2


def test_sites_take_only_what_they_are_offered() -> None:
    whole = table_field(1, (6, 8), 4, metric=True)
    kept, costs = np.arange(0, 48, 2), np.full(48, -50, np.int64)
    field = RandomField(48, [*whole.offers[:2], (kept, costs[kept]), whole.offers[3]], whole.pairs, whole.between)
    labels, energies = expand(field, cheapest_labels(field))
    assert (labels[::2] == 2).any() and not (labels[1::2] == 2).any()
    assert field_energy(field, labels) == energies[-1] < energies[0]


def test_nothing_changes_where_nothing_is_gained() -> None:
    offers = offers_of(np.zeros((9, 2), np.int64))
    field = RandomField(9, offers, grid(3, 3), lambda each, a, b: (a != b).astype(np.int64))
    labels, energies = expand(field, np.ones(9, np.int64))
    assert labels.tolist() == [1] * 9 and energies == [0]
