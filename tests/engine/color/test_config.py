"""engine.color.config: names, guesses, and conversions that come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import PyOpenColorIO as ocio
import pytest

from engine import images
from engine.base.errors import ColorError
from engine.color.config import ColorConfig

WIDE = np.array([-5, -0.5, -0.01, 0, 1e-4, 0.001, 0.18, 0.5, 1, 1.5, 4, 40, 1000, 60000], np.float32)
STUDIO = "ocio://studio-config-v2.1.0_aces-v1.3_ocio-v2.3"


@pytest.fixture(scope="module")
def config() -> ColorConfig:
    return ColorConfig.active("ocio://cg-config-v2.1.0_aces-v1.3_ocio-v2.3")


@pytest.fixture
def custom(tmp_path) -> Path:
    """A facility's config whose names no built-in has."""
    builtin = ocio.Config.CreateFromBuiltinConfig("cg-config-v1.0.0_aces-v1.3_ocio-v2.1")
    made = ocio.Config.CreateFromStream(builtin.serialize())
    texture = made.getColorSpace("sRGB - Texture")
    for name in ("sRGB - Texture", "Gamma 2.2 Rec.709 - Texture"):
        made.removeColorSpace(name)
    renamed = ocio.ColorSpace(name="house_srgb")
    renamed.setTransform(texture.getTransform(ocio.COLORSPACE_DIR_FROM_REFERENCE), ocio.COLORSPACE_DIR_FROM_REFERENCE)
    made.addColorSpace(renamed)
    for role in ("texture_paint", "matte_paint", "color_picking"):
        made.setRole(role, "house_srgb")
    made.setName("")
    path = tmp_path / "house.ocio"
    path.write_text(made.serialize(), encoding="utf-8")
    return path


def gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[None, :, None], 3, axis=2)


def test_srgb_matches_its_definition(config):
    """IEC 61966-2-1, on a neutral, whose value AP1 and Rec. 709 share."""
    codes = np.array([0.0, 0.02, 0.2, 0.5, 0.8, 1.0], np.float32)
    expected = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    got = config.to_working(gray(codes), "sRGB")[0, :, 1]
    np.testing.assert_allclose(got, expected, rtol=3e-4)  # OCIO joins the two segments with equal slope


def test_red_of_rec709_in_acescg(config):
    got = config.to_working(np.array([[[1.0, 0.0, 0.0]]], np.float32), "lin_rec709")[0, 0]
    np.testing.assert_allclose(got, [0.6131, 0.0702, 0.0206], atol=2e-4)  # the Bradford-adapted matrix of the ACES docs


@pytest.mark.parametrize("space", ["sRGB", "lin_rec709", "ACES2065-1", "ACEScct", "Gamma 2.2 Rec.709 - Texture"])
def test_round_trip_with_negatives_and_highlights(config, space):
    rgb = gray(WIDE)
    rgb[0, :, 2] *= 0.5
    back = config.to_working(config.from_working(rgb, space), space)
    # A channel is restored relative to the pixel: matrices mix the three.
    error = np.abs(back - rgb).max(axis=2) / np.maximum(np.abs(rgb).max(axis=2), 1e-3)
    assert float(error.max()) < 1e-5
    encoded = config.from_working(rgb, space)
    assert (np.diff(encoded[0, :, 0]) > 0).all(), "clamped"


def test_input_is_untouched_and_results_do_not_depend_on_threads(config):
    rgb = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    before = rgb.copy()
    alone = config.to_working(rgb, "sRGB")
    assert np.array_equal(rgb, before) and alone.dtype == np.float32 and alone.shape == rgb.shape
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda row: config.to_working(rgb[row : row + 1], "sRGB"), range(64)))
    assert np.array_equal(np.concatenate(rows), alone)
    view = rgb[::2, ::-1]
    assert np.array_equal(config.to_working(view, "sRGB"), alone[::2, ::-1])
    assert config.to_working(rgb[:0], "sRGB").shape == (0, 64, 3)


def test_data_spaces_pass_unchanged(config):
    rgb = gray(WIDE)
    assert np.array_equal(config.to_working(rgb, "Raw"), rgb)
    assert np.array_equal(config.from_working(rgb, "data"), rgb)


@pytest.mark.parametrize("source", [None, "ocio://cg-config-v1.0.0_aces-v1.3_ocio-v2.1", STUDIO])
def test_names_across_configs(source, monkeypatch):
    monkeypatch.delenv("OCIO", raising=False)
    config = ColorConfig.active(source)
    assert config.working == "ACEScg" and config.resolve("scene_linear") == "ACEScg"
    texture = config.resolve("sRGB - Texture")
    assert texture in config.names()
    assert {config.resolve(name) for name in ("sRGB", "srgb", "srgb_tx", "SRGB - TEXTURE")} == {texture}
    assert config.resolve("linear") == "ACEScg"
    assert config.resolve("lin_rec709") == config.resolve("Linear Rec.709 (sRGB)")
    if source:
        assert config.name == source.removeprefix("ocio://")


def test_unknown_names_come_with_the_closest(config):
    with pytest.raises(ColorError, match="ACEScgg") as caught:
        config.resolve("ACEScgg")
    assert "ACEScg" in caught.value.remedy and caught.value.exit_code == 2 and "\n" not in str(caught.value)
    with pytest.raises(ColorError, match="unknown display"):
        config.views("Laser")
    with pytest.raises(ColorError, match="unknown view"):
        config.view_forward(gray(WIDE), config.default_display_view()[0], "Nope")


