"""Coverage of paintings: what alpha and matte say, in the plate's data window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.errors import ImageError
from engine.base.frames import FrameRange, SequencePath
from engine.shot.paintings import painted_alpha, painted_coverage
from engine.shot.shot import Keyframe, Plate

SIZE = (24, 32)
GRAY = np.full((*SIZE, 3), 0.5, np.float32)


@pytest.fixture
def plate(tmp_path: Path) -> Plate:
    images.write(tmp_path / "plate.0001.png", GRAY, bit_depth="uint8")
    return Plate(SequencePath.parse(tmp_path / "plate.%04d.png"), FrameRange.parse("1"))


def left() -> np.ndarray:
    alpha = np.zeros(SIZE, np.float32)
    alpha[:, :16] = 1.0
    return alpha


def test_a_painting_without_alpha_covers_its_frame(tmp_path: Path, plate: Plate) -> None:
    images.write(tmp_path / "p.png", GRAY, bit_depth="uint8")
    assert painted_coverage(Keyframe(1, tmp_path / "p.png"), plate) is None


def test_an_alpha_that_is_the_same_everywhere_says_nothing(tmp_path: Path, plate: Plate) -> None:
    images.write(tmp_path / "p.png", GRAY, alpha=np.ones(SIZE, np.float32), bit_depth="uint8")
    assert painted_coverage(Keyframe(1, tmp_path / "p.png"), plate) is None
    images.write(tmp_path / "e.png", GRAY * 0, alpha=np.zeros(SIZE, np.float32), bit_depth="uint8")
    empty = painted_alpha(images.read(tmp_path / "e.png"))
    assert empty is not None and not empty.any()


def test_alpha_and_matte_multiply(tmp_path: Path, plate: Plate) -> None:
    images.write(tmp_path / "p.png", GRAY, alpha=left(), bit_depth="uint8")
    matte = np.ones((*SIZE, 3), np.float32)
    matte[:12] = 0.0
    images.write(tmp_path / "m.png", matte, bit_depth="uint8")
    alone = painted_coverage(Keyframe(1, tmp_path / "p.png"), plate)
    assert alone is not None and np.array_equal(alone, left())
    both = painted_coverage(Keyframe(1, tmp_path / "p.png", matte=tmp_path / "m.png"), plate)
    assert both is not None and both.mean() == 0.25 and both[12:, :16].min() == 1.0


def test_a_matte_of_another_size_is_resampled(tmp_path: Path, plate: Plate) -> None:
    images.write(tmp_path / "p.png", GRAY, bit_depth="uint8")
    big = np.repeat(np.repeat(left(), 2, axis=0), 2, axis=1)
    images.write(tmp_path / "m.png", np.repeat(big[..., None], 3, axis=2), bit_depth="uint8")
    coverage = painted_coverage(Keyframe(1, tmp_path / "p.png", matte=tmp_path / "m.png"), plate)
    assert coverage is not None and coverage.shape == SIZE and coverage.mean() == pytest.approx(0.5)


def test_a_painting_that_cannot_be_read_is_an_error(tmp_path: Path, plate: Plate) -> None:
    with pytest.raises(ImageError, match="frame 1"):
        painted_coverage(Keyframe(1, tmp_path / "none.png"), plate)
