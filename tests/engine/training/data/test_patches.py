"""Training patches: judged pixels see what they would see in the whole frame, and every painted part gets its turn."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine.training.data.patches import CELL, Pair
from engine.training.model.edges import MARGIN
from engine.training.model.network import Architecture, Translator
from engine.training.model.texler import TexlerSampler
from tests.support.networks import shake
from tests.support.pairs import HALO, make_pair, sampler
from tests.support.procedural import TINY

SIZES = [(150, 230), (72, 96), (49, 47), (64, 64), (40, 200), (200, 33), (65, 194), (17, 3), (1, 1)]


def worst_context_error(pair: Pair, halo: int, batches: int) -> float:
    """Largest difference, at judged pixels, of a network on a crop and on the whole padded keyframe."""
    net = shake(Translator(Architecture(TINY.width, TINY.blocks))).double()
    drawing = sampler([pair], halo=halo)
    height, width = pair.plate.shape[-2:]
    worst = 0.0
    for _ in range(batches):
        batch, places = drawing.draw()
        for item, (_, top, left) in enumerate(places):
            # A crop may start anywhere, so the whole frame is cut to the crop's place in the network's grid.
            y, x = top % 8, left % 8
            rows, columns = (height - y) // 8 * 8, (width - x) // 8 * 8
            whole = pair.plate[None, :, y : y + rows, x : x + columns].double()
            with torch.no_grad():
                expected = net(whole)
                found = net(batch.plate[item : item + 1].double())
            window = (..., slice(top - y, top - y + found.shape[-2]), slice(left - x, left - x + found.shape[-1]))
            judged = batch.weight[item] > 0
            worst = max(worst, float(((found - expected[window])[0].abs() * judged).max()))
    return worst


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_judged_pixels_see_their_real_context(size: tuple[int, int]) -> None:
    # float64 sums in another order.
    assert worst_context_error(make_pair(*size), HALO, 6) <= 1e-9


@pytest.mark.slow
def test_less_halo_than_reach_would_show() -> None:
    assert worst_context_error(make_pair(150, 230), 8, 6) > 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_no_weight_within_the_halo_of_an_artificial_border(size: tuple[int, int]) -> None:
    pair = make_pair(*size)
    height, width = pair.plate.shape[-2:]
    drawing = sampler([pair])
    for _ in range(10):
        batch, places = drawing.draw()
        rows, columns = batch.weight.shape[-2:]
        for weight, (_, top, left) in zip(batch.weight[:, 0], places, strict=True):
            first_row = HALO if top > 0 else 0
            last_row = rows - (HALO if top + rows < height else 0)
            first_column = HALO if left > 0 else 0
            last_column = columns - (HALO if left + columns < width else 0)
            judged = torch.zeros_like(weight)
            judged[first_row:last_row, first_column:last_column] = 1
            # Exactly: nothing inside the halo, and nothing lost outside it.
            assert torch.equal(weight, pair.weight[0, top : top + rows, left : left + columns] * judged)
            assert weight.any()


def test_the_discriminator_sees_only_pixels_with_real_context() -> None:
    pair = make_pair(150, 230)
    drawn = sampler([pair])
    for _ in range(20):
        batch, origins = drawn.draw()
        assert batch.size == (TINY.crop - 2 * HALO, TINY.crop - 2 * HALO)
        for (_, top, left), corner in zip(origins, batch.corners, strict=True):
            for start, origin, size in zip(corner, (top, left), pair.plate.shape[-2:], strict=True):
                # At the frame's border the part reaches it; elsewhere it keeps the halo on both sides.
                wanted = 0 if origin == 0 else 2 * HALO if origin + TINY.crop == size else HALO
                assert start == wanted
        assert batch.judged(batch.plate).shape == (len(origins), 3, *batch.size)
    whole = sampler([make_pair(17, 3)]).next()
    assert whole.size == (40, 24) and set(whole.corners) == {(0, 0)}


@pytest.mark.parametrize("size", SIZES)
def test_every_painted_pixel_is_judged_in_each_round(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    spots = (rng.random(size) > 0.98).astype(np.float32)
    spots[size[0] // 2, size[1] // 2] = 1
    pair = make_pair(*size, weight=spots)
    drawing = sampler([pair], batch=1)
    drawing._spoiler.PLAIN = 1.0  # a displaced painting is judged where it is solid, not pixel for pixel
    cells = len(drawing._cells[0])
    assert cells >= 1
    for _ in range(2):
        judged = torch.zeros_like(pair.weight[0])
        for _ in range(cells):
            batch, [(_, top, left)] = drawing.draw()
            rows, columns = batch.weight.shape[-2:]
            window = judged[top : top + rows, left : left + columns]
            window.copy_(torch.maximum(window, batch.weight[0, 0]))
        assert torch.equal(judged, pair.weight[0])


def test_unpainted_cells_are_not_visited() -> None:
    weight = np.zeros((150, 230), np.float32)
    weight[70:80, 100:110] = 1
    drawing = sampler([make_pair(150, 230, weight)])
    assert len(drawing._cells[0]) <= 4
    for _ in range(20):
        batch, _ = drawing.draw()
        assert (batch.weight.flatten(1).sum(1) > 0).all()


def test_the_plain_translation_is_asked_for_the_painting_itself_in_every_crop() -> None:
    pair = make_pair(150, 230)
    drawing = sampler([pair])
    carried = moved = 0
    for _ in range(10):
        batch, places = drawing.draw()
        rows, columns = batch.plate.shape[-2:]
        for item, (_, top, left) in enumerate(places):
            assert torch.equal(batch.painting[item], pair.painting[:, top : top + rows, left : left + columns])
            if batch.carried[item, 6].any():
                carried += 1
                moved += int((batch.displaced[item] - batch.painting[item]).abs().max() > 1e-3)
            else:
                assert torch.equal(batch.displaced[item], batch.painting[item])
        assert torch.equal(batch.of_carried.painting, batch.displaced)
        assert (batch.of_carried.weight <= batch.weight).all()
    # About half of the crops carry an exemplar, and nearly all of those are displaced.
    assert 12 <= carried <= 32 and moved >= 0.8 * carried


def test_keyframes_of_different_sizes_take_turns() -> None:
    pairs = [make_pair(72, 96, frame=0), make_pair(40, 200, frame=1), make_pair(1, 1, frame=2)]
    drawing = sampler(pairs)
    drawing._spoiler.PLAIN = 1.0
    seen, shapes = [], []
    for _ in range(6):
        batch, places = drawing.draw()
        assert len({index for index, _, _ in places}) == 1
        index, top, left = places[0]
        rows, columns = batch.plate.shape[-2:]
        assert torch.equal(batch.plate[0], pairs[index].plate[:, top : top + rows, left : left + columns])
        assert torch.equal(batch.painting[0], pairs[index].painting[:, top : top + rows, left : left + columns])
        seen.append(index)
        shapes.append((rows, columns))
    assert seen == [0, 1, 2, 0, 1, 2]
    assert shapes[:3] == [(80, 80), (56, 80), (24, 24)]


def test_a_restored_sampler_goes_on_where_it_was() -> None:
    pairs = [make_pair(72, 96, frame=0), make_pair(80, 80, frame=1)]
    first = sampler(pairs)
    for _ in range(3):
        first.next()
    state, random = first.state(), first.rng.bit_generator.state
    expected = [first.next().plate for _ in range(12)]
    second = sampler(pairs)
    second.restore(state)
    second.rng.bit_generator.state = random
    assert all(torch.equal(second.next().plate, batch) for batch in expected)


def test_the_padding_repeats_the_edge_and_counts_nothing() -> None:
    pair = make_pair(17, 3)
    assert pair.plate.shape == (3, 40, 24) and (pair.height, pair.width) == (17, 3)
    assert torch.equal(pair.plate[:, :MARGIN, MARGIN], pair.plate[:, MARGIN : MARGIN + 1, MARGIN].expand(3, MARGIN))
    inside = pair.weight[:, MARGIN : MARGIN + 17, MARGIN : MARGIN + 3]
    assert (inside == 1).all() and pair.weight.sum() == 17 * 3
    assert CELL < 2 * HALO


@pytest.mark.parametrize("size", [(17, 3), (1, 1), (60, 80)])
def test_the_published_sampler_finds_patches_in_the_smallest_matte(size: tuple[int, int]) -> None:
    pair = make_pair(*size)
    drawing = TexlerSampler([(pair.plate, pair.painting, pair.weight)], 32, 5, np.random.default_rng(0))
    plates, paintings, real, weight = drawing.next()
    assert plates.shape == paintings.shape == real.shape == (5, 3, 32, 32)
    assert weight.shape == (5, 1, 32, 32)
