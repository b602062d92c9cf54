"""What people hand to ``stylize``: what is taken, and what each refusal says."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.base.errors import ImageError, InputError, Interrupted
from engine.look.session import Look
from tests.support import lookfactory


@pytest.fixture
def look(tmp_path: Path) -> Look:
    return Look.load(lookfactory.gain(tmp_path / "a.onnx", 2.0), device="cpu", threads=2)


def picture(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(dtype)


@pytest.mark.parametrize(
    ("rgb", "line"),
    [
        (picture(8, 8), "a look takes (H, W, 3), not (8, 8); repeat a gray image: numpy.dstack([gray] * 3)"),
        (picture(8, 8, 1), "a look takes (H, W, 3), not (8, 8, 1); repeat a gray image: numpy.dstack([gray] * 3)"),
        (picture(8, 8, 4), "a look takes (H, W, 3), not (8, 8, 4); leave alpha out: rgba[..., :3]"),
        (picture(3, 8, 9), "a look takes (H, W, 3), not (3, 8, 9); channels come last: rgb.transpose(1, 2, 0)"),
        (
            picture(1, 8, 8, 3),
            "a look takes (H, W, 3), not (1, 8, 8, 3); one image at a time, without the batch: rgb[0]",
        ),
        (picture(0, 8, 3), "a look takes (H, W, 3), not (0, 8, 3); height, width and three channels"),
        (picture(8, 8, 2), "a look takes (H, W, 3), not (8, 8, 2); height, width and three channels"),
        ([[[0.0, 0.0, 0.0]]], "the image is a list, not a numpy array; use numpy.asarray"),
        (
            picture(8, 8, 3, dtype=np.uint8),
            "the image is uint8, but float32 is needed; codes are not light: engine.read_image reads a file as "
            "scene-linear float32",
        ),
        (
            picture(8, 8, 3, dtype=bool),
            "the image is bool, but float32 is needed; convert it to float32 first",
        ),
    ],
)
def test_images_that_are_refused(look: Look, rgb: Any, line: str) -> None:
    with pytest.raises(ImageError) as caught:
        look.stylize(rgb)
    assert str(caught.value) == line
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(look: Look, bad: float) -> None:
    rgb, stmap = picture(200, 8, 3), picture(200, 8, 3)
    rgb[131, 5, 1] = bad
    with pytest.raises(ImageError, match=r"^values of the image are NaN, Inf .* the first at row 131, column 5"):
        look.stylize(rgb)
    stmap[0, 7, 0] = bad
    with pytest.raises(ImageError, match=r"^values of the STMap are NaN, Inf .* the first at row 0, column 7"):
        look.stylize(picture(200, 8, 3), stmap=stmap)


def test_values_beyond_float32(look: Look) -> None:
    with pytest.raises(ImageError, match="beyond float32"):
        look.stylize(np.full((4, 4, 3), 1e39))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_converted(look: Look, dtype: Any) -> None:
    rgb = picture(20, 30, 3, dtype=dtype)
    stmap = picture(20, 30, 3, dtype=dtype)
    same = look.stylize(rgb.astype(np.float32), stmap=stmap.astype(np.float32))
    found = look.stylize(rgb, stmap=stmap)
    assert found.rgb.dtype == np.float32
    assert np.array_equal(found.rgb, same.rgb) and np.array_equal(found.carried, same.carried)


def test_arrays_of_any_layout(look: Look) -> None:
    rgb = picture(20, 30, 3)
    for other in (rgb[::-1], rgb[:, ::-1], rgb[..., ::-1], rgb[::2, ::3], np.asfortranarray(rgb)):
        assert np.array_equal(look.stylize(other).rgb, other * 2)


def test_light_outside_of_0_to_1_is_light(look: Look) -> None:
    rgb = np.array([[[-0.25, 0.0, 40.0]]], np.float32)
    assert look.stylize(rgb).rgb.tolist() == [[[-0.5, 0.0, 80.0]]]


@pytest.mark.parametrize(
    ("stmap", "line"),
    [
        (
            picture(8, 8, 4),
            "the STMap is (8, 8, 4), but (8, 8, 3) is needed; of R, G, B and A take u, v and confidence: "
            "stmap[..., [0, 1, 3]]",
        ),
        (
            picture(8, 9, 3),
            "the STMap is (8, 9, 3), but (8, 8, 3) is needed; u, v and confidence for each keyframe of the look, in "
            "the size of the image",
        ),
        (
            picture(8, 8, 3, dtype=np.uint16),
            "the STMap is uint16, but float32 is needed; convert it to float32 first",
        ),
        (
            np.full((8, 8, 3), 255.0),
            "the confidence of the STMap (every third channel) is 255..255, but 0..1 is needed; scale it, or "
            "numpy.clip it",
        ),
    ],
)
def test_stmaps_that_are_refused(look: Look, stmap: Any, line: str) -> None:
    with pytest.raises(ImageError, match=f"^{re.escape(line)}$"):
        look.stylize(picture(8, 8, 3), stmap=stmap)


def test_coordinates_may_point_outside(look: Look) -> None:
    stmap = np.zeros((8, 8, 3), np.float32)
    stmap[..., :2] = 5.0, -3.0
    assert np.array_equal(look.stylize(picture(8, 8, 3), stmap=stmap).rgb, picture(8, 8, 3) * 2)


def test_a_confidence_that_a_filter_left_beyond_1_is_1(look: Look) -> None:
    stmap = np.full((8, 8, 3), 0.5, np.float32)
    stmap[..., 2] = 1.0005
    assert look.stylize(picture(8, 8, 3), stmap=stmap).carried.max() == 1.0


def test_guides_that_are_refused(tmp_path: Path) -> None:
    look = Look.load(lookfactory.guided(tmp_path / "g.onnx"), device="cpu")
    with pytest.raises(ImageError, match=r"^the guide is 0\.\.255, but 0\.\.1 is needed"):
        look.stylize(picture(8, 8, 3), guide=np.linspace(0, 255, 192).reshape(8, 8, 3))
    with pytest.raises(ImageError, match=r"^the guide is uint8, but float32 is needed"):
        look.stylize(picture(8, 8, 3), guide=picture(8, 8, 3, dtype=np.uint8))


@pytest.mark.parametrize("tile", [-1, 1, 63])
def test_tiles_that_are_refused(look: Look, tile: int) -> None:
    with pytest.raises(InputError, match=rf"^a tile of {tile} pixels is too small; use 64 or more, or 0$"):
        look.stylize(picture(8, 8, 3), tile=tile)


@pytest.mark.parametrize("tile", [64.0, "64", True])
def test_tiles_that_are_no_numbers(look: Look, tile: Any) -> None:
    with pytest.raises(InputError, match="is no whole number"):
        look.stylize(picture(8, 8, 3), tile=tile)


def test_threads_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^0 threads cannot stylize"):
        Look.load(lookfactory.gain(tmp_path / "a.onnx"), device="cpu", threads=0)


def test_a_with_block_closes(tmp_path: Path) -> None:
    path = lookfactory.gain(tmp_path / "a.onnx")
    with Look.load(path, device="cpu") as look:
        assert look.stylize(picture(8, 8, 3)).rgb.shape == (8, 8, 3)
        assert repr(look) == f"<Look {path} on cpu, keyframes 1001>"
    assert look.closed and repr(look).endswith("closed>")
    with pytest.raises(InputError, match=r"^the look is closed \(.*a\.onnx\); load it again$"):
        look.stylize(picture(8, 8, 3))
    look.revive()
    with pytest.raises(InputError, match="the look is closed"):
        look.stylize(picture(8, 8, 3))
    look.close()


def test_closing_ends_what_runs(tmp_path: Path) -> None:
    """Tiles that run and tiles that wait: the caller hears of both in one way."""
    look = Look.load(lookfactory.network(tmp_path / "a.onnx", channels=(8, 12, 16), blocks=2), device="cpu", threads=1)
    caught: list[BaseException] = []

    def work() -> None:
        try:
            look.stylize(np.zeros((3000, 3000, 3), np.float32))
        except BaseException as error:
            caught.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(0.3)
    look.close()
    worker.join(60.0)
    assert not worker.is_alive()
    assert [type(error) for error in caught] == [Interrupted]


def test_what_is_given_stays_as_it_is(look: Look) -> None:
    rgb, stmap = picture(8, 8, 3), picture(8, 8, 3)
    before = rgb.copy(), stmap.copy()
    styled = look.stylize(rgb, stmap=stmap)
    assert np.array_equal(rgb, before[0]) and np.array_equal(stmap, before[1])
    assert not np.shares_memory(styled.rgb, rgb)
