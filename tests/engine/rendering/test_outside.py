"""Frames with a matte: stylized inside, the plate outside, bit for bit, and a changed matte is noticed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.errors import FrameFailures, InputError, VerifyError
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.rendering.render import RenderSettings, render, verify
from engine.shot.shot import Plate
from tests.support import lookfactory
from tests.support.matte_files import box, write_mattes
from tests.support.rendering import ON_CPU, digests, make_plate, outputs, picture

SHAPE = (60, 91)
FRAMES = FrameRange((1, 2, 3))


def mattes(folder: Path) -> SequencePath:
    return write_mattes(folder, {frame: box(*SHAPE, 20 + frame, 50 + frame) for frame in FRAMES})


@pytest.fixture
def plate(tmp_path: Path) -> Plate:
    return make_plate(tmp_path / "plate", "1-3")


def half(pixels: np.ndarray) -> np.ndarray:
    return np.float32(np.float16(pixels))


def test_inside_the_look_outside_the_plate(tmp_path: Path, plate: Plate) -> None:
    look, out = lookfactory.gain(tmp_path / "gain.onnx", 2.0), outputs(tmp_path / "out")
    settings = replace(ON_CPU, matte=mattes(tmp_path).text, carried_layer=True)
    render(look, plate, out, settings)
    for frame in FRAMES:
        own, share = half(picture(frame)), box(*SHAPE, 20 + frame, 50 + frame)[..., None]
        assert set(np.unique(share)) == {0.0, 0.25, 1.0}
        expected = share * 2 * own + (1 - share) * own
        assert np.array_equal(images.read(out.path(frame)).rgb, half(expected))
    # Nothing that the matte takes away rides on a painting.
    layers = images.read(out.path(1)).header.parts[0].layers
    assert not np.any(np.float32(layers["paintover.carried"])[share[..., 0] == 0])


def test_the_plate_outside_keeps_its_codes_and_its_soft_edge(tmp_path: Path) -> None:
    """Through a color conversion and back, beside an alpha, in 8 bits, 16 bits, half and float."""
    look, path = lookfactory.gain(tmp_path / "gain.onnx", 1.5), mattes(tmp_path)
    outside = box(*SHAPE, 21, 51) == 0
    rng = np.random.default_rng(5)
    for suffix, depth, space in (
        (".png", "uint8", None),
        (".png", "uint16", None),
        (".exr", "half", "sRGB - Texture"),
        (".exr", "float", "ACES2065-1"),
    ):
        folder = tmp_path / f"{suffix[1:]}-{depth}"
        folder.mkdir()
        source = SequencePath.parse(folder / f"plate.%04d{suffix}")
        alpha = rng.random(SHAPE).astype(np.float32)
        images.write(source.path(1), rng.random((*SHAPE, 3)).astype(np.float32), alpha=alpha, bit_depth=depth)
        out = outputs(folder, suffix)
        settings = replace(ON_CPU, matte=path.text, bit_depth=depth)
        render(look, Plate(source, FrameRange((1,)), space), out, settings)
        before, after = images.read(source.path(1)), images.read(out.path(1))
        assert before.alpha is not None and after.alpha is not None
        assert np.array_equal(before.alpha, after.alpha)
        stored = [
            np.float64(image.rgb) * np.where(image.alpha == 0, 1, image.alpha)[..., None] for image in (before, after)
        ]
        # A float file that is multiplied by its alpha is divided and multiplied again: the last bit may differ.
        largest = 1e-7 if depth == "float" else 0.0
        assert np.abs(stored[0] - stored[1])[outside].max() <= largest
        assert np.abs(stored[0] - stored[1])[~outside].mean() > 0.01


def test_blending_is_in_scene_linear_light(tmp_path: Path) -> None:
    look = lookfactory.gain(tmp_path / "gain.onnx", 4.0)
    config = ColorConfig.active()
    plate = make_plate(tmp_path / "plate", "1", ".png", bit_depth="uint16")
    path = write_mattes(tmp_path, {1: np.full(SHAPE, 0.25, np.float32)})
    out = outputs(tmp_path, ".png")
    render(look, plate, out, replace(ON_CPU, matte=path.text, bit_depth="uint16"))
    own = images.read(plate.path.path(1)).rgb
    space = images.read_provenance(out.path(1))["plate_colorspace"]
    light = config.to_working(own, space)
    expected = np.clip(config.from_working(0.25 * 4 * light + 0.75 * light, space), 0, 1)
    assert np.abs(images.read(out.path(1)).rgb - expected).max() < 2e-3


def test_a_changed_matte_is_rendered_again_and_verify_sees_it(tmp_path: Path, plate: Plate) -> None:
    look, out, path = lookfactory.gain(tmp_path / "g.onnx"), outputs(tmp_path / "out"), mattes(tmp_path)
    settings = replace(ON_CPU, matte=path.text)
    render(look, plate, out, ON_CPU)
    plain = digests(out, FRAMES)
    assert sorted(render(look, plate, out, settings).done) == [1, 2, 3]
    assert render(look, plate, out, settings).done == []
    pixels = images.read(out.path(2)).rgb
    verify(look, FRAMES, out, settings, plate=plate)
    assert images.read_provenance(out.path(2))["matte"] == images.provenance.file_sha256(path.path(2))
    write_mattes(tmp_path, {2: box(*SHAPE, 5, 9)})
    with pytest.raises(VerifyError, match=r"1 of 3 frames are not right: foreign 2"):
        verify(look, FRAMES, out, settings, plate=plate)
    assert render(look, plate, out, settings).done == [2]
    # The same mattes elsewhere are the same job.
    moved = SequencePath.parse(tmp_path / "moved" / "m.%04d.exr")
    moved.folder.mkdir()
    for frame in FRAMES:
        shutil.copyfile(path.path(frame), moved.path(frame))
    assert render(look, plate, out, replace(settings, matte=moved.text)).done == []
    write_mattes(moved.folder, {2: box(*SHAPE, 22, 52)})
    moved.path(2).write_bytes((moved.folder / "matte.0002.exr").read_bytes())
    assert render(look, plate, out, replace(settings, matte=moved.text)).done == [2]
    assert np.array_equal(images.read(out.path(2)).rgb, pixels)
    with pytest.raises(VerifyError, match=r"foreign 1-3"):
        verify(look, FRAMES, out, ON_CPU, plate=plate)
    assert sorted(render(look, plate, out, ON_CPU).done) == [1, 2, 3] and digests(out, FRAMES) == plain


def test_tiles_without_any_of_the_matte_are_not_computed(tmp_path: Path) -> None:
    plate = make_plate(tmp_path / "plate", "1")
    look = lookfactory.network(tmp_path / "n.onnx", channels=(8, 12, 16), blocks=1)
    path = write_mattes(tmp_path, {1: box(*SHAPE, 70, 80)})
    frames = []
    for tile in (64, 0):
        out = outputs(tmp_path / str(tile))
        render(look, plate, out, RenderSettings(device="cpu", tile=tile, matte=path.text))
        frames.append(images.read(out.path(1)).rgb)
    assert np.array_equal(*frames)


def test_a_frame_without_a_right_matte_fails_alone(tmp_path: Path, plate: Plate) -> None:
    look, out, path = lookfactory.gain(tmp_path / "g.onnx"), outputs(tmp_path / "out"), mattes(tmp_path)
    path.path(2).unlink()
    write_mattes(tmp_path, {3: np.zeros((10, 10), np.float32)})
    with pytest.raises(FrameFailures) as caught:
        render(look, plate, out, replace(ON_CPU, matte=path.text))
    assert caught.value.exit_code == 2 and sorted(caught.value.failures) == [2, 3]
    assert f"frame 2: the matte of this frame is missing ({path.path(2)})" in caught.value.failures[2]
    assert "the matte is 10x10, and the plate 91x60" in caught.value.failures[3]
    write_mattes(tmp_path, {2: np.zeros(SHAPE, np.float32), 3: np.ones(SHAPE, np.float32)})
    report = render(look, plate, out, replace(ON_CPU, matte=path.text))
    assert report.warnings == ["frame 2: the matte is empty: the whole plate stays"]
    with pytest.raises(InputError, match="output onto the mattes"):
        render(look, plate, path, replace(ON_CPU, matte=path.text))
