"""What was painted comes back: out as a key, painted, renamed or saved again by another program, and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.color.assignment import assign
from engine.color.config import ColorConfig
from engine.color.keys import export_key, write_key
from engine.color.paintings import painting_color
from engine.color.showing import Showing

PAINT = np.array([255, 220, 40], np.uint8)
REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
AP1 = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
SIZE = (24, 32)


@pytest.fixture(scope="module")
def config() -> ColorConfig:
    return ColorConfig.active("ocio://default")


def ramp(low: float, high: float) -> np.ndarray:
    values = np.linspace(low, high, SIZE[0] * SIZE[1] * 3, dtype=np.float32)
    return np.random.default_rng(3).permutation(values).reshape(*SIZE, 3)


def make_plate(folder: Path, kind: str) -> Path:
    if kind == "jpeg":
        path = folder / "plate.jpg"
        assert cv2.imwrite(str(path), np.rint(ramp(0.05, 0.95) * 255).astype(np.uint8))
        return path
    if kind == "png16":
        path = folder / "plate.png"
        assert cv2.imwrite(str(path), np.rint(ramp(0.0, 1.0) * 65535).astype(np.uint16))
        return path
    if kind == "dpx log":
        path = folder / "plate.dpx"
        spec = oiio.ImageSpec(SIZE[1], SIZE[0], 3, "uint16")
        spec.attribute("dpx:Transfer", "Logarithmic")
        return write_spec(path, spec, ramp(0.15, 0.7))
    path = folder / "plate.exr"
    spec = oiio.ImageSpec(SIZE[1], SIZE[0], 3, "half")
    spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), AP1 if kind == "exr acescg" else REC709)
    return write_spec(path, spec, ramp(0.02, 0.9))


def write_spec(path: Path, spec: oiio.ImageSpec, pixels: np.ndarray) -> Path:
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), spec) and writer.write_image(pixels) and writer.close()
    return path


def painted(key: Path, how: str) -> Path:
    """The key with a patch of paint, saved as a program does it."""
    codes = cv2.imread(str(key), cv2.IMREAD_UNCHANGED)[..., ::-1].copy()
    scale = codes.max(initial=1) > 255
    codes[4:12, 4:12] = PAINT.astype(codes.dtype) * (257 if scale else 1)
    if how == "saved again without metadata":
        assert cv2.imwrite(str(key), codes[..., ::-1])
        return key
    source = oiio.ImageInput.open(str(key))
    spec = source.spec()
    source.close()
    other = key if how == "painted in a viewer" else key.with_name("shot_v02.png")
    spec.set_format("uint16" if scale else "uint8")
    return write_spec(other, spec, np.ascontiguousarray(codes))


@pytest.mark.parametrize("how", ["painted in a viewer", "renamed", "saved again without metadata"])
@pytest.mark.parametrize("kind", ["jpeg", "png16", "exr acescg", "exr rec709", "dpx log"])
def test_painted_codes_come_back(config, tmp_path, kind, how):
    """Within one 8-bit code, on paint and beside it; see docs/color.md for the largest differences."""
    plate_path = make_plate(tmp_path, kind)
    plate = images.read(plate_path)
    taken = assign(config, plate.header, plate_path)
    key = tmp_path / "key.png"
    transform = export_key(plate_path, 1, key, config, None)
    assert bool(transform.view) == (kind not in ("jpeg", "png16")), "display-referred goes out as it is"
    painting_path = painted(key, how)
    painting = images.read(painting_path)
    color = painting_color(config, painting.header, painting_path, None, taken, plate.header)
    assert not color.question
    scene = color.to_working(painting, config, plate=plate)
    if transform.view:
        showing = Showing.parse(color.taken.colorspace, config)
        assert showing is not None
        result = showing.shown(scene, config)
    else:
        result = np.clip(config.from_working(scene, taken.colorspace), 0, 1)
    codes = float(np.abs(result - painting.rgb).max()) * 255
    print(f"ROUND TRIP {kind}, {how}: {codes:.3f}")
    assert codes < 1.0
    if how == "painted in a viewer" and not transform.view:
        codes = [np.rint(image.rgb[13:] * 65535) for image in (painting, plate)]
        assert np.array_equal(*codes), "exported as it is"


def test_where_both_were_stripped_one_line_asks(config, tmp_path):
    plate_path = make_plate(tmp_path, "exr acescg")
    plate = images.read(plate_path)
    taken = assign(config, plate.header, plate_path)
    export_key(plate_path, 1, tmp_path / "key.png", config, None)
    (tmp_path / "elsewhere").mkdir()
    lost = tmp_path / "elsewhere" / "v02.png"
    assert cv2.imwrite(str(lost), cv2.imread(str(tmp_path / "key.png"), cv2.IMREAD_UNCHANGED))
    painting = images.read(lost)
    color = painting_color(config, painting.header, lost, None, taken, plate.header)
    assert "is that right?" in color.question and "--paint-colorspace" in color.question
    assert "\n" not in color.question
    # The line says what to give, and that is accepted and right.
    asked = color.question.rsplit('"', 2)[1]
    again = painting_color(config, painting.header, lost, asked, taken, plate.header)
    assert not again.question
    scene = again.to_working(painting, config)
    expected = plate.rgb
    assert float(np.abs(scene - expected).mean() / expected.mean()) < 0.01


def test_a_copy_with_its_metadata_needs_no_sidecar(config, tmp_path):
    for suffix in (".png", ".tif", ".jpg"):
        plate_path = make_plate(tmp_path, "exr rec709")
        key = tmp_path / f"key{suffix}"
        transform = export_key(plate_path, 7, key, config, None)
        (tmp_path / f"sub{suffix}").mkdir()
        copy = tmp_path / f"sub{suffix}" / f"other{suffix}"
        shutil.copy(key, copy)
        plate = images.read(plate_path)
        taken = assign(config, plate.header, plate_path)
        color = painting_color(config, images.read_header(copy), copy, None, taken, plate.header)
        assert color.transform is not None and color.transform.view == transform.view and color.transform.frame == 7


def test_a_program_that_converted_its_document_is_believed(config, tmp_path):
    """It keeps the text, and says P3 in the file; the plate went out as sRGB."""
    plate_path = make_plate(tmp_path, "png16")
    plate = images.read(plate_path)
    taken = assign(config, plate.header, plate_path)
    transform = export_key(plate_path, 1, tmp_path / "key.png", config, None)
    p3 = config.resolve("srgb_displayp3")
    write_key(tmp_path / "key.png", plate.rgb, transform, config)
    facts = images.read_provenance(tmp_path / "key.png")
    images.write(tmp_path / "key.png", plate.rgb, bit_depth="uint16", provenance=facts, color=config.claim_for(p3))
    color = painting_color(
        config, images.read_header(tmp_path / "key.png"), tmp_path / "key.png", None, taken, plate.header
    )
    assert color.taken.colorspace == p3