def test_a_config_file_its_name_and_equivalents(custom, monkeypatch):
    monkeypatch.setenv("OCIO", str(custom))
    config = ColorConfig.active()
    assert config.name.startswith("house-") and config.name == ColorConfig.active(custom).name
    assert config.resolve("sRGB - Texture") == "house_srgb", "matched by what it does"
    custom.write_text(custom.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    assert ColorConfig.active().name != config.name


def test_missing_and_broken_configs(tmp_path, monkeypatch):
    monkeypatch.setenv("OCIO", str(tmp_path / "gone.ocio"))
    with pytest.raises(ColorError, match="OCIO") as caught:
        ColorConfig.active()
    assert "gone.ocio" in str(caught.value)
    (tmp_path / "broken.ocio").write_text("not a config")
    with pytest.raises(ColorError, match="cannot load"):
        ColorConfig.active(tmp_path / "broken.ocio")
    raw = ocio.Config.CreateRaw()
    (tmp_path / "raw.ocio").write_text(raw.serialize())
    with pytest.raises(ColorError, match="scene_linear"):
        ColorConfig.active(tmp_path / "raw.ocio")


def exr_header(path: Path, **attributes: object):
    spec = oiio.ImageSpec(4, 4, 3, "half")
    for name, value in attributes.items():
        if isinstance(value, tuple):
            spec.attribute(name, oiio.TypeDesc(f"float[{len(value)}]"), value)
        else:
            spec.attribute(name, value)
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), spec) and writer.write_image(np.zeros((4, 4, 3), np.float32)) and writer.close()
    return images.read(path).header


def test_guesses(config, tmp_path):
    """This config has no file rules of its own, so the format decides."""
    texture = config.resolve("sRGB")
    assert config.guess(None, "a.png") == texture
    assert config.guess(None, "a.jpg") == texture
    assert config.guess(None, "a.exr") == "ACEScg"
    assert config.guess("lin_rec709", "a.exr") == "Linear Rec.709 (sRGB)"
    assert config.guess("no such space", "a.exr") == "ACEScg"
    assert config.guess(None, "a.dpx") == "Cineon film log", "and never ACEScct, the compositing_log role"
    assert ColorConfig.active(STUDIO).guess(None, "a.dpx") == "ADX10"
    assert config.guess(exr_header(tmp_path / "plain.exr"), tmp_path / "plain.exr") == "ACEScg"
    ap0 = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
    assert config.guess(exr_header(tmp_path / "ap0.exr", chromaticities=ap0), "x.exr") == "ACES2065-1"
    images.write(tmp_path / "i.tif", np.zeros((4, 4, 3), np.float32))
    assert config.guess(images.read(tmp_path / "i.tif").header, "i.tif") == texture
    images.write(tmp_path / "f.tif", np.zeros((4, 4, 3), np.float32), bit_depth="float")
    assert config.guess(images.read(tmp_path / "f.tif").header, "f.tif") == "ACEScg"


def test_file_rules_beat_the_format(tmp_path):
    """Those that somebody wrote; a built-in config's rule for EXR says nothing about anybody's files."""
    rules = ocio.Config.CreateFromFile("ocio://default")
    assert ColorConfig.active("ocio://default").guess(None, "a.exr") == "ACEScg"
    (tmp_path / "house.ocio").write_text(rules.serialize(), encoding="utf-8")
    own = ColorConfig.active(tmp_path / "house.ocio")
    assert own.guess(None, "a.exr") == rules.getColorSpaceFromFilepath("a.exr")[0]


def test_views_both_ways(config):
    display, view = config.default_display_view()
    shown = np.random.default_rng(0).uniform(0.02, 0.9, (32, 32, 3)).astype(np.float32)
    again = config.view_forward(config.view_inverse(shown, display, view), display, view)
    assert float(np.abs(again - shown).max()) < 1e-2, "ACES 1's inverse is a fit"
    again = config.view_forward(config.view_inverse(shown, display, "Un-tone-mapped"), display, "Un-tone-mapped")
    assert float(np.abs(again - shown).max()) < 1e-5
    plain = config.view_forward(gray(np.array([0.18], np.float32)), display, "Raw")
    assert plain[0, 0].tolist() == pytest.approx([0.18] * 3)


def test_looks_are_applied_and_undone():
    config = ColorConfig.active(STUDIO)
    display, view = config.default_display_view()
    looks = "ACES 1.3 Reference Gamut Compression"
    vivid = np.array([[[1.2, -0.2, 0.05]]], np.float32)
    plain = config.view_forward(vivid, display, view)
    compressed = config.view_forward(vivid, display, view, looks)
    assert float(np.abs(plain - compressed).max()) > 0.01
    inside = np.array([[[0.3, 0.2, 0.1]]], np.float32)
    shown = config.view_forward(inside, display, view, looks)
    np.testing.assert_allclose(config.view_inverse(shown, display, view, looks), inside, rtol=5e-3)


def test_a_table_larger_than_any_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.ocio").write_text(
        "ocio_profile_version: 2\nsearch_path: .\nroles: {default: lin, scene_linear: lin}\n"
        "displays: {d: [!<View> {name: v, colorspace: lin}]}\ncolorspaces:\n  - !<ColorSpace> {name: lin}\n"
        "  - !<ColorSpace> {name: lut, from_scene_reference: !<FileTransform> {src: a.cube}}\n"
    )
    with (tmp_path / "a.cube").open("wb") as table:
        table.truncate(2**33)
    with pytest.raises(ColorError, match=r"a table of the OCIO config has 8.0 GiB.*a\.cube"):
        ColorConfig.active(tmp_path / "config.ocio")
