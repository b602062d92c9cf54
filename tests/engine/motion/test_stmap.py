"""An STMap sidecar: Nuke's convention, and what is read of one by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.base.errors import ImageError
from engine.motion.stmap import flow_to_stmap, read_sidecars, stmap_to_flow, write_sidecar
from tests.support.pictures import write_exr

# The convention


def test_a_pixel_by_hand(tmp_path: Path) -> None:
    # Upper left pixel of a 4x2 frame, which shows the keyframe's pixel one to the right and one down.
    flow = np.zeros((2, 4, 2), np.float32)
    flow[0, 0] = (1, 1)
    path = tmp_path / "stmap" / "0001.exr"
    write_sidecar(path, flow, np.full((2, 4), 0.25, np.float32), (2, 4))
    source = oiio.ImageInput.open(str(path))
    names, pixels = list(source.spec().channelnames), np.asarray(source.read_image(oiio.FLOAT))
    source.close()
    assert names == ["R", "G", "B", "A"]
    # u counts pixel centers from the left, v from the bottom: column 1 of 4, lower row of 2.
    assert pixels[0, 0].tolist() == [1.5 / 4, 0.5 / 2, 0.0, 0.25]
    # One that stays: column 0 of the lower row.
    assert pixels[1, 0].tolist() == [0.5 / 4, 0.5 / 2, 0.0, 0.25]
    assert pixels[0, 3].tolist() == [3.5 / 4, 1.5 / 2, 0.0, 0.25]


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    key=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    seed=st.integers(0, 99),
)
def test_flow_and_stmap_are_each_others_inverse(size: tuple[int, int], key: tuple[int, int], seed: int) -> None:
    flow = np.random.default_rng(seed).uniform(-50, 50, (*size, 2)).astype(np.float32)
    back = stmap_to_flow(*flow_to_stmap(flow, *key), *key)
    # Coordinates of up to 3000 pixels in float32 keep a thousandth of one.
    np.testing.assert_allclose(back, flow, atol=2e-3)


# Read for rendering


def read(path: Path, height: int = 2, width: int = 3) -> np.ndarray:
    maps = read_sidecars([path], height, width, frame=7)
    assert maps is not None
    return maps


@pytest.mark.parametrize("names", ["RG", "rg", "uv", "UV", "GR"])
def test_a_map_by_hand_is_sure_where_it_points_into_the_picture(tmp_path: Path, names: str) -> None:
    u = np.array([[0.0, 0.5, 1.0], [-0.01, 1.01, np.nan]], np.float32)
    v = np.array([[0.0, 0.5, 1.0], [0.5, 0.5, 0.5]], np.float32)
    planes = {name: u if name.lower() in "ru" else v for name in names}
    maps = read(write_exr(tmp_path / "a.exr", planes))
    assert maps[..., 2].tolist() == [[1, 1, 1], [0, 0, 0]]
    np.testing.assert_array_equal(maps[0, :, 0], u[0])
    np.testing.assert_array_equal(maps[1, :2, 1], v[1, :2])
    assert maps[1, 2].tolist() == [0, 0, 0]
    # A v outside is as bad as a u outside.
    planes = {name: v if name.lower() in "ru" else u for name in names}
    assert read(write_exr(tmp_path / "b.exr", planes))[..., 2].tolist() == [[1, 1, 1], [0, 0, 0]]


def test_confidence_is_clipped(tmp_path: Path) -> None:
    half = np.full((2, 3), 0.5, np.float32)
    alpha = np.array([[-1.0, 0.25, 7.0], [np.inf, np.nan, 1.0]], np.float32)
    maps = read(write_exr(tmp_path / "a.exr", {"R": half, "G": half, "A": alpha}))
    assert maps[..., 2].tolist() == [[0, 0.25, 1], [0, 0, 1]]


def test_maps_that_cannot_be_used(tmp_path: Path) -> None:
    half = np.full((2, 3), 0.5, np.float32)
    write_exr(tmp_path / "z.exr", {"Z": half})
    with pytest.raises(ImageError, match=r"frame 7: the STMap sidecar has neither R and G nor u and v, but Z"):
        read(tmp_path / "z.exr")
    write_exr(tmp_path / "small.exr", {"R": half, "G": half})
    with pytest.raises(ImageError, match=r"frame 7: the STMap sidecar is 3x2 and the plate 6x4 .*small\.exr"):
        read(tmp_path / "small.exr", 4, 6)
