"""Benchmark shots: their truth is true, to a fraction of a pixel, and always the same."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import images
from engine.base.errors import InputError
from engine.bench.families import FAMILIES, Family
from engine.bench.scenes import GRAIN, Scene, coordinates_path, make_scene, write_scene

SIZE = (160, 96)


@pytest.fixture(scope="module")
def small() -> Scene:
    return make_scene("filter", 3, *SIZE, frames=8)


def pulled(scene: Scene, image: np.ndarray, frame: int, key: int) -> tuple[np.ndarray, np.ndarray]:
    points, seen = scene.coordinates(frame, key)
    return cv2.remap(image, points[..., 0], points[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), seen


@pytest.mark.slow
@pytest.mark.parametrize("family", ["grade", "fast", "disocclusion"])
def test_coordinates_lead_to_the_same_paint(family: str) -> None:
    scene = make_scene(family, 0, *SIZE, frames=8)
    first, last = scene.painted(0), scene.painted(7)
    carried, seen = pulled(scene, first, 7, 0)
    seen = cv2.erode(seen.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    assert seen.mean() > 0.3
    right = np.abs(carried - last)[seen].mean()
    aside = np.abs(pulled(scene, np.roll(first, 1, axis=1), 7, 0)[0] - last)[seen].mean()
    # Two resamplings and outlines cost something, but far less than one pixel of error does.
    assert right < 0.025 and right < 0.45 * aside


def test_the_way_there_and_back_ends_where_it_began(small: Scene) -> None:
    pixels = np.stack(np.meshgrid(np.arange(0, 160, 7), np.arange(0, 96, 7)), axis=-1).astype(np.float32)
    for layer in small.layers:
        for frame in (0, 5):
            back = layer.motion.to_pixels(layer.motion.to_texels(pixels, frame), frame)
            # The wave's inverse is iterated; 24 bits of a float hold a few hundred pixels to 1/10,000.
            assert np.abs(back - pixels).max() < 5e-3


def test_a_frame_is_seen_whole_from_itself(small: Scene) -> None:
    points, seen = small.coordinates(2, 2)
    assert np.abs(points - np.stack(np.meshgrid(np.arange(160), np.arange(96)), axis=-1)).max() < 5e-3
    assert seen[1:-1, 1:-1].mean() > 0.99


def test_two_keys_hide_less_than_one(small: Scene) -> None:
    one, other, both = (small.occluded(4, keys) for keys in ((0,), (7,), (0, 7)))
    assert (both == (one & other)).all() and one.any() and not both.all()


@pytest.mark.slow
def test_only_the_plate_has_grain_and_it_is_fresh(small: Scene) -> None:
    still = make_scene("sky", 1, *SIZE, frames=2)
    sky = still.plate(0)[2:20, 2:40]
    noise = sky - cv2.GaussianBlur(sky, (0, 0), 4)
    assert 0.5 * GRAIN < noise.std() < 2 * GRAIN
    again = make_scene("sky", 1, *SIZE, frames=2)
    assert (again.plate(1) == still.plate(1)).all() and (again.painted(1) == still.painted(1)).all()


def test_seeds_differ() -> None:
    one, other = (make_scene("grade", seed, *SIZE, frames=2).plate(0) for seed in (0, 1))
    assert np.abs(one - other).mean() > 0.05


@pytest.mark.slow
def test_strokes_lie_on_a_flat_sky() -> None:
    scene = make_scene("sky", 0, *SIZE, frames=2)

    def texture(image: np.ndarray) -> float:
        fine = cv2.GaussianBlur(image, (0, 0), 1)  # grain is no texture
        return float((fine - cv2.GaussianBlur(image, (0, 0), 5))[4:36, 4:56].std())

    assert texture(scene.painted(0)) > 4 * texture(scene.plate(0))


@pytest.mark.slow
def test_light_changes_by_about_a_stop() -> None:
    scene = make_scene("exposure", 0, *SIZE, frames=8)
    ratio = scene._light(7) / scene._light(0)
    assert 0.6 < abs(np.log2(np.median(ratio))) < 1.2
    assert np.log2(scene._light(3)).std() > 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_speeds_stay_within_what_can_be_followed(family: str) -> None:
    kind = FAMILIES[family]
    assert kind.pan + kind.speed <= 0.061


def test_a_written_scene_reads_back(tmp_path: Path, small: Scene) -> None:
    write_scene(small, tmp_path, (0, 7))
    plate = images.read(tmp_path / "plate.0003.png").rgb
    assert np.abs(plate - small.plate(3)).max() <= 0.5 / 255 + 1e-6
    stored = np.load(coordinates_path(tmp_path, 3, 7))
    points, seen = small.coordinates(3, 7)
    assert (stored["points"] == points).all() and (stored["seen"] == seen).all()
    hidden = images.read(tmp_path / "occ.0003.png").rgb[..., 0] > 0.5
    assert (hidden == small.occluded(3, (0, 7))).all()
    assert len(list(tmp_path.glob("*.png"))) == 3 * 8


def test_what_cannot_be_drawn_is_refused(tmp_path: Path, small: Scene) -> None:
    with pytest.raises(InputError, match="no family 'rain'"):
        make_scene("rain", 0)
    with pytest.raises(InputError, match="shows nothing"):
        make_scene("grade", 0, 32, 32)
    with pytest.raises(InputError, match="must lie in 0-7"):
        write_scene(small, tmp_path, (8,))
    with pytest.raises(InputError, match="no painted twin"):
        Family("rain", "", twin="rain")
