"""A stylizer of live pictures: colors as rendering has them, and a keyframe of the stream that is followed."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import images
from engine.base.errors import ImageError, InputError, PaintoverError
from engine.color.config import ColorConfig
from engine.live.sources import screen_picture
from engine.live.stylizer import LiveStylizer
from tests.support import lookfactory

WAIT_S = 240.0


def codes(shift: int = 0, height: int = 48, width: int = 64) -> np.ndarray:
    """A picture with something to follow."""
    noise = np.random.default_rng(5).random((height // 4, width // 4 + 8, 3)).astype(np.float32)
    wide = cv2.resize(noise, (width + 32, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(wide[:, 8 + shift : 8 + shift + width] * 200 + 20, 0, 255), np.uint8)


def stylizer(look: Path, **how: object) -> LiveStylizer:
    facts = {"size": 0, "file": Path("camera.png"), "device": "cpu", "threads": 1, **how}
    return LiveStylizer(look, ColorConfig.active(None), **facts)  # type: ignore[arg-type]


def test_a_look_that_changes_nothing_gives_the_codes_back(tmp_path: Path) -> None:
    made = stylizer(lookfactory.identity(tmp_path / "look.onnx"))
    styled = made.finish(made.prepare(screen_picture(codes(), "test")))
    assert np.abs(styled.codes.astype(int) - codes()).max() <= 1 and styled.carried == 0
    made.close()


def test_pictures_are_brought_to_the_size(tmp_path: Path) -> None:
    made = stylizer(lookfactory.identity(tmp_path / "look.onnx"), size=32)
    assert made.finish(made.prepare(screen_picture(codes(), "test"))).codes.shape == (24, 32, 3)
    made.close()


def test_a_look_with_guides_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="guide images"):
        stylizer(lookfactory.guided(tmp_path / "look.onnx"))


def test_a_keyframe_that_cannot_be_followed_is_told(tmp_path: Path) -> None:
    told, event = list[PaintoverError | None](), threading.Event()

    def on_keyframe(error: PaintoverError | None) -> None:
        told.append(error)
        event.set()

    made = stylizer(lookfactory.identity(tmp_path / "look.onnx"), on_keyframe=on_keyframe)
    made.key()
    made.prepare(screen_picture(codes(), "test"))
    assert event.wait(WAIT_S) and "does not store its keyframes" in str(told[0])
    assert not made.is_keyed
    made.close()


@pytest.mark.slow
def test_strokes_ride_on_a_keyframe_of_the_stream(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the look is exported from a network")
    from tests.support.networks import blended, stored, write
    from tests.support.procedural import painting_of, plate

    write(tmp_path / "look.onnx", blended(), [stored(painting_of(plate(24, 32)))]).close()
    red = np.zeros((48, 64, 3), np.float32)
    red[:, :32] = (0.8, 0.1, 0.1)
    images.write(tmp_path / "painting.png", red, bit_depth="uint8")
    told, event = list[PaintoverError | None](), threading.Event()

    def on_keyframe(error: PaintoverError | None) -> None:
        told.append(error)
        event.set()

    made = stylizer(tmp_path / "look.onnx", on_keyframe=on_keyframe)
    made.key(tmp_path / "painting.png")
    before = made.prepare(screen_picture(codes(), "test"))
    assert before.stmap is None, "the keyframe itself is shown while it is made ready"
    assert event.wait(WAIT_S) and told == [None] and made.is_keyed
    for shift in (0, 2, 4):
        prepared = made.prepare(screen_picture(codes(shift), "test"))
    styled = made.finish(prepared)
    # The picture went 4 pixels to the left, and the border between the colors with it.
    assert styled.carried > 0.8
    inside = styled.codes[8:40, 8:56].astype(int)
    edge = 8 + (inside[..., 0] > 100).sum(axis=1)
    assert np.abs(np.median(edge) - 28) <= 1
    assert np.abs(inside[:, :12].mean((0, 1)) - 255 * np.array([0.8, 0.1, 0.1])).max() < 12
    made.unkey()
    assert made.prepare(screen_picture(codes(4), "test")).stmap is None
    made.close()


def test_a_painting_of_another_shape_is_refused(tmp_path: Path) -> None:
    told, event = list[PaintoverError | None](), threading.Event()

    def on_keyframe(error: PaintoverError | None) -> None:
        told.append(error)
        event.set()

    images.write(tmp_path / "p.png", np.zeros((48, 48, 3), np.float32), bit_depth="uint8")
    made = stylizer(lookfactory.identity(tmp_path / "look.onnx"), on_keyframe=on_keyframe)
    made.key(tmp_path / "p.png")
    made.prepare(screen_picture(codes(), "test"))
    assert event.wait(WAIT_S)
    assert isinstance(told[0], ImageError) and "the painting is 48x48, the stream 64x48" in str(told[0])
    made.close()
