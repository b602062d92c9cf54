"""Marks of a painting that its plate does not ask for, and that a sidecar does not lend them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.arrays import Floats
from engine.base.frames import FrameRange, SequencePath
from engine.motion.stmap import sidecar_path, stmap_to_flow
from engine.preparation.marks import find_marks, fine_correlation, marks_of, read_painting
from engine.preparation.sidecars import prepare_sidecars
from engine.shot.shot import Plate

HEIGHT, WIDTH, PAN = 96, 160, 8
SUN = (120, 24, 9)
"""x, y and radius, pixels."""


def sky(frame: int) -> Floats:
    """(H, W, 3) linear: a flat sky over ground with texture, which moves to the left."""
    ground = cv2.resize(np.random.default_rng(3).uniform(0.05, 0.6, (24, 60)).astype(np.float32), (240, HEIGHT))
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    gray = np.where(rows < HEIGHT // 2, 0.3 + 0.002 * rows, ground)[:, PAN * frame : PAN * frame + WIDTH]
    grain = np.random.default_rng(frame).normal(0, 0.002, (HEIGHT, WIDTH, 3))
    return np.asarray(gray[..., None] * np.array([0.8, 0.9, 1.0], np.float32) + grain, np.float32)


def painted(plate: Floats) -> Floats:
    """Strokes in the plate's colors, with bristles of their own."""
    rng = np.random.default_rng(1)
    strokes = cv2.resize(rng.normal(0, 0.08, (HEIGHT // 4, WIDTH // 12, 3)).astype(np.float32), (WIDTH, HEIGHT))
    bristles = cv2.resize(rng.normal(0, 0.03, (HEIGHT, WIDTH // 12, 1)).astype(np.float32), (WIDTH, HEIGHT))
    return np.asarray(np.clip(cv2.blur(plate, (7, 7)) + strokes + bristles[..., None], 0, 1), np.float32)


def test_a_painting_that_follows_its_plate_lends_nothing(tmp_path: Path) -> None:
    path, plate, contrast = tmp_path / "painting.png", sky(0), np.zeros((HEIGHT, WIDTH), np.float32)
    assert fine_correlation(plate, plate * np.float32(0.7)) == pytest.approx(1)
    assert abs(fine_correlation(plate, painted(plate))) < 0.2
    images.write(path, np.asarray(plate[..., ::-1] * np.float32(0.8), np.float32), bit_depth="uint8")
    graded = marks_of(path, plate, contrast)
    assert graded is not None and graded.all()
    images.write(path, painted(plate), bit_depth="uint8")
    brushed = marks_of(path, plate, contrast)
    assert brushed is not None and not brushed.any()


def with_sun(painting: Floats) -> Floats:
    return np.asarray(cv2.circle(painting.copy(), SUN[:2], SUN[2], (1.0, 0.9, 0.1), -1), np.float32)


def sun() -> np.ndarray:
    return cv2.circle(np.zeros((HEIGHT, WIDTH), np.uint8), SUN[:2], SUN[2], 1, -1) > 0


def test_a_sun_is_a_mark_and_strokes_are_none() -> None:
    plate, contrast = sky(0), np.zeros((HEIGHT, WIDTH), np.float32)
    assert find_marks(plate, contrast, painted(plate)).mean() < 0.01
    marks = find_marks(plate, contrast, with_sun(painted(plate)))
    assert marks[sun()].all() and marks.sum() < 5 * sun().sum()


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (40, 2)])
def test_a_tiny_painting_has_no_marks(size: tuple[int, int]) -> None:
    picture = np.zeros((*size, 3), np.float32)
    assert not find_marks(picture, picture[..., 0], picture).any()


def test_a_painting_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert read_painting(tmp_path / "none.png", 8, 8) is None
    assert read_painting(tmp_path / "broken.png", 8, 8) is None


def test_a_sidecar_does_not_lend_the_sun(tmp_path: Path) -> None:
    for frame in range(5):
        images.write(tmp_path / f"plate.{frame:04d}.exr", sky(frame), bit_depth="half")
    plate = Plate(SequencePath.parse(str(tmp_path / "plate.%04d.exr")), FrameRange.parse("0-4"))
    painting = tmp_path / "painting.png"
    images.write(painting, painted(sky(0)), bit_depth="uint8")
    work, path = tmp_path / "work", sidecar_path(tmp_path / "work", 0, 4)

    def shown() -> np.ndarray:
        pixels = np.asarray(oiio.ImageBuf(str(path)).get_pixels(oiio.FLOAT))
        flow = stmap_to_flow(pixels[..., 0], pixels[..., 1], HEIGHT, WIDTH)
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
        lent = pixels[..., 2] > 0.5
        at = np.zeros((HEIGHT, WIDTH), bool)
        at[np.rint(y + flow[..., 1])[lent].astype(int), np.rint(x + flow[..., 0])[lent].astype(int)] = True
        return at

    def made() -> int:
        return prepare_sidecars(plate, [0], work, paintings={0: painting}, threads=1).made

    assert made() == 5 and made() == 0
    assert shown().any()
    # Where the sky lends anyway, the painter adds a sun.
    y, x = (int(np.median(axis)) for axis in np.nonzero(shown()))
    picture = cv2.circle(painted(sky(0)), (x, y), SUN[2], (1.0, 0.9, 0.1), -1)
    images.write(painting, picture, bit_depth="uint8")
    assert made() == 5
    inner = cv2.circle(np.zeros((HEIGHT, WIDTH), np.uint8), (x, y), SUN[2] - 2, 1, -1) > 0
    assert not (shown() & inner).any()
    # Who does not know the painting leaves the maps as they are.
    assert prepare_sidecars(plate, [0], work, threads=1).made == 0
