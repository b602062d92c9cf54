"""Exemplars of a look: another frame takes a keyframe's place, and all else stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the looks of these tests are exported from networks")

from engine.base.errors import ImageError, LookError
from engine.look.card import open_look
from engine.look.exemplars import with_exemplar
from engine.look.session import Look
from engine.motion.stmap import flow_to_stmap
from tests.support import lookfactory
from tests.support.networks import blended, lively, stored, write
from tests.support.procedural import painting_of, plate

HEIGHT, WIDTH = 40, 56
"""Another size than the look's own keyframe has."""


def identity(count: int) -> np.ndarray:
    u, v = flow_to_stmap(np.zeros((HEIGHT, WIDTH, 2), np.float32), HEIGHT, WIDTH)
    maps = np.zeros((HEIGHT, WIDTH, 3 * count), np.float32)
    maps[..., :3] = np.stack([u, v, np.ones_like(u)], axis=2)
    return maps


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("partial", [False, True])
def test_a_look_that_knows_only_the_plate_shows_the_new_painting(tmp_path: Path, count: int, partial: bool) -> None:
    painting = painting_of(plate(24, 32))
    coverage = np.zeros((24, 32), np.float32) if partial else None
    exemplars = [stored(painting, coverage) for _ in range(count)]
    write(tmp_path / "look.onnx", blended(), exemplars).close()
    frame, painted = plate(HEIGHT, WIDTH), painting_of(plate(HEIGHT, WIDTH))
    made = with_exemplar(open_look(tmp_path / "look.onnx"), painted, frame, 7)
    fact = made.card.keyframes[0]
    assert (fact.frame, fact.width, fact.height, len(made.card.keyframes)) == (7, WIDTH, HEIGHT, count)
    with Look.load(made, device="cpu", threads=1) as look:
        styled = look.stylize(frame, stmap=identity(count))
    assert styled.carried.min() == 1
    assert np.abs(styled.rgb - painted).max() < 2e-3


def test_a_look_of_our_network_carries_it_and_translates_as_before(tmp_path: Path) -> None:
    with write(tmp_path / "look.onnx", lively()) as before:
        frame, painted = plate(HEIGHT, WIDTH), painting_of(plate(HEIGHT, WIDTH))
        plain = before.stylize(frame).rgb
    with Look.load(with_exemplar(open_look(tmp_path / "look.onnx"), painted, frame), device="cpu", threads=1) as look:
        assert np.array_equal(look.stylize(frame).rgb, plain)
        carried = look.stylize(frame, stmap=identity(1))
        # What it lost between pixels is told by the exemplar's size: a wrong one would sharpen what needs nothing.
        written = write(tmp_path / "own.onnx", lively(), [stored(painted)])
    with written:
        own = with_exemplar(open_look(tmp_path / "own.onnx"), painted, painted)
        with Look.load(own, device="cpu", threads=1) as again:
            expected = written.stylize(frame, stmap=identity(1))
            assert np.array_equal(again.stylize(frame, stmap=identity(1)).rgb, expected.rgb)
    assert carried.carried.mean() > 0.5


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    frame = plate(HEIGHT, WIDTH)
    look = open_look(lookfactory.gain(tmp_path / "gain.onnx"))
    with pytest.raises(LookError, match="does not store its keyframes"):
        with_exemplar(look, frame, frame)
    with pytest.raises(ImageError, match="cannot lie on a frame"):
        with_exemplar(look, frame[:8], frame)
