"""Frames that a style look learns from: which pairs, the motion between them, and what crops of them hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine import images
from engine.base.errors import ImageError
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.optimize.feedforward.frames import CONTEXT_PX, choose_pairs, load_frames
from engine.shot.plate import PlateReader
from engine.training.model.edges import MARGIN
from tests.support.style_shots import HEIGHT, SHIFT, WIDTH, style_shot

CPU = torch.device("cpu")


def loaded(folder: Path, frames: str = "0-2"):  # type: ignore[no-untyped-def]
    config = ColorConfig.active(None)
    reader = PlateReader(SequencePath.parse(str(folder / "plate.%d.png")), None, config)
    return load_frames(reader, FrameRange.parse(frames), config), reader


def test_pairs_are_neighbors_spread_over_the_range_as_memory_takes() -> None:
    assert choose_pairs(FrameRange.parse("7"), 100) == [(7, None)]
    assert choose_pairs(FrameRange.parse("1-4"), 100) == [(1, 2), (2, 3), (3, 4)]
    assert choose_pairs(FrameRange.parse("1-9x4"), 100) == [(1, 5), (5, 9)]
    many = choose_pairs(FrameRange.parse("1-1000"), 1920 * 1080)
    assert len(many) == 24 and many[0] == (1, 2) and many[-1] == (999, 1000)
    assert len(choose_pairs(FrameRange.parse("1-1000"), 7680 * 4320)) == 1
    large = choose_pairs(FrameRange.parse("1-1000"), 3840 * 2160)
    assert len(large) * 3840 * 2160 * 18 < 2**30


def test_motion_is_followed_and_padding_is_not_trusted(tmp_path: Path) -> None:
    frames, reader = loaded(style_shot(tmp_path, height=64, width=96))
    pair = frames.pairs[0]
    assert (pair.earlier, pair.later) == (0, 1) and frames.size == (64, 96)
    inside = pair.trust[0, MARGIN:-MARGIN, MARGIN:-MARGIN].float() > 0.9
    assert 0.3 < float(inside.float().mean()) < 1
    found = pair.flow[:, MARGIN:-MARGIN, MARGIN:-MARGIN].float()[:, inside]
    np.testing.assert_allclose(found.median(1).values.numpy(), [-SHIFT, -SHIFT], atol=0.25)
    border = pair.trust.clone()
    border[:, MARGIN : MARGIN + 64, MARGIN : MARGIN + 96] = 0
    assert not border.any()
    np.testing.assert_allclose(frames.encoded(1), reader.encoded(1), atol=1e-3)


def test_a_crop_judges_what_has_context(tmp_path: Path) -> None:
    frames, _ = loaded(style_shot(tmp_path, height=128, width=160))
    rng, sizes = np.random.default_rng(0), set()
    for _ in range(20):
        crop = frames.crop(48, rng, CPU)
        assert crop.plates.shape == (2, 3, 80, 80)
        rows, columns = crop.inner
        assert crop.trust.shape[2:] == (rows.stop - rows.start, columns.stop - columns.start)
        assert crop.judged(crop.plates).shape[2:] == crop.flow.shape[2:]
        sizes.add(rows.start)
    assert sizes == {MARGIN, CONTEXT_PX}, "at the frame's own border the padding is the look's own"


def test_a_small_frame_is_one_crop(tmp_path: Path) -> None:
    frames, _ = loaded(style_shot(tmp_path))
    crop = frames.crop(256, np.random.default_rng(0), CPU)
    assert crop.trust.shape == (1, 1, HEIGHT, WIDTH)
    shown = crop.judged(crop.plates)[0].permute(1, 2, 0).numpy()
    assert any(np.array_equal(shown, frames.encoded(number)) for number in (0, 1))


def test_a_frame_alone_has_no_motion(tmp_path: Path) -> None:
    frames, _ = loaded(style_shot(tmp_path), "1")
    crop = frames.crop(256, np.random.default_rng(0), CPU)
    assert frames.pairs[0].later is None and len(crop.plates) == 1 and not crop.trust.any()


def test_frames_of_another_size_are_named(tmp_path: Path) -> None:
    style_shot(tmp_path)
    images.write(tmp_path / "plate.2.png", np.zeros((HEIGHT, WIDTH + 8, 3), np.float32), bit_depth="uint8")
    with pytest.raises(ImageError, match=r"this frame is 64x40, others are 56x40"):
        loaded(tmp_path)
    images.write(tmp_path / "plate.0.png", np.zeros((20, WIDTH, 3), np.float32), bit_depth="uint8")
    with pytest.raises(ImageError, match=r"the plate is 56x20, too small for a style image"):
        loaded(tmp_path)
