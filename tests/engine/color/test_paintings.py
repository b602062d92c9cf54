"""Paintings on exported keys: converted by the program that saved them, or light that never was a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import images
from engine.base.errors import ImageError, InputError
from engine.base.frames import SequencePath
from engine.color.assignment import Assignment, assign
from engine.color.config import ColorConfig
from engine.color.keys import KeyTransform, export_key, find_key_transform, is_untouched_export
from engine.color.paintings import painting_color
from engine.images.files import Image
from engine.images.gamuts import GAMUTS, Encoding
from engine.paint.painter import paint_frame
from engine.shot.plate import PlateReader
from tests.support.round_trips import make_plate, shown

PATCH = (slice(4, 12), slice(4, 12))


@pytest.fixture(scope="module")
def config() -> ColorConfig:
    return ColorConfig.active("ocio://default")


class Key:
    """A plate, its key, and the key's codes with a patch of paint."""

    def __init__(self, folder: Path, config: ColorConfig, kind: str = "exr acescg") -> None:
        self.config = config
        self.path = make_plate(folder, kind)
        self.plate = images.read(self.path)
        self.taken = assign(config, self.plate.header, self.path)
        self.file = folder / "key.png"
        self.transform: KeyTransform = export_key(self.path, 1, self.file, config, None)
        self.codes = images.read(self.file).rgb.copy()
        self.codes[PATCH] = np.array([255, 220, 40], np.float32) / 255

    def as_space(self, space: str) -> np.ndarray:
        """The painted codes as a program converts them from sRGB."""
        srgb = self.config.make_from_encoding(Encoding(GAMUTS["rec709"], "srgb"))
        return self.config.from_working(self.config.to_working(self.codes, srgb), space)

    def difference(self, path: Path) -> float:
        """Between painted and returned codes, the largest."""
        painting = images.read(path)
        color = painting_color(self.config, painting.header, path, None, self.taken, self.plate.header)
        assert not color.question and "exported by Paintover" in color.taken.why
        scene = color.to_working(painting, self.config, plate=self.plate)
        result = shown(scene, color, self.taken, self.config)
        return float(np.abs(result - self.codes).max()) * 255


@pytest.mark.parametrize(
    ("name", "space", "depth", "limit"),
    [
        ("key.png", "sRGB Encoded P3-D65", "uint16", 0.1),
        ("key.tif", "Gamma 2.2 Encoded AdobeRGB", "uint16", 0.5),
        ("key.exr", "Linear Rec.709 (sRGB)", "half", 0.1),
        ("key.exr", "ACES2065-1", "half", 1.0),
    ],
)
def test_a_program_that_converts_its_document(config, tmp_path, name, space, depth, limit):
    """Tablets save Display P3, and compositors linear EXR: the colors are those of the key, through its view."""
    key = Key(tmp_path, config)
    path = tmp_path / name
    images.write(path, key.as_space(space), bit_depth=depth, color=config.claim_for(space))
    assert key.difference(path) < limit


def test_float_that_says_nothing_is_told_by_what_was_left_alone(config, tmp_path):
    """One name, three meanings: the key linearized, its codes as they were, or the plate itself painted on."""
    key = Key(tmp_path, config)
    path = tmp_path / "key.exr"
    images.write(path, key.as_space("ACEScg"))
    assert key.difference(path) < 0.6
    images.write(path, key.codes)
    assert key.difference(path) < 0.2
    light = key.transform.to_working(key.codes, config, plate=key.plate)
    light[PATCH] = (9.0, 0.5, 0.1)
    images.write(path, light)
    painting = images.read(path)
    color = painting_color(config, painting.header, path, None, key.taken, key.plate.header)
    scene = color.to_working(painting, config, plate=key.plate)
    np.testing.assert_allclose(scene[6, 6], (9.0, 0.5, 0.1), rtol=1e-3)
    np.testing.assert_allclose(scene[14:], key.plate.rgb[14:], rtol=1e-3)


