"""Directions: what an artist's file says of them, and files that say nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import images
from engine.base.errors import ImageError
from engine.optimize.brushstrokes.directions import Directions, drawn_directions, read_directions, vector_directions
from tests.support.pictures import write_exr


def angle_deg(field: Directions, x: int, y: int) -> float:
    """From right toward down, 0..180."""
    return float(np.degrees(np.arctan2(field.double[y, x, 1], field.double[y, x, 0])) / 2 % 180)


@pytest.mark.parametrize("angle", [0, 30, 90, 135, 170])
def test_vectors_are_read_without_their_sign(angle: int) -> None:
    turn = np.radians(angle)
    rgb = np.zeros((4, 6, 3), np.float32) + np.float32([0.5 + np.cos(turn) / 2, 0.5 + np.sin(turn) / 2, 0.5])
    rgb[0, 0] = 0.5
    field, opposite = vector_directions(rgb), vector_directions(1 - rgb)
    assert angle_deg(field, 3, 2) == pytest.approx(angle % 180, abs=1e-3)
    assert field.weight[2, 3] == pytest.approx(1) and field.weight[0, 0] == 0
    assert np.allclose(field.double, opposite.double, atol=1e-5)


def test_a_drawn_line_spreads_its_direction_and_fades() -> None:
    ink = np.zeros((120, 160), np.float32)
    cv2.line(ink, (20, 30), (60, 70), 1.0, 4, cv2.LINE_AA)  # 45 degrees
    cv2.line(ink, (110, 20), (110, 70), 1.0, 4, cv2.LINE_AA)  # upright
    field = drawn_directions(ink)
    for x, y in ((30, 40), (40, 50), (50, 44)):
        assert angle_deg(field, x, y) == pytest.approx(45, abs=4)
    for x, y in ((110, 40), (116, 50)):
        assert angle_deg(field, x, y) == pytest.approx(90, abs=4)
    assert field.weight[50, 40] > 0.8 and field.weight[45, 116] > 0.5
    assert field.weight[115, 20] < 0.01


def test_files_of_both_kinds(tmp_path: Path) -> None:
    ink = np.zeros((60, 80, 3), np.float32)
    cv2.line(ink, (10, 30), (70, 30), (1.0, 1.0, 1.0), 4)
    images.write(tmp_path / "white.png", ink, bit_depth="uint8")
    images.write(tmp_path / "black.png", 1 - ink, bit_depth="uint8")
    images.write(tmp_path / "layer.png", 1 - ink, alpha=ink[..., 0], bit_depth="uint8")
    vectors = np.zeros((60, 80, 3), np.float32) + np.float32([1.0, 0.5, 0.5])
    images.write(tmp_path / "vectors.png", vectors, bit_depth="uint8")
    for name in ("white.png", "black.png", "layer.png", "vectors.png"):
        assert angle_deg(read_directions(tmp_path / name, (80, 60)), 40, 30) in (
            pytest.approx(0, abs=1),
            pytest.approx(180, abs=1),
        )


def test_a_smaller_frame_has_the_same_directions() -> None:
    rgb = np.full((40, 60, 3), 0.5, np.float32)
    rgb[:, :30, 1] = 1.0
    field = vector_directions(rgb).shrunk(13, 20)
    assert field.weight.shape == (13, 20)
    assert angle_deg(field, 4, 6) == pytest.approx(90, abs=1e-3) and angle_deg(field, 9, 6) == pytest.approx(90, abs=1)
    assert field.weight[6, 15] == 0


def test_files_that_say_nothing_are_refused_in_one_line(tmp_path: Path) -> None:
    images.write(tmp_path / "black.png", np.zeros((60, 80, 3), np.float32), bit_depth="uint8")
    with pytest.raises(ImageError, match=r"the directions say nothing .*; draw lines on a transparent layer or white"):
        read_directions(tmp_path / "black.png", (80, 60))
    with pytest.raises(
        ImageError, match=r"the directions are 80x60, and the plate 80x61 .*; give an image of the plate's"
    ):
        read_directions(tmp_path / "black.png", (80, 61))
    rgb = {name: np.random.default_rng(i).random((60, 80)).astype(np.float32) for i, name in enumerate("RGB")}
    rgb["R"][3, 4] = np.nan
    with pytest.raises(ImageError, match=r"1 pixels of the directions are NaN or Inf"):
        read_directions(write_exr(tmp_path / "nan.exr", rgb), (80, 60))
    (tmp_path / "torn.png").write_bytes((tmp_path / "black.png").read_bytes()[:40])
    with pytest.raises(ImageError):
        read_directions(tmp_path / "torn.png", (80, 60))
