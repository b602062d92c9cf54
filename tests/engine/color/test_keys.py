"""engine.color.keys: out through a view, painted or not, and back."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import PyOpenColorIO as ocio
import pytest

from engine import images
from engine.base.errors import ColorError, ImageError
from engine.color import keys
from engine.color.config import ColorConfig

CONFIG = "ocio://cg-config-v2.1.0_aces-v1.3_ocio-v2.3"
UNTONED = "Un-tone-mapped"


@pytest.fixture(scope="module")
def config() -> ColorConfig:
    return ColorConfig.active(CONFIG)


def write_plate(path: Path, rgb: np.ndarray, window=(0, 0), display=None) -> Path:
    spec = oiio.ImageSpec(rgb.shape[1], rgb.shape[0], 3, "float")
    spec.x, spec.y = window
    spec.full_x, spec.full_y = 0, 0
    spec.full_width, spec.full_height = display or (rgb.shape[1], rgb.shape[0])
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), spec) and writer.write_image(rgb) and writer.close()
    return path


def in_gamut(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.0, 1.0, (height, width, 3)).astype(np.float32) ** 2


def test_the_way_back_is_exact_up_to_the_quantization(config, tmp_path):
    """Linear Rec. 709 between 0 and the white of a view without tone mapping, through 16-bit codes."""
    rgb = in_gamut()
    plate = write_plate(tmp_path / "p.exr", rgb)
    transform = keys.export_key(plate, 7, tmp_path / "k.png", config, "lin_rec709", view=UNTONED)
    painted = images.read(tmp_path / "k.png")
    assert painted.header.bit_depth == "uint16"
    back = config.from_working(transform.to_working(painted.rgb, config), "lin_rec709")
    # One half code is 7.6e-6 of the display's range; sRGB's slope turns that into at most 1.8e-5 of scene light.
    assert float(np.abs(back - rgb).max()) < 2.5e-5
    bright = rgb > 0.05
    assert float((np.abs(back - rgb)[bright] / rgb[bright]).max()) < 1.5e-4
    assert transform.warning == "" and transform.round_trip < 1e-4


def test_untouched_pixels_return_the_plate_and_touched_ones_the_paint(config, tmp_path):
    rgb = in_gamut()
    rgb[:5, :5] = [40.0, 12.0, 3.0]
    rgb[5:10, :5] = [-0.2, 0.1, 0.0]
    path = write_plate(tmp_path / "p.exr", rgb)
    transform = keys.export_key(path, 7, tmp_path / "k.png", config, "ACEScg", view=UNTONED, exposure=0.5)
    plate = images.read(path)
    painting = images.read(tmp_path / "k.png").rgb
    assert float(painting.max()) <= 1.0
    back = transform.to_working(painting, config, plate=plate)
    assert np.array_equal(back, rgb), "highlights and negatives that no display shows"
    painting[20:25, 20:30] = [0.5, 0.25, 0.125]
    back = transform.to_working(painting, config, plate=plate)
    changed = (back != rgb).any(axis=2)
    assert changed[20:25, 20:30].all() and int(changed.sum()) == 50
    shown = config.view_forward(back[22:23, 22:23] * np.float32(2**0.5), transform.display, transform.view)
    np.testing.assert_allclose(shown[0, 0], [0.5, 0.25, 0.125], atol=1e-3)


def test_a_painting_saved_with_eight_bits_is_still_recognized(config, tmp_path):
    rgb = in_gamut()
    path = write_plate(tmp_path / "p.exr", rgb)
    transform = keys.export_key(path, 7, tmp_path / "k.tif", config, "ACEScg")
    painting = images.read(tmp_path / "k.tif").rgb
    eight = np.round(painting * 255).astype(np.float32) / np.float32(255)
    assert np.array_equal(transform.to_working(eight, config, plate=images.read(path)), rgb)
    fifteen = np.round(painting * 32768) / 32768  # Photoshop's "16 bit" channels
    assert np.array_equal(transform.to_working(fifteen.astype(np.float32), config, plate=images.read(path)), rgb)


def test_the_display_window_goes_out_and_the_data_window_comes_back(config, tmp_path):
    rgb = in_gamut(30, 40)
    path = write_plate(tmp_path / "p.exr", rgb, window=(-4, 5), display=(32, 50))
    transform = keys.export_key(path, 7, tmp_path / "k.png", config, "lin_rec709", view=UNTONED)
    painting = images.read(tmp_path / "k.png").rgb
    assert painting.shape == (50, 32, 3) == (transform.height, transform.width, 3)
    assert not painting[:5].any() and not painting[35:].any(), "padding is black"
    plate = images.read(path)
    back, covered = keys.fit_to_data_window(transform.to_working(painting, config, plate=plate), plate.header)
    assert back.shape == (30, 40, 3) and covered[:, 4:36].all() and int(covered.sum()) == 30 * 32
    original = config.to_working(rgb, "lin_rec709")
    assert np.array_equal(back[covered], original[covered]) and not back[~covered].any()
    same, everywhere = keys.fit_to_data_window(original, plate.header)
    assert same is original and everywhere.all()
    with pytest.raises(ImageError, match=r"10x10, the plate 32x50 \(data window 40x30\)"):
        keys.fit_to_data_window(np.zeros((10, 10, 3), np.float32), plate.header)
    with pytest.raises(ImageError, match="exported frame 32x50"):
        transform.to_working(np.zeros((30, 40, 3), np.float32), config, plate=plate)


def test_the_sidecar_is_found_under_another_extension(config, tmp_path):
    path = write_plate(tmp_path / "p.exr", in_gamut())
    out = tmp_path / "hero.1001.png"
    transform = keys.export_key(path, 1001, out, config, "lin_rec709", view=UNTONED, exposure=-1.0)
    assert transform.plate_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (transform.frame, transform.config, transform.plate) == (1001, CONFIG.removeprefix("ocio://"), "p.exr")
    assert (transform.colorspace, transform.view) == ("Linear Rec.709 (sRGB)", UNTONED)
    assert keys.find_key_transform(out) == transform
    assert keys.find_key_transform(tmp_path / "hero.1001.tif") == transform
    assert keys.find_key_transform(tmp_path / "hero.1002.png") is None
    assert keys.find_key_transform(tmp_path / "nowhere" / "hero.1001.png") is None
    assert not [name for name in tmp_path.iterdir() if ".tmp" in name.name]


def test_damaged_and_newer_sidecars_are_refused(config, tmp_path):
    path = write_plate(tmp_path / "p.exr", in_gamut(4, 4))
    keys.export_key(path, 1, tmp_path / "k.png", config, "ACEScg")
    sidecar = tmp_path / "k.png.paintover.json"
    document = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**document, "version": 2}))
    with pytest.raises(ImageError, match="version 2"):
        keys.find_key_transform(tmp_path / "k.png")
    lacking = {name: value for name, value in document.items() if name != "view"}
    wrong = [{**document, "exposure": value} for value in (float("nan"), float("inf"), 21.0, "1")]
    wrong += [lacking, {**document, "round_trip": float("nan")}]
    for text in (*map(json.dumps, wrong), "{", "[]"):
        sidecar.write_text(text)
        with pytest.raises(ImageError, match="damaged"):
            keys.find_key_transform(tmp_path / "k.png")


def test_a_view_that_cannot_be_inverted_is_said(config, tmp_path, monkeypatch):
    """A view that crushes all color to gray has no inverse."""
    display, crushing = config.default_display_view()
    forward = ColorConfig.view_forward

    def crush(self, rgb, shown_on, view, looks=""):
        shown = forward(self, rgb, shown_on, view, looks)
        return np.repeat(shown.mean(axis=2, keepdims=True), 3, axis=2) ** 2 if view == crushing else shown

    monkeypatch.setattr(ColorConfig, "view_forward", crush)
    path = write_plate(tmp_path / "p.exr", in_gamut())
    transform = keys.export_key(path, 1, tmp_path / "b.png", config, "ACEScg")
    assert (transform.display, transform.view) == (display, crushing) and transform.round_trip > 1e-3
    assert "cannot be inverted" in transform.warning and UNTONED in transform.warning
    assert keys.find_key_transform(tmp_path / "b.png") == transform
    painting = images.read(tmp_path / "b.png").rgb
    assert not (transform.round_trip_error(painting, config) <= keys.ROUND_TRIP_TOLERANCE).all()
    assert np.array_equal(transform.to_working(painting, config, plate=images.read(path)), in_gamut())


def test_aces_2_reproduces_an_ordinary_frame(tmp_path):
    name = "cg-config-v4.0.0_aces-v2.0_ocio-v2.5"
    if name not in [row[0] for row in ocio.BuiltinConfigRegistry().getBuiltinConfigs()]:
        pytest.skip("this OCIO has no ACES 2 config")
    config = ColorConfig.active(f"ocio://{name}")
    path = write_plate(tmp_path / "p.exr", in_gamut())
    transform = keys.export_key(path, 1, tmp_path / "k.png", config, "lin_rec709")
    assert (transform.display, transform.view) == config.default_display_view() and transform.warning == ""
    assert transform.round_trip <= 1e-4
    painting = images.read(tmp_path / "k.png").rgb
    assert (transform.round_trip_error(painting, config) <= keys.ROUND_TRIP_TOLERANCE).all()
    # Without the plate: tone mapping and 16-bit codes, on all but the most saturated one in a hundred pixels.
    back = config.from_working(transform.to_working(painting, config), "lin_rec709")
    error = np.abs(back - in_gamut()).max(axis=2)
    assert float(np.quantile(error, 0.99)) < 5e-4


def test_the_warning_is_absent_or_true_for_aces_1(config, tmp_path):
    path = write_plate(tmp_path / "p.exr", in_gamut())
    transform = keys.export_key(path, 1, tmp_path / "k.png", config, "lin_rec709")
    reproduced = transform.round_trip_error(images.read(tmp_path / "k.png").rgb, config) <= keys.ROUND_TRIP_TOLERANCE
    assert (transform.warning == "") == bool(reproduced.all()) == (transform.round_trip <= 1e-3)


def test_alpha_goes_along_unless_it_says_nothing(config, tmp_path):
    rgb, alpha = in_gamut(8, 8), np.linspace(0.1, 1, 64, dtype=np.float32).reshape(8, 8)
    images.write(tmp_path / "soft.exr", rgb, alpha=alpha, bit_depth="float")
    images.write(tmp_path / "none.exr", rgb, alpha=np.zeros((8, 8), np.float32), bit_depth="float")
    keys.export_key(tmp_path / "soft.exr", 1, tmp_path / "s.png", config, "ACEScg")
    keys.export_key(tmp_path / "none.exr", 1, tmp_path / "n.png", config, "ACEScg")
    np.testing.assert_allclose(images.read(tmp_path / "s.png").alpha, alpha, atol=1 / 65535)
    assert images.read(tmp_path / "n.png").alpha is None


def test_jpeg_is_eight_bit_and_unknown_things_are_refused(config, tmp_path):
    path = write_plate(tmp_path / "p.exr", in_gamut(16, 16))
    assert keys.export_key(path, 1, tmp_path / "k.jpg", config, "ACEScg").bit_depth == "uint8"
    with pytest.raises(ImageError, match="exported as"):
        keys.export_key(path, 1, tmp_path / "k.dpx", config, "ACEScg")
    with pytest.raises(ColorError, match="unknown colorspace"):
        keys.export_key(path, 1, tmp_path / "x.png", config, "nonsense")
    with pytest.raises(ColorError, match="unknown display"):
        keys.export_key(path, 1, tmp_path / "x.png", config, "ACEScg", display="nonsense")
    with pytest.raises(ColorError, match="unknown view"):
        keys.export_key(path, 1, tmp_path / "x.png", config, "ACEScg", view="nonsense")
    assert not (tmp_path / "x.png").exists()
    shutil.copy(tmp_path / "k.jpg", tmp_path / "other.jpg")
    renamed = keys.find_key_transform(tmp_path / "other.jpg")
    assert renamed is not None and (renamed.frame, renamed.bit_depth) == (1, "uint8"), "it is inside as well"