def light_of(key: Path, config: ColorConfig, plate: Image, taken: Assignment) -> tuple[str, np.ndarray]:
    painting = images.read(key)
    color = painting_color(config, painting.header, key, None, taken, plate.header)
    return color.taken.colorspace, color.to_working(painting, config, plate=plate)


def test_a_key_of_light(config, tmp_path):
    """``key --out k.exr``: the plate's own pixels, their claim inside, and paint beyond white comes back as it is."""
    plate_path = make_plate(tmp_path, "exr rec709")
    plate = images.read(plate_path)
    taken = assign(config, plate.header, plate_path)
    key = tmp_path / "k.exr"
    transform = export_key(plate_path, 7, key, config, None)
    assert (transform.view, transform.bit_depth, transform.space) == ("", "half", "")
    assert is_untouched_export(key) and find_key_transform(key) == transform
    written = images.read(key)
    assert np.array_equal(written.rgb, plate.rgb)
    assert assign(config, written.header, key).colorspace == "Linear Rec.709 (sRGB)" == taken.colorspace
    painted = written.rgb.copy()
    painted[PATCH] = (3.0, 0.5, 0.1)
    expected = config.to_working(painted, taken.colorspace)
    for like in (written.header, None):
        images.write(key, painted, like=like)
        space, scene = light_of(key, config, plate, taken)
        assert space == "Linear Rec.709 (sRGB)"
        np.testing.assert_allclose(scene, expected, rtol=2e-3, atol=1e-4)
    # Saved in another linear space, as it says; renamed, by what is inside.
    images.write(key, config.from_working(expected, "ACES2065-1"), color=config.claim_for("ACES2065-1"))
    space, scene = light_of(key, config, plate, taken)
    assert space == "ACES2065-1"
    np.testing.assert_allclose(scene, expected, rtol=5e-3, atol=1e-3)


def test_light_that_was_saved_as_a_picture_asks_for_its_view(config, tmp_path):
    """Nothing says whether a compositor saved it through a view or as plain sRGB."""
    plate_path = make_plate(tmp_path, "exr acescg")
    plate = images.read(plate_path)
    taken = assign(config, plate.header, plate_path)
    export_key(plate_path, 1, tmp_path / "k.exr", config, None)
    path = tmp_path / "k.png"
    images.write(path, np.clip(config.from_working(plate.rgb, "sRGB"), 0, 1), color=config.claim_for("sRGB"))
    color = painting_color(config, images.read_header(path), path, None, taken, plate.header)
    assert color.taken.colorspace == config.resolve("sRGB") and color.transform is None
    assert "without a view" in color.question and "--paint-colorspace" in color.question


def test_light_of_a_picture_is_in_the_working_space(config, tmp_path):
    plate_path = make_plate(tmp_path, "jpeg")
    plate = images.read(plate_path)
    taken = assign(config, plate.header, plate_path)
    transform = export_key(plate_path, 1, tmp_path / "k.exr", config, None)
    assert (transform.space, transform.colorspace) == ("ACEScg", taken.colorspace)
    space, scene = light_of(tmp_path / "k.exr", config, plate, taken)
    assert space == "ACEScg"
    np.testing.assert_allclose(config.from_working(scene, taken.colorspace), plate.rgb, atol=1e-5)


def test_light_has_no_view(config, tmp_path):
    plate_path = make_plate(tmp_path, "exr acescg")
    for asked in ({"display": "sRGB - Display"}, {"view": "Raw"}, {"exposure": 2.0}):
        with pytest.raises(InputError, match="scene-linear, without display, view or exposure"):
            export_key(plate_path, 1, tmp_path / "k.exr", config, None, **asked)
    assert not (tmp_path / "k.exr").exists()


def test_a_painting_by_strokes_is_no_light(config, tmp_path):
    assert cv2.imwrite(str(tmp_path / "p.0001.png"), np.full((24, 32, 3), 90, np.uint8))
    plate = PlateReader(SequencePath.parse(f"{tmp_path}/p.%04d.png"), None, config)
    with pytest.raises(ImageError, match="codes of a display"):
        paint_frame(plate, 1, tmp_path / "a.exr", "oil", 0)
