"""Tiles and halo for an image of any size.

A tile *writes* its part of the image and *reads* a halo more on every side, so that what it writes equals the whole
frame to 1e-4 of the working encoding. The grid depends on the image's size and the settings alone, never on the machine
(docs/decisions/003-tile-grid.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.base.errors import InputError

__all__ = ["DEFAULT_TILE", "MIN_TILE", "Tile", "Window", "check_tile", "choose_tile", "plan"]

DEFAULT_TILE = 1024
"""Pixels a side. Large enough that a halo of 64 costs under a third, small enough for 1 GiB of activations."""
MIN_TILE = 64
"""Below this a tile is mostly halo."""


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels; ``bottom`` and ``right`` are exclusive, y runs down."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Indexes an (H, W, ...) array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class Tile:
    """One piece of the grid, in pixels of the image."""

    write: Window
    """The pixels that this tile delivers; the write windows cover the image once."""
    read: Window
    """The pixels that it needs: ``write`` grown by the halo, cut at the image's border."""

    @property
    def crop(self) -> tuple[slice, slice]:
        """``write`` inside ``read``: indexes the (H, W, ...) result of running the read window."""
        top, left = self.write.top - self.read.top, self.write.left - self.read.left
        return slice(top, top + self.write.height), slice(left, left + self.write.width)


def plan(height: int, width: int, *, tile: int, halo: int, multiple: int) -> tuple[Tile, ...]:
    """Cut an image into tiles of nearly equal size, row by row.

    Args:
        height, width: the image, in pixels, each at least 1.
        tile: largest side of a write window in pixels, rounded up to ``multiple``; 0 for the whole frame in one.
        halo: pixels that the network reaches to each side.
        multiple: windows start on multiples of this, as the network's strides need.

    Raises:
        ValueError: a size under 1, or a negative tile or halo.
    """
    if min(height, width, multiple) < 1 or min(tile, halo) < 0:
        raise ValueError(f"no grid for {width}x{height}, tile {tile}, halo {halo}, multiple {multiple}")
    rows = _spans(height, tile, halo, multiple)
    columns = _spans(width, tile, halo, multiple)
    return tuple(
        Tile(Window(top, left, bottom, right), Window(read_top, read_left, read_bottom, read_right))
        for top, bottom, read_top, read_bottom in rows
        for left, right, read_left, read_right in columns
    )


def check_tile(tile: int) -> None:
    """Refuse a side that no tile may have.

    Args:
        tile: pixels; 0 for the whole frame.

    Raises:
        InputError: under ``MIN_TILE`` and not 0, or not a whole number.
    """
    if isinstance(tile, bool) or not isinstance(tile, int | np.integer):
        raise InputError(f"a tile of {tile!r} pixels is no whole number", remedy=f"use {MIN_TILE} or more, or 0")
    if tile != 0 and tile < MIN_TILE:
        raise InputError(f"a tile of {tile} pixels is too small", remedy=f"use {MIN_TILE} or more, or 0")


def choose_tile(free_bytes: int, bytes_per_pixel: float, halo: int, multiple: int) -> int:
    """The default tile, or the largest smaller power of two whose activations fit; at least ``MIN_TILE``.

    For use where no tile is set. The answer is ``DEFAULT_TILE`` wherever memory allows, so that machines agree.

    Args:
        free_bytes: memory that one tile may take.
        bytes_per_pixel: activations alive at once, per pixel of a read window.
        halo, multiple: as for :func:`plan`.
    """
    tile, margin = DEFAULT_TILE, 2 * _round_up(halo, multiple)
    while tile > MIN_TILE and (tile + margin) ** 2 * bytes_per_pixel > free_bytes:
        tile //= 2
    return tile


def _spans(size: int, tile: int, halo: int, multiple: int) -> list[tuple[int, int, int, int]]:
    """(write start, write end, read start, read end) along one axis."""
    # Equal parts rather than full tiles and a remainder: a thin last row would be nearly all halo.
    count = 1 if tile == 0 else -(-size // _round_up(tile, multiple))
    step = _round_up(-(-size // count), multiple)
    margin = _round_up(halo, multiple)
    return [
        (start, min(start + step, size), max(0, start - margin), min(start + step + margin, size))
        for start in range(0, size, step)
    ]


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
