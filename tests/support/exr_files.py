"""EXR files by a second reader and writer, where it is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.pictures import noise

try:
    import OpenEXR
except ImportError:
    OpenEXR = None

second_reader = pytest.mark.skipif(OpenEXR is None, reason="the second EXR reader is missing (pip install OpenEXR)")

HEIGHT, WIDTH = 40, 60
"""Of the data window of what write_multipart writes."""


def _need_second_reader() -> None:
    if OpenEXR is None:
        pytest.skip("the second EXR reader is missing (pip install OpenEXR)")


def exr_parts(path: Path) -> list:
    """What the second reader finds in a file."""
    _need_second_reader()
    return OpenEXR.File(str(path), separate_channels=True).parts


def write_multipart(path: Path) -> Path:
    """Overscan with a negative origin, soft alpha, depth, identifiers, a second part with its own window."""
    _need_second_reader()
    alpha = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH).astype(np.float16)
    color = {name: (noise(HEIGHT, WIDTH, seed=i) * 4 * alpha).astype(np.float16) for i, name in enumerate("RGB")}
    color["R"][0, 0] = 3.0  # emission: color where alpha is 0
    common = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "displayWindow": ((0, 0), (49, 29)),
        "pixelAspectRatio": 2.0,
    }
    beauty = {**common, "dataWindow": ((-5, -4), (WIDTH - 6, HEIGHT - 5)), "shot": "ab_010"}
    depth = {**common, "dataWindow": ((3, 2), (22, 11)), "layerNote": "distance"}
    distance = noise(HEIGHT, WIDTH) * 1000 + 1 / 3
    distance[3, 3] = np.nan
    parts = [
        OpenEXR.Part(
            beauty,
            {
                **color,
                "A": alpha,
                "depth.Z": distance,
                "id": np.random.default_rng(1).integers(0, 2**32, (HEIGHT, WIDTH), dtype=np.uint32),
            },
            "rgba",
        ),
        OpenEXR.Part(depth, {"Z": noise(10, 20)}, "deepness"),
    ]
    OpenEXR.File(parts).write(str(path))
    return path
