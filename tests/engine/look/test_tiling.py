"""The tile grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.look.tiling import DEFAULT_TILE, MIN_TILE, Window, choose_tile, plan

SIZE = st.integers(1, 700)


@given(SIZE, SIZE, st.integers(0, 300), st.integers(0, 90), st.sampled_from([1, 2, 4, 8, 16]))
def test_writes_cover_once_and_reads_hold_the_halo(
    height: int, width: int, tile: int, halo: int, multiple: int
) -> None:
    covered = np.zeros((height, width), np.int8)
    for piece in plan(height, width, tile=tile, halo=halo, multiple=multiple):
        write, read = piece.write, piece.read
        covered[write.slices] += 1
        assert write.top % multiple == write.left % multiple == read.top % multiple == read.left % multiple == 0
        assert read.top <= max(0, write.top - halo) and read.bottom >= min(height, write.bottom + halo)
        assert read.left <= max(0, write.left - halo) and read.right >= min(width, write.right + halo)
        assert 0 <= read.top and 0 <= read.left and read.bottom <= height and read.right <= width
        limit = tile + multiple if tile else max(height, width)
        assert max(write.height, write.width) <= max(limit, multiple)
        inside = np.zeros((read.height, read.width))[piece.crop]
        assert inside.shape == (write.height, write.width)
    assert (covered == 1).all()


def test_tiles_are_of_equal_size_rather_than_full_with_a_remainder() -> None:
    heights = {piece.write.height for piece in plan(1080, 1920, tile=1024, halo=60, multiple=4)}
    assert heights == {540}


def test_tile_zero_is_the_whole_frame() -> None:
    (only,) = plan(4320, 8192, tile=0, halo=60, multiple=8)
    assert only.write == only.read == Window(0, 0, 4320, 8192)
    assert only.write.pixels == 4320 * 8192


@pytest.mark.parametrize(
    ("height", "tile", "halo", "multiple"), [(0, 64, 0, 1), (5, -1, 0, 1), (5, 64, -1, 1), (5, 64, 0, 0)]
)
def test_impossible_grids_are_refused(height: int, tile: int, halo: int, multiple: int) -> None:
    with pytest.raises(ValueError, match="no grid"):
        plan(height, 5, tile=tile, halo=halo, multiple=multiple)


def test_the_tile_steps_down_only_when_memory_is_short() -> None:
    assert choose_tile(2**40, 900, 64, 4) == DEFAULT_TILE
    assert choose_tile((1024 + 128) ** 2 * 900, 900, 64, 4) == 1024
    assert choose_tile((1024 + 128) ** 2 * 900 - 1, 900, 64, 4) == 512
    assert choose_tile(0, 900, 64, 4) == MIN_TILE
