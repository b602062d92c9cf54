"""Small image files: noise as a picture, channels as an EXR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio

from engine import images

HEIGHT, WIDTH = 24, 32


def picture(path: Path, seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Path:
    rgb = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    images.write(path, rgb, bit_depth=None if path.suffix == ".exr" else "uint8")
    return path


def write_exr(path: Path, channels: dict[str, np.ndarray]) -> Path:
    height, width = next(iter(channels.values())).shape
    spec = oiio.ImageSpec(width, height, len(channels), oiio.FLOAT)
    spec.channelnames = list(channels)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), spec)
    assert writer.write_image(np.ascontiguousarray(np.stack(list(channels.values()), axis=2), np.float32))
    assert writer.close()
    return path


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)
