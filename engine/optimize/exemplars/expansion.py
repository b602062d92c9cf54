"""Expansion: a labeling of little energy in a Markov random field, by moves that are minimum cuts.

Sources
    Boykov, Veksler, Zabih 2001 (alpha expansion); Kolmogorov, Zabih 2004 (which moves are a cut, and the graph);
    Rother, Kumar, Kolmogorov, Blake 2005 (what to do with pairs that are not submodular).

A move offers one label to all sites that may have it, and those that take it are found together, by scipy's maximum
flow. A label need not mean the same patch at two sites: a pair may disagree although both take it. Then it may not be
submodular: with A what the pair costs as it is, B and C where one of both changes and D where both do, A + D > B + C.
The cut is given B and C raised by what is missing. So it sees no labeling cheaper than it is, and the present one as it
is: what it finds costs at most what the cut says, and that is at most the energy before. No move raises the energy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from engine.base.arrays import Mask

__all__ = ["Integers", "RandomField", "cheapest_labels", "expand", "field_energy", "offers_of"]

Integers = npt.NDArray[np.int64]

_MOST = 2**30
"""Capacity of an edge: the flow counts in 32 bits."""


@dataclass(frozen=True, eq=False)
class RandomField:
    """Sites with labels that cost, and pairs of sites whose labels cost together. All costs are whole numbers."""

    sites: int
    """How many."""
    offers: Sequence[tuple[Integers, Integers]]
    """For each label the sites that may have it, and what it costs each of them."""
    pairs: Integers
    """(E, 2): sites that are neighbors."""
    between: Callable[[Integers, Integers, Integers], Integers]
    """What these pairs cost, numbers in ``pairs``, where their first sites have these labels, and their second those:
    three arrays of one length, and one more."""


def offers_of(single: Integers) -> list[tuple[Integers, Integers]]:
    """The offers of a table (N, L), in which every site may have every label."""
    every = np.arange(len(single), dtype=np.int64)
    return [(every, np.ascontiguousarray(single[:, label])) for label in range(single.shape[1])]


def field_energy(field: RandomField, labels: Integers) -> int:
    """The energy of a labeling, (N,)."""
    every = np.arange(len(field.pairs), dtype=np.int64)
    first, second = field.pairs.T
    return int(_paid(field, labels).sum() + field.between(every, labels[first], labels[second]).sum())


def cheapest_labels(field: RandomField) -> Integers:
    """The label that costs each site least by itself, (N,)."""
    least = np.full(field.sites, np.iinfo(np.int64).max)
    labels = np.zeros(field.sites, np.int64)
    for label, (sites, costs) in enumerate(field.offers):
        better = costs < least[sites]
        least[sites[better]], labels[sites[better]] = costs[better], label
    return labels


def expand(
    field: RandomField,
    start: Integers,
    *,
    rounds: int = 5,
    check: Callable[[], None] = lambda: None,
) -> tuple[Integers, list[int]]:
    """Moves of every label in turn, until none helps.

    Args:
        start: (N,), labels to begin with, of those that the sites may have.
        rounds: through all labels, at most.
        check: called before each move; what it raises ends all.

    Returns:
        The labels, and the energies: at the start and after each move that was made, each below the one before.
    """
    labels = start.copy()
    paid = _paid(field, labels)
    energies = [field_energy(field, labels)]
    count = len(field.offers)
    idle = 0
    for move in range(rounds * count):
        check()
        if idle == count:
            break
        label = move % count
        sites, costs = field.offers[label]
        other = labels[sites] != label
        changed, gain = _best_move(field, labels, label, sites[other], costs[other] - paid[sites[other]])
        idle += 1
        if gain > 0:
            idle = 0
            taking = np.zeros(field.sites, bool)
            taking[changed] = True
            paid[sites[taking[sites]]] = costs[taking[sites]]
            labels[changed] = label
            energies.append(energies[-1] - gain)
    return labels, energies


def _paid(field: RandomField, labels: Integers) -> Integers:
    """(N,): what each site's label costs it."""
    paid = np.zeros(field.sites, np.int64)
    for label, (sites, costs) in enumerate(field.offers):
        has = labels[sites] == label
        paid[sites[has]] = costs[has]
    return paid


def _best_move(
    field: RandomField, labels: Integers, label: int, sites: Integers, price: Integers
) -> tuple[Integers, int]:
    """The sites that take a label in the best move, and by how much the energy falls.

    Args:
        sites: (M,), those that may.
        price: (M,), what each pays more by itself.
    """
    number = np.full(field.sites, -1, np.int64)
    number[sites] = np.arange(len(sites))
    first, second = field.pairs.T
    touched = np.flatnonzero((number[first] >= 0) | (number[second] >= 0))
    first, second = first[touched], second[touched]
    now_first, now_second = labels[first], labels[second]
    offered = np.full(len(touched), label, np.int64)
    stay, late, early, both = (
        field.between(touched, now_first, now_second),
        field.between(touched, now_first, offered),
        field.between(touched, offered, now_second),
        field.between(touched, offered, offered),
    )
    one, two = number[first], number[second]
    cost = price.copy()
    # A neighbor that has the label already, or cannot have it, stays: what the pair costs is the other one's alone.
    np.add.at(cost, one[two < 0], (early - stay)[two < 0])
    np.add.at(cost, two[one < 0], (late - stay)[one < 0])
    free = (one >= 0) & (two >= 0)
    a, b, c, d = stay[free], late[free], early[free], both[free]
    missing = np.maximum(a + d - b - c, 0)
    b, c = b + missing // 2, c + (missing - missing // 2)
    np.add.at(cost, one[free], c - a)
    np.add.at(cost, two[free], d - c)
    changes = _sink_side(cost, one[free], two[free], b + c - a - d)
    changed_first, changed_second = ((side >= 0) & changes[side] for side in (one, two))
    after = np.where(changed_first, np.where(changed_second, both, early), np.where(changed_second, late, stay))
    return sites[changes], int((stay - after).sum() - price[changes].sum())


def _sink_side(price: Integers, first: Integers, second: Integers, parted: Integers) -> Mask:
    """(N,): the fewest sites that change in a cheapest labeling of two labels.

    Args:
        price: (N,), of changing.
        first, second: (E,), pairs.
        parted: (E,), 0 or more: what it costs that the first does not change and the second does.
    """
    count = len(price)
    source, sink = count, count + 1
    sites = np.arange(count)
    pays, gains = price > 0, price < 0
    tails = np.concatenate([first, np.full(int(pays.sum()), source), sites[gains]])
    heads = np.concatenate([second, sites[pays], np.full(int(gains.sum()), sink)])
    capacities = np.minimum(np.concatenate([parted, price[pays], -price[gains]]), _MOST)
    some = capacities > 0
    shape = (count + 2, count + 2)
    graph = csr_array((capacities[some].astype(np.int32), (tails[some], heads[some])), shape=shape)
    left = csr_array(graph - maximum_flow(graph, source, sink).flow)
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    # From the sink backwards, so that of equally good cuts the one that changes least is taken.
    reached = breadth_first_order(csr_array(left.T), sink, return_predecessors=False)
    changed = np.zeros(count + 2, bool)
    changed[reached] = True
    return changed[:count]
