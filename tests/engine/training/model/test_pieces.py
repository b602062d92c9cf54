"""Pieces of a keyframe that stand for others, and what training makes of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from engine.base.arrays import Floats
from engine.training.model.carry import Exemplar, Spoiler
from engine.training.model.pieces import find_pieces, joined

HEIGHT, WIDTH = 96, 160


def plate() -> Floats:
    """(H, W, 3) encoded: texture, darker below."""
    fine = np.random.default_rng(0).uniform(-0.1, 0.1, (HEIGHT // 2, WIDTH // 2, 3)).astype(np.float32)
    rows = np.linspace(0.7, 0.3, HEIGHT, dtype=np.float32)[:, None, None]
    return np.asarray(rows + cv2.resize(fine, (WIDTH, HEIGHT)), np.float32)


def strokes() -> Floats:
    rows = np.linspace(0.7, 0.3, HEIGHT, dtype=np.float32)[:, None, None]
    fine = np.random.default_rng(1).uniform(-0.1, 0.1, (HEIGHT, WIDTH // 8, 3)).astype(np.float32)
    return np.asarray(rows + cv2.resize(fine, (WIDTH, HEIGHT)), np.float32)


def test_pieces_come_from_elsewhere_with_such_a_plate() -> None:
    pieces = find_pieces(plate(), strokes())
    assert np.hypot(*pieces.shift).min() > 0.08 * WIDTH
    y = np.mgrid[0:HEIGHT, 0:WIDTH][0]
    # As bright as the pixel that they stand for: of about the same height.
    assert np.median(np.abs(pieces.shift[1])) < HEIGHT / 4
    assert (y + pieces.shift[1]).min() >= 0 and (y + pieces.shift[1]).max() <= HEIGHT - 1
    assert pieces.alike.mean() > 0.9 and 0 < pieces.seam.mean() < 0.6


def test_strokes_are_the_paintings_own_and_a_grade_is_the_plates() -> None:
    assert find_pieces(plate(), strokes()).own == 1
    assert find_pieces(plate(), np.asarray(plate() * 0.8 + 0.1, np.float32)).own == 0


def test_a_seam_is_smoothed_and_nothing_else() -> None:
    picture = np.zeros((16, 16, 3), np.float32)
    picture[:, 8:] = 1
    seam = np.zeros((16, 16), np.float32)
    seam[:, 6:10] = 1
    found = joined(picture, picture, seam)
    assert np.abs(np.diff(found[8, :, 0])).max() < 0.4
    assert np.array_equal(found[:, :6], picture[:, :6]) and np.array_equal(found[:, 10:], picture[:, 10:])
    # Strokes in the tone that belongs there.
    assert np.allclose(joined(picture * 0.5 + 0.2, picture * 0.5, np.zeros_like(seam)), picture * 0.5, atol=1e-5)


@pytest.mark.parametrize("own", [True, False])
def test_what_training_asks_for_where_pieces_arrive(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    painting = strokes() if own else np.asarray(plate() * 0.8 + 0.1, np.float32)
    pieces = find_pieces(plate(), painting)
    stack = [torch.from_numpy(x.transpose(2, 0, 1)) for x in (painting, plate())]
    key = Exemplar.of(stack[0], torch.ones(1, HEIGHT, WIDTH), stack[1])
    everywhere = np.ones((64, 64), bool)
    for name, value in (("PLAIN", 0.0), ("PIECED", 1.0), ("_pieced", lambda self, rows, columns: everywhere)):
        monkeypatch.setattr(Spoiler, name, value)
    got, wanted = Spoiler(np.random.default_rng(0)).crop(key, 16, 32, 64, 64, pieces)
    assert wanted is not None
    true = stack[0][:, 16:80, 32:96]
    arrived, away = (got[:3] - wanted[:3]).abs().mean(), (true - wanted[:3]).abs().mean()
    # Strokes are kept as they arrive; of a grade the crop's own is asked for.
    assert (arrived < 0.5 * away) if own else (away < 0.5 * arrived)
    assert 0.2 < got[6].mean() < 0.9
