"""Tiled search: nothing that a cell can see is missing, little that it cannot see is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)

from engine.optimize.brushstrokes.curves import Brushstrokes, sampled
from engine.optimize.brushstrokes.search import CELL_PX, search
from tests.support import ROOT
from tests.support.brushstrokes import scattered

EDGE = 0.75


def lists_of(strokes: Brushstrokes, height: int, width: int, slack: float = 0) -> list[list[int]]:
    found = search(strokes.points_px, strokes.width_px, height, width, EDGE, slack)
    first = found.first.tolist()
    return [found.strokes[a:b].tolist() for a, b in pairwise(first)]


@pytest.mark.parametrize("slack", [0.0, 2.0])
def test_lists_are_those_of_a_search_through_all_strokes(slack: float) -> None:
    height, width = 47, 83  # several tiles, and cells that overhang
    strokes = scattered(100, height, width, seed=2)
    lists = lists_of(strokes, height, width, slack)
    columns = -(-width // CELL_PX)
    curves = sampled(strokes.points_px, 200)  # (N, 200, 2)
    seen = needed = 0
    for cell, found in enumerate(lists):
        assert found == sorted(found, reverse=True) and len(set(found)) == len(found)
        corner = torch.tensor([cell % columns, cell // columns]) * CELL_PX
        y, x = torch.meshgrid(torch.arange(CELL_PX) + 0.5, torch.arange(CELL_PX) + 0.5, indexing="ij")
        at = torch.stack([x.flatten(), y.flatten()], dim=1) + corner
        distance = torch.cdist(at[None].expand(len(strokes), -1, -1), curves).amin(2)  # (N, 25)
        half = strokes.width_px[:, None] / 2
        touches = (distance < half + EDGE + slack).any(1)
        covers = (distance <= half - EDGE - slack).all(1).nonzero()[:, 0]
        lowest = int(covers.max()) if len(covers) else 0
        must = set(touches.nonzero()[:, 0].tolist()) & set(range(lowest, len(strokes)))
        seen, needed = seen + len(found), needed + len(must)
        assert must <= set(found)
    # What is there beyond need: cells are taken as discs.
    assert seen < 1.6 * needed


@pytest.mark.slow
def test_the_published_number_of_strokes_fits() -> None:
    """In a process of its own, with gradients, at 1024 pixels."""
    command = [sys.executable, "-m", "tests.support.strokes_figures", "--memory"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = re.match(r"5000 strokes at 1024x1024: peak ([\d.]+) GiB", done.stdout)
    # All strokes for all pixels would be 20 GiB for one number each.
    assert found and float(found[1]) < 2.0, done.stdout


def test_groups_hold_every_cell_once_with_its_strokes() -> None:
    strokes = scattered(200, 50, 70, seed=4)
    found = search(strokes.points_px, strokes.width_px, 50, 70, EDGE)
    lists, cells = lists_of(strokes, 50, 70), []
    for group, indices in found.groups():
        for cell, row in zip(group.tolist(), indices.tolist(), strict=True):
            assert [index for index in row if index >= 0] == lists[cell]
            cells.append(cell)
    assert sorted(cells) == list(range(10 * 14))
