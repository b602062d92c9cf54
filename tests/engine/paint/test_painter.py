"""The painter: the same by seed, true to form and color, and clear about what it cannot paint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import images
from engine.base.errors import ImageError, InputError
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.paint.painter import PRESETS, PaintStyle, paint, paint_frame
from engine.paint.strokes import bristle_texture, stroke_directions, trace
from engine.shot.plate import PlateReader

# No regrading, so that color can be compared with the plate.
NEUTRAL = replace(
    PaintStyle(),
    saturation=1.0,
    contrast=1.0,
    range_stretch=0.0,
    warmth=0.0,
    drift_lab=(0.0, 0.0, 0.0),
    impasto=0.0,
)


def lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(rgb, np.float32), cv2.COLOR_RGB2LAB)


@pytest.fixture(scope="module")
def plate() -> np.ndarray:
    """A disc on a graded ground, (96, 160, 3)."""
    y, x = np.mgrid[:96, :160].astype(np.float32)
    rgb = np.stack([0.2 + 0.4 * x / 160, 0.5 - 0.2 * y / 96, 0.6 - 0.3 * x / 160], axis=2)
    disc = np.clip(26 - np.hypot(x - 90, y - 48), 0, 1)[..., None]
    return (rgb + disc * (np.array([0.9, 0.7, 0.2], np.float32) - rgb)).astype(np.float32)


@pytest.fixture(scope="module")
def corner(plate: np.ndarray) -> np.ndarray:
    """A small part of it, (48, 64, 3), where what is painted does not matter."""
    return np.ascontiguousarray(plate[:48, :64])


@pytest.mark.slow
def test_one_seed_one_painting_whatever_the_threads(plate: np.ndarray) -> None:
    threads = cv2.getNumThreads()
    first = paint(plate, style=PRESETS["oil"], seed=3)
    try:
        cv2.setNumThreads(1)
        second = paint(plate, style=PRESETS["oil"], seed=3)
    finally:
        cv2.setNumThreads(threads)
    assert first.tobytes() == second.tobytes()
    assert np.abs(first - paint(plate, style=PRESETS["oil"], seed=4)).mean() > 0.005


@pytest.mark.slow
def test_presets_paint_in_range_and_differ(plate: np.ndarray) -> None:
    before = plate.copy()
    paintings: list[np.ndarray] = []
    for style in PRESETS.values():
        painted = paint(plate, style=style)
        assert painted.shape == plate.shape and painted.dtype == np.float32
        assert 0 <= painted.min() and painted.max() <= 1
        # A painting, not a filtered copy, and yet of this plate.
        assert 2 < np.linalg.norm(lab(painted) - lab(plate), axis=2).mean() < 30
        assert all(np.abs(painted - other).mean() > 0.01 for other in paintings)
        paintings.append(painted)
    assert np.array_equal(plate, before)


@pytest.mark.slow
def test_color_stays_near_the_plate(plate: np.ndarray) -> None:
    painted = paint(plate, style=NEUTRAL)
    seen = [lab(cv2.GaussianBlur(rgb, (0, 0), 4)) for rgb in (painted, plate)]
    error = np.linalg.norm(seen[0] - seen[1], axis=2)
    assert error.mean() < 4.0
    assert np.percentile(error, 99) < 16.0


def test_edges_survive() -> None:
    plate = np.full((120, 200, 3), 0.1, np.float32)
    plate[:, 100:] = 0.85
    painted = paint(plate, style=NEUTRAL).mean(2)
    assert painted[:, :92].max() < 0.45
    assert painted[:, 108:].min() > 0.5
    profile = painted.mean(0)
    assert abs(int(np.argmax(profile > 0.475)) - 100) <= 2


@pytest.mark.slow
def test_paint_covers_the_ground(plate: np.ndarray) -> None:
    magenta = replace(NEUTRAL, ground_rgb=(1.0, 0.0, 1.0), ground_show=1.0)
    painted = paint(plate, style=magenta)
    excess = np.minimum(painted[..., 0], painted[..., 2]) - painted[..., 1]
    assert (excess > 0.3).mean() < 0.002


def test_strokes_run_along_the_contours_of_a_ramp() -> None:
    x = np.linspace(0, 1, 120, dtype=np.float32)
    ramp = lab(np.repeat(np.tile(x, (80, 1))[..., None], 3, axis=2))
    directions = stroke_directions(ramp, 3.0, 40.0)
    assert np.abs(directions[8:-8, 8:-8, 0]).max() < 0.02
    starts = np.array([[30, 40], [60, 40], [90, 40]], np.float32)
    spine = trace(
        starts,
        directions,
        ramp,
        np.zeros_like(ramp),
        ramp[40, [30, 60, 90]],
        step_px=5.0,
        min_steps=3,
        max_steps=6,
        curvature=1.0,
        rng=np.random.default_rng(0),
    )
    assert spine.shape == (3, 7, 2)
    assert np.abs(spine[..., 0] - starts[:, None, 0]).max() < 0.7
    assert np.abs(spine[:, -1, 1] - 40).min() > 25


def test_directions_circle_a_disc_and_lie_level_where_there_is_nothing() -> None:
    y, x = np.mgrid[:101, :101].astype(np.float32)
    radius = np.hypot(x - 50, y - 50)
    disc = lab(np.repeat(np.clip(30 - radius, 0, 1)[..., None], 3, axis=2))
    directions = stroke_directions(disc, 2.0, 30.0)
    ring = np.abs(radius - 30) < 2
    outward = np.stack([x - 50, y - 50], axis=2) / np.maximum(radius, 1)[..., None]
    assert np.abs((directions * outward).sum(2)[ring]).max() < 0.15
    flat = stroke_directions(np.full((40, 60, 3), 50, np.float32), 2.0, 30.0)
    assert np.abs(flat[..., 1]).max() < 1e-3


def test_stroke_ends_where_the_canvas_is_better() -> None:
    reference = np.zeros((40, 100, 3), np.float32)
    reference[:, 50:] = (80, 0, 0)
    canvas = reference.copy()
    canvas[:, :50] = (40, 0, 0)
    directions = np.zeros((40, 100, 2), np.float32)
    directions[..., 0] = 1
    spines = trace(
        np.repeat(np.array([[20, 20]], np.float32), 16, axis=0),
        directions,
        reference,
        canvas,
        np.zeros((16, 3), np.float32),
        step_px=4.0,
        min_steps=1,
        max_steps=19,
        curvature=1.0,
        rng=np.random.default_rng(1),
    )
    assert spines[..., 0].max() == 52
    assert spines[..., 0].min() == 0


def test_bristles_are_uniform_and_streaked_along_the_stroke() -> None:
    texture = bristle_texture()
    histogram = np.histogram(texture, bins=10, range=(0, 1))[0] / texture.size
    assert np.abs(histogram - 0.1).max() < 1e-3
    along, across = np.abs(np.diff(texture, axis=1)).mean(), np.abs(np.diff(texture, axis=0)).mean()
    assert across > 1.5 * along


@pytest.mark.parametrize("size", [(8, 8), (9, 33), (61, 37)])
def test_any_size(size: tuple[int, int]) -> None:
    plate = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    assert paint(plate, style=PRESETS["oil"]).shape == plate.shape


def test_bad_values_are_painted_over(corner: np.ndarray) -> None:
    spoiled = corner.copy()
    spoiled[10, 10] = np.nan
    spoiled[20, 20] = np.inf
    spoiled[30, 30] = -5
    assert np.isfinite(paint(spoiled, style=PRESETS["gouache"])).all()


def test_progress_rises_to_one(corner: np.ndarray) -> None:
    seen: list[float] = []
    paint(corner, style=PRESETS["oil"], progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 1


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 4), (7, 20, 3)])
def test_refuses_what_is_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="cannot paint an image of shape"):
        paint(np.zeros(shape, np.float32), style=PRESETS["oil"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radii_px": (4.0, 8.0), "thresholds": (0.0, 1.0)}, "coarse to fine"),
        ({"radii_px": ()}, "coarse to fine"),
        ({"radii_px": (4.0,)}, "as many thresholds"),
        ({"min_steps": 9}, "min_steps 9 and max_steps 8"),
        ({"opacity": 1.5}, "opacity 1.5 must be in 0..1"),
        ({"palette_size": 1}, "palette_size 1"),
        ({"spacing": 0.0}, "spacing"),
    ],
)
def test_styles_are_checked(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(PaintStyle(), **change)  # type: ignore[arg-type]


def reader(folder: Path) -> PlateReader:
    return PlateReader(SequencePath.parse(folder / "plate.%d.png"), None, ColorConfig.active())


def test_paint_frame_paints_the_file(tmp_path: Path, corner: np.ndarray) -> None:
    images.write(tmp_path / "plate.1.png", corner, bit_depth="uint8")
    paint_frame(reader(tmp_path), 1, tmp_path / "painted.png", "oil", 5)
    stored = images.read(tmp_path / "plate.1.png").rgb
    expected = paint(stored, style=PRESETS["oil"], seed=5)
    written = images.read(tmp_path / "painted.png")
    assert written.header.bit_depth == "uint8"
    # sRGB to working and back may move a value by a rounding error, and a painting by little more.
    assert np.abs(written.rgb - expected).mean() < 0.01


def test_paint_frame_names_the_styles(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no style 'watercolour'; use one of oil, .*gouache"):
        paint_frame(reader(tmp_path), 1, tmp_path / "painted.png", "watercolour", 0)
