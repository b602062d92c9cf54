"""Expansion: a labeling of little energy in a Markov random field, by moves that are minimum cuts.

Sources
    Boykov, Veksler, Zabih 2001 (alpha expansion); Kolmogorov, Zabih 2004 (which moves are a cut, and the graph);
    Rother, Kumar, Kolmogorov, Blake 2005 (what to do with pairs that are not submodular).

A move offers every site one label: the sites that take it are found together, exactly, by scipy's maximum flow. A
label need not mean the same patch at two sites, so that a pair may disagree although both take it. Then the pair may
not be submodular: with A what it costs as it is, B and C where one of both changes and D where both do, A + D > B + C.
The cut is given B and C raised by what is missing. So it sees no labeling cheaper than it is, and sees the present one
as it is: what it finds costs at most what it says, which is at most the energy before. No move raises the energy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from engine.base.arrays import Mask

__all__ = ["FORBIDDEN", "Integers", "RandomField", "cheapest_labels", "expand", "field_energy"]

Integers = npt.NDArray[np.int64]

FORBIDDEN = 2**24
"""Cost of a label that a site cannot have."""
_MOST = 2**30
"""Capacity of an edge: the flow counts in 32 bits."""


@dataclass(frozen=True, eq=False)
class RandomField:
    """Sites with labels that cost, and pairs of sites whose labels cost together. All costs are whole numbers."""

    single: Integers
    """(N, L): what each label costs each site; :data:`FORBIDDEN` and more where it cannot have it."""
    pairs: Integers
    """(E, 2): sites that are neighbors."""
    between: Callable[[Integers, Integers], Integers]
    """What the pairs cost, (E,), where their first sites have these labels, (E,), and their second sites those."""


def field_energy(field: RandomField, labels: Integers) -> int:
    """The energy of a labeling, (N,)."""
    own = field.single[np.arange(len(labels)), labels].sum()
    return int(own + field.between(labels[field.pairs[:, 0]], labels[field.pairs[:, 1]]).sum())


def cheapest_labels(field: RandomField) -> Integers:
    """The label that costs each site least by itself, (N,)."""
    return np.asarray(field.single.argmin(axis=1), np.int64)


def expand(
    field: RandomField,
    start: Integers,
    *,
    rounds: int = 5,
    check: Callable[[], None] = lambda: None,
) -> tuple[Integers, list[int]]:
    """Moves of every label in turn, until none helps.

    Args:
        start: (N,), labels to begin with.
        rounds: through all labels, at most.
        check: called before each move; what it raises ends all.

    Returns:
        The labels, and the energies: at the start and after each move that was made, each below the one before.
    """
    labels = start.copy()
    energies = [field_energy(field, labels)]
    count = field.single.shape[1]
    idle = 0
    for move in range(rounds * count):
        check()
        if idle == count:
            break
        label = move % count
        moved = np.where(_taking(field, labels, label), label, labels)
        energy = field_energy(field, moved)
        idle += 1
        if energy < energies[-1]:
            labels, idle = moved, 0
            energies.append(energy)
    return labels, energies


def _taking(field: RandomField, labels: Integers, label: int) -> Mask:
    """(N,): the sites that take a label in the best move."""
    own = field.single[np.arange(len(labels)), labels]
    free = (labels != label) & (field.single[:, label] < FORBIDDEN)
    # What a site pays for taking it.
    price = np.where(free, field.single[:, label] - own, 0)
    first, second = field.pairs.T
    now_first, now_second = labels[first], labels[second]
    offered = np.full(len(first), label, np.int64)
    stay, change_second, change_first, change_both = (
        field.between(now_first, now_second),
        field.between(now_first, offered),
        field.between(offered, now_second),
        field.between(offered, offered),
    )
    alone_first, alone_second = free[first] & ~free[second], free[second] & ~free[first]
    np.add.at(price, first[alone_first], (change_first - stay)[alone_first])
    np.add.at(price, second[alone_second], (change_second - stay)[alone_second])
    both = free[first] & free[second]
    first, second = first[both], second[both]
    stay, change_second, change_first, change_both = (
        each[both] for each in (stay, change_second, change_first, change_both)
    )
    missing = np.maximum(stay + change_both - change_first - change_second, 0)
    change_first = change_first + missing // 2
    change_second = change_second + (missing - missing // 2)
    np.add.at(price, first, change_first - stay)
    np.add.at(price, second, change_both - change_first)
    return free & _sink_side(price, first, second, change_first + change_second - stay - change_both)


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
