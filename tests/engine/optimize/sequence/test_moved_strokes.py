"""Moved strokes: they ride on the flow, leave with what they lie on, and where none come along others are laid."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # few strokes on a busy machine: a second thread mostly waits

from engine.base.arrays import Floats
from engine.optimize.brushstrokes.layout import Layout, lay_out
from engine.optimize.brushstrokes.render import bare
from engine.optimize.sequence.moved_strokes import StrokeSource, moved, moved_and_new
from tests.support import textures

HEIGHT, WIDTH, COUNT = 48, 64, 60
RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def flow(dx: float, dy: float) -> Floats:
    return np.broadcast_to(np.float32((dx, dy)), (HEIGHT, WIDTH, 2)).copy()


def layout(seed: int = 3, color: tuple[float, float, float] | None = None) -> Layout:
    laid = lay_out(textures.texture(seed, HEIGHT, WIDTH), COUNT, seed=0, directions=None, matte=None)
    if color is None:
        return laid
    return Layout(laid.strokes.colored(torch.tensor(color).expand(len(laid.strokes), 3)), laid.broad)


def test_strokes_ride_on_the_flow_and_leave_with_it() -> None:
    before = layout()
    after = moved(StrokeSource(before, flow(5, -2), flow(-5, 2)))
    x, y = before.strokes.location_px.T
    stays = ((x.floor() + 5 <= WIDTH - 1) & (y.floor() - 2 >= 0)).numpy()
    assert 0.5 < stays.mean() < 1.0 and len(after.strokes) == stays.sum()
    assert after.broad == stays[: before.broad].sum()
    off = after.strokes.points_px.numpy() - before.strokes.points_px.numpy()[stays]
    assert np.abs(off - (5, -2)).max() < 1e-4
    assert torch.equal(after.strokes.width_px, before.strokes.width_px[torch.from_numpy(stays)])


def test_strokes_grow_with_what_they_lie_on() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    off = np.stack([x - WIDTH / 2, y - HEIGHT / 2], axis=2)
    before = layout()
    after = moved(StrokeSource(before, 0.1 * off, off / 1.1 - off))
    middle = after.strokes.location_px - torch.tensor([WIDTH / 2, HEIGHT / 2])
    near = (middle.abs() < 12).all(dim=1)
    inner = ((before.strokes.location_px - torch.tensor([WIDTH / 2, HEIGHT / 2])).abs() * 1.1 < 12).all(dim=1)
    ratio = after.strokes.width_px[near] / before.strokes.width_px[inner]
    assert near.sum() > 5 and torch.allclose(ratio, torch.full_like(ratio, 1.1), atol=0.01)


def test_what_is_revealed_gets_strokes_and_nothing_stays_bare() -> None:
    source = StrokeSource(layout(color=RED), flow(-12, 0), flow(12, 0))
    found = moved_and_new([source], layout(seed=5, color=GREEN))
    green = (found.strokes.color[:, 1] == 1).numpy()
    fine = np.arange(len(green)) >= found.broad
    assert (found.strokes.location_px[green & fine, 0] >= WIDTH - 13).all(), "fine strokes only where none came along"
    assert 0 < green.sum() < len(green) / 2
    assert float(bare(found.strokes, HEIGHT, WIDTH).max()) < 0.35
    whole = layout(seed=5, color=GREEN)
    assert len(found.strokes) <= round(1.25 * len(whole.strokes))


def test_a_surface_that_was_hidden_gets_its_own_strokes_back() -> None:
    """Of the nearest frame only the left half is seen here; the right one is known from a frame farther away."""
    near_forth, near_back = flow(0, 0), flow(0, 0)
    near_back[:, WIDTH // 2 :] = (0, 200)
    near = StrokeSource(layout(color=RED), near_forth, near_back)
    far = StrokeSource(layout(color=GREEN), flow(0, 0), flow(0, 0))
    found = moved_and_new([near, far], layout(seed=5, color=(0.0, 0.0, 1.0)))
    x, color = found.strokes.location_px[:, 0], found.strokes.color
    fine = torch.arange(len(x)) >= found.broad
    right = fine & (x > WIDTH / 2 + 1)
    assert (color[right & (color[:, 0] == 0)][:, 1] == 1).all() and int((color[right][:, 1] == 1).sum()) > 5
    assert not (color[fine] == torch.tensor((0.0, 0.0, 1.0))).all(dim=1).any(), "nothing had to be laid anew"
