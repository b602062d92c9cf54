"""Motion between any two frames of a shot: where pixels go, where that is not known, vectors of another size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")

from engine.base.frames import SequencePath
from engine.motion.flow import luma8
from engine.motion.flow_files import FlowFiles, write_flow
from engine.optimize.sequence.shot_motion import ShotMotion
from tests.support import textures

HEIGHT, WIDTH = 64, 96
STEP_PX = 2


def gray(frame: int) -> np.ndarray:
    canvas = textures.texture(height=HEIGHT, width=WIDTH + 40)
    return luma8(canvas[:, STEP_PX * frame :][:, :WIDTH])


def test_frames_far_apart_are_joined_directly() -> None:
    motion = ShotMotion(gray)
    for here, there, dx in ((3, 2, STEP_PX), (7, 1, 6 * STEP_PX), (1, 7, -6 * STEP_PX)):
        flow, trust = motion.between(here, there)
        assert (np.abs(flow[20:-20, 30:-30] - (dx, 0)) < 0.2).all(), (here, there)
        assert (trust[20:-20, 30:-30] > 0.99).all()
    assert (trust[:, : 6 * STEP_PX] == 0).all(), "what left the frame is nowhere in the other"


def test_a_frame_is_read_once_while_it_is_needed() -> None:
    read: list[int] = []

    def once(frame: int) -> np.ndarray:
        read.append(frame)
        return gray(frame)

    motion = ShotMotion(once)
    for here in (1, 2, 3):
        motion.between(here, here + 1)
    assert read == [1, 2, 3, 4]


def test_vectors_are_scaled_with_the_frames(tmp_path: Path) -> None:
    forth = np.zeros((HEIGHT * 4, WIDTH * 4, 2), np.float32)
    forth[...] = (8, -4)
    write_flow(tmp_path / "v.1.exr", forward=forth, backward=forth)
    write_flow(tmp_path / "v.2.exr", forward=forth, backward=-forth)
    motion = ShotMotion(gray, FlowFiles(SequencePath.parse(str(tmp_path / "v.%d.exr"))))
    flow, trust = motion.between(1, 2)
    assert np.array_equal(flow, np.broadcast_to(np.float32((2, -1)), flow.shape))
    assert (trust[8:-8, 8:-8] == 1).all()
    flow, _ = motion.between(2, 1)
    assert np.array_equal(flow, np.broadcast_to(np.float32((-2, 1)), flow.shape))
    # Farther apart than the files join is estimated.
    flow, _ = motion.between(3, 1)
    assert abs(float(np.median(flow[..., 0])) - 2 * STEP_PX) < 0.2
    assert cv2.getNumThreads() >= 1
