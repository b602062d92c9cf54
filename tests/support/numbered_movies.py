"""Movies whose every picture spells its number, and their packets written again with some left out or changed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import av
import numpy as np

BITS, BLOCK = 6, 16
COUNT = 40


def numbered(number: int, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    """A picture whose top row of blocks spells its number in binary; the rest moves, so that frames predict."""
    picture = np.full((*size, 3), 60, np.uint8)
    picture[32:, (3 * number) % size[1] :][:, :12] = (180, 90, 40)
    for bit in range(BITS):
        picture[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 235 if number >> bit & 1 else 16
    return picture


def number_of(rgb: np.ndarray) -> int:
    """The number that a picture spells."""
    blocks = rgb[4 : BLOCK - 4, : BITS * BLOCK].reshape(BLOCK - 8, BITS, BLOCK, 3).mean((0, 2, 3))
    return int(sum(1 << bit for bit in range(BITS) if blocks[bit] > 0.5))


def encode(path: Path, count: int = COUNT, codec: str = "libx264", **options: str) -> Path:
    """A movie of ``count`` numbered pictures."""
    if codec == "libx264":
        # The same stream on every machine.
        options = {"sc_threshold": "0", "threads": "1", **options}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def remux(
    source: Path, out: Path, drop: Collection[int] = (), change: Callable[[int, Any], None] | None = None
) -> Path:
    """The packets of a movie, without those of ``drop``, each changed by ``change``."""
    with av.open(str(source)) as movie, av.open(str(out), "w") as container:
        stream = container.add_stream_from_template(movie.streams.video[0])
        for number, packet in enumerate(movie.demux(movie.streams.video[0])):
            if not packet.size or number in drop:
                continue
            if change is not None:
                change(number, packet)
            packet.stream = stream
            container.mux(packet)
    return out
