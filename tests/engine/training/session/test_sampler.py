"""Patches of paintings that change: which cells changed, and that new strokes come more often for a while."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from engine.training.data.patches import CELL, Pair, PatchSampler
from engine.training.session.sampler import FRESH_TURNS, FreshPatches, changed_cells
from tests.support.pairs import HALO, make_pair

SIZE = (96, 128)


def repainted(box: tuple[int, int, int, int]) -> Pair:
    """The pair of :func:`make_pair` with another color in a box of the picture: top, left, bottom, right."""
    pair = make_pair(*SIZE)
    top, left, bottom, right = (value + 8 for value in box)
    painting = pair.painting.clone()
    painting[:, top:bottom, left:right] += 0.3
    return dataclasses.replace(pair, painting=painting)


def test_the_cells_of_a_changed_box_and_no_others_changed() -> None:
    cells = changed_cells(make_pair(*SIZE), repainted((24, 40, 40, 56)))
    # The picture begins 8 pixels inside its padding.
    assert sorted(map(tuple, cells.tolist())) == [(32, 48)]
    assert len(changed_cells(make_pair(*SIZE), make_pair(*SIZE))) == 0


def test_a_new_painting_is_fresh_wherever_it_is_painted() -> None:
    weight = np.zeros(SIZE, np.float32)
    weight[:CELL, :CELL] = 1
    cells = changed_cells(None, make_pair(*SIZE, weight))
    assert {tuple(cell) for cell in cells.tolist()} == {(0, 0), (0, 16), (16, 0), (16, 16)}


def sampler() -> FreshPatches:
    pairs = [make_pair(*SIZE, frame=frame) for frame in range(4)]
    plain = PatchSampler(pairs, crop=80, halo=HALO, batch=2, rng=np.random.default_rng(0))
    return FreshPatches.of(plain)


def turns(made: FreshPatches, count: int) -> list[int]:
    return [made._keyframe() for _ in range(count)]


def test_without_changes_keyframes_take_turns() -> None:
    assert turns(sampler(), 8) == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_changed_keyframe_gets_every_other_batch_for_a_while() -> None:
    made = sampler()
    made.replace(made.pairs, {2: np.array([[32, 48]], np.int64)})
    first = turns(made, FRESH_TURNS)
    assert first.count(2) == pytest.approx(FRESH_TURNS * 5 / 8, abs=2)
    after = turns(made, 40)
    assert after.count(2) == 10


def test_crops_of_a_changed_keyframe_hold_the_change_more_often() -> None:
    made = sampler()
    made.replace(made.pairs, {2: np.array([[32, 48]], np.int64)})
    made._fresh_turns = 1000
    places = [made._cell(2) for _ in range(200)]
    assert places.count((32, 48)) > 100
    assert len(set(places)) > 30


def test_the_same_draws_as_before_without_changes() -> None:
    pairs = [make_pair(*SIZE, frame=frame) for frame in range(2)]
    plain = PatchSampler(pairs, crop=80, halo=HALO, batch=2, rng=np.random.default_rng(3))
    fresh = FreshPatches(pairs, crop=80, halo=HALO, batch=2, rng=np.random.default_rng(3))
    for _ in range(3):
        one, two = plain.next(), fresh.next()
        assert torch.equal(one.plate, two.plate) and torch.equal(one.carried, two.carried)
