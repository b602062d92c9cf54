"""engine.color.assignment: which colorspace a file is in, by the order of claims, with the right values."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import PyOpenColorIO as ocio
import pytest

from engine import images
from engine.base.errors import ColorError
from engine.color.assignment import assign
from engine.color.config import ColorConfig
from engine.color.keys import export_key
from engine.color.made_spaces import FILM_LOG
from engine.color.paintings import painting_color
from engine.color.showing import Showing
from engine.images.gamuts import GAMUTS, Encoding
from engine.images.icc import profile_of

CODES = np.array([60, 200, 90], np.uint8)


@pytest.fixture(scope="module")
def config() -> ColorConfig:
    return ColorConfig.active("ocio://default")


@pytest.fixture
def bare(tmp_path) -> ColorConfig:
    """A show's config with a log space by file rule, and without sRGB, displays of ACES, or roles but one."""
    (tmp_path / "bare.ocio").write_text(
        """ocio_profile_version: 2
roles: {scene_linear: lin, default: raw}
file_rules:
  - !<Rule> {name: log, colorspace: show log, pattern: "*_log*", extension: "*"}
  - !<Rule> {name: Default, colorspace: raw}
displays:
  Screen:
    - !<View> {name: Film, colorspace: film}
colorspaces:
  - !<ColorSpace> {name: lin}
  - !<ColorSpace> {name: raw, isdata: true}
  - !<ColorSpace>
    name: film
    from_scene_reference: !<ExponentTransform> {value: [2.6, 2.6, 2.6, 1], direction: inverse}
  - !<ColorSpace>
    name: show log
    to_scene_reference: !<ExponentTransform> {value: [4, 4, 4, 1]}
""",
        encoding="utf-8",
    )
    return ColorConfig.active(tmp_path / "bare.ocio")


def png(path: Path, *chunks: tuple[bytes, bytes]) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(CODES) * 4 for _ in range(4))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))
    body = b"".join(chunk(*one) for one in chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    return path


def spec_file(path: Path, kind: str, **attributes: object) -> Path:
    spec = oiio.ImageSpec(4, 4, 3, kind)
    for name, value in attributes.items():
        name = name.replace("__", ":")
        if isinstance(value, tuple):
            spec.attribute(name, oiio.TypeDesc(f"float[{len(value)}]"), value)
        else:
            spec.attribute(name, value)
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), spec)
    assert writer.write_image(np.full((4, 4, 3), 685 / 1023, np.float32)) and writer.close()
    return path


def taken(config: ColorConfig, path: Path, asked: str | None = None):
    return assign(config, images.read_header(path), path, asked)


def srgb_to_linear(code: np.ndarray) -> np.ndarray:
    x = code / 255.0
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def in_srgb(config: ColorConfig, path: Path) -> np.ndarray:
    image = images.read(path)
    space = assign(config, image.header, path).colorspace
    return config.from_working(config.to_working(image.rgb, space), "lin_rec709")[0, 0]


def icc(gamut: str, transfer: str, name: str = "a profile") -> bytes:
    return b"x\0\0" + zlib.compress(profile_of(Encoding(GAMUTS[gamut], transfer), name))


TO_709 = np.array([[1.22494, -0.22494, 0], [-0.04206, 1.04206, 0], [-0.01964, -0.07864, 1.09828]])
"""Display P3 to Rec. 709, linear, both D65."""


def test_png_claims_in_the_order_of_the_specification(config, tmp_path):
    path, p3, srgb = tmp_path / "a.png", "sRGB Encoded P3-D65", config.resolve("sRGB")
    gamma = struct.pack(">I", 45455)
    assert taken(config, png(path)).source == "custom" and taken(config, path).colorspace == srgb
    assert taken(config, png(path, (b"sRGB", b"\0"))).why == "sRGB chunk"
    assert taken(config, png(path, (b"gAMA", gamma))).colorspace == srgb, "1/2.2 has always meant sRGB"
    assert taken(config, png(path, (b"gAMA", struct.pack(">I", 100000)))).colorspace == "Linear Rec.709 (sRGB)"
    assert taken(config, png(path, (b"sRGB", b"\0"), (b"iCCP", icc("p3d65", "srgb")))).colorspace == p3
    found = taken(config, png(path, (b"cICP", bytes([9, 16, 0, 1])), (b"iCCP", icc("p3d65", "srgb"))))
    assert found.colorspace == "Rec.2100-PQ - Display" and "PQ" in found.why
    assert taken(config, path, "ACEScct").colorspace == "ACEScct", "what was asked comes before all"


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_an_icc_profile_is_honored(config, tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    wanted = TO_709 @ srgb_to_linear(CODES.astype(float))
    pixels = np.broadcast_to(CODES / np.float32(255), (8, 8, 3)).astype(np.float32)
    claim = config.claim_for("sRGB Encoded P3-D65")
    images.write(path, pixels, bit_depth="uint8", color=claim)
    assert taken(config, path).colorspace == "sRGB Encoded P3-D65"
    np.testing.assert_allclose(in_srgb(config, path), wanted, atol=0.01 if kind == "jpg" else 2e-3)


def test_a_profile_that_no_config_has(config, tmp_path):
    """ProPhoto's primaries and gamma 1.8: made from the profile, exact to its 16-bit numbers."""
    romm = Encoding((0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001, 0.34567, 0.35850), "gamma 1.8")
    path = png(tmp_path / "a.png", (b"iCCP", b"x\0\0" + zlib.compress(profile_of(romm, "ROMM"))))
    found = taken(config, path)
    assert found.source == "file" and "ROMM" in found.colorspace
    neutral = config.to_working(np.full((1, 1, 3), 0.5, np.float32), found.colorspace)[0, 0]
    np.testing.assert_allclose(neutral, 0.5**1.8, atol=2e-3)
    assert config.claim_for(found.colorspace).icc == profile_of(romm, "ROMM"), "goes along with the pixels"


def test_a_profile_that_cannot_be_read_is_refused_in_one_line(config, tmp_path):
    path = png(
        tmp_path / "a.png",
        (b"iCCP", b"x\0\0" + zlib.compress(profile_of(Encoding(GAMUTS["rec709"], "srgb"), "broken")[:140])),
    )
    with pytest.raises(ColorError, match="ICC") as caught:
        assign(config, images.read_header(path), path)
    assert "\n" not in str(caught.value) and "--colorspace" in caught.value.remedy


def test_exr_claims(config, tmp_path):
    path = tmp_path / "a.exr"
    silent = taken(config, spec_file(path, "half"))
    assert (silent.colorspace, silent.source) == ("ACEScg", "custom") and "scene_linear" in silent.why
    assert taken(config, spec_file(path, "half", chromaticities=GAMUTS["rec709"])).colorspace == "Linear Rec.709 (sRGB)"
    rounded = tuple(round(value, 3) for value in GAMUTS["ap0"])
    assert taken(config, spec_file(path, "half", chromaticities=rounded)).colorspace == "ACES2065-1"
    both = spec_file(path, "half", chromaticities=GAMUTS["rec709"], colorInteropID="lin_ap1_scene")
    assert taken(config, both).colorspace == "ACEScg", "the identifier is the stronger claim"
    nuke = spec_file(path, "half", nuke__input__colorspace="sRGB")
    assert taken(config, nuke).colorspace == "ACEScg", "that was the file before"
    camera = (0.73, 0.28, 0.14, 0.855, 0.1, -0.05, 0.3127, 0.3290)
    made = taken(config, spec_file(path, "half", chromaticities=camera))
    white = config.to_working(np.ones((1, 1, 3), np.float32), made.colorspace)[0, 0]
    np.testing.assert_allclose(white, 1.0, atol=1e-4)
    assert made.source == "file" and config.claim_for(made.colorspace).encoding.gamut == pytest.approx(camera)


def test_film_scans_by_cineons_curve(config, tmp_path):
    """Kodak: code 685 is 1.0, 95 is 0, 445 is 0.18 within its rounding."""
    for transfer in ("Logarithmic", "Printing density", ""):
        path = spec_file(tmp_path / "a.dpx", "uint16", **({"dpx__Transfer": transfer} if transfer else {}))
        assert taken(config, path).colorspace == FILM_LOG
    codes = np.array([95, 445, 685], np.float32)[None, :, None].repeat(3, 2) / 1023
    linear = config.to_working(codes, FILM_LOG)[0, :, 0]
    np.testing.assert_allclose(linear, [0.0, 0.1496, 1.0], atol=1e-3)
    np.testing.assert_allclose(config.from_working(config.to_working(codes, FILM_LOG), FILM_LOG), codes, atol=1e-5)
    assert taken(config, spec_file(tmp_path / "l.dpx", "uint16", dpx__Transfer="Linear")).colorspace.startswith(
        "Linear"
    )
    video = taken(config, spec_file(tmp_path / "v.dpx", "uint16", dpx__Transfer="ITU-R 709-4"))
    assert video.colorspace == "Rec.1886 Rec.709 - Display"


def test_a_rule_that_somebody_wrote_beats_the_format_and_no_claim(bare, tmp_path):
    for suffix in ("png", "jpg", "tif", "bmp", "webp"):
        path = tmp_path / f"a_log.{suffix}"
        assert cv2.imwrite(str(path), np.full((8, 8, 3), 128, np.uint8))
        assert taken(bare, path).colorspace == "show log", suffix
    with pytest.raises(ColorError, match="sRGB"):
        taken(bare, png(tmp_path / "a.png"))
    assert taken(bare, png(tmp_path / "a.png"), "film").colorspace == "film"
    plate = spec_file(tmp_path / "a.exr", "half")
    assert taken(bare, plate).colorspace == "lin"
    # Without sRGB: out through the config's own view and back.
    transform = export_key(plate, 1, tmp_path / "k.png", bare, None)
    assert (transform.display, transform.view) == ("Screen", "Film")
    painting, image = images.read(tmp_path / "k.png"), images.read(plate)
    color = painting_color(bare, painting.header, tmp_path / "k.png", None, taken(bare, plate), image.header)
    assert not color.question
    np.testing.assert_allclose(color.to_working(painting, bare), image.rgb, atol=1e-4)
    assert Showing().shown(image.rgb, bare)[0, 0, 0] == pytest.approx((685 / 1023) ** (1 / 2.6), abs=1e-3)


@pytest.mark.parametrize("source", ["ocio://default", "ocio://studio-config-v2.1.0_aces-v1.3_ocio-v2.3"])
@pytest.mark.parametrize("kind", ["exr", "png", "tif", "jpg", "dpx"])
@pytest.mark.parametrize("name", ["sRGB", "ACEScg", "lin_rec709", "srgb_displayp3", "lin_rec2020", "g22_rec709"])
def test_what_is_written_is_read_as_what_was_written(tmp_path, source, kind, name):
    config = ColorConfig.active(source)
    if not config.find(name):
        pytest.skip("not in this config")
    path = tmp_path / f"a.{kind}"
    like = images.read(spec_file(tmp_path / "plate.exr", "half", chromaticities=GAMUTS["ap0"])).header
    pixels = np.full((4, 4, 3), 0.25, np.float32)
    images.write(path, pixels, like=like, provenance={"colorspace": config.resolve(name)}, color=config.claim_for(name))
    found = taken(config, path)
    one = config.to_working(pixels, name)
    np.testing.assert_allclose(config.to_working(pixels, found.colorspace), one, atol=2e-3)
    assert found.source == "file"


def test_chromaticities_of_a_shows_own_linear_space(tmp_path):
    """By what it does, not by its name."""
    made = ocio.Config.CreateFromBuiltinConfig("cg-config-v1.0.0_aces-v1.3_ocio-v2.1")
    made = ocio.Config.CreateFromStream(made.serialize())
    own = ocio.ColorSpace(name="house wide")
    camera = (0.73, 0.28, 0.14, 0.855, 0.1, -0.05, 0.3127, 0.3290)
    default = ColorConfig.active("ocio://default")
    default_name = default.make_from_encoding(Encoding(camera, "linear"))
    matrix = np.eye(4)
    matrix[:3, :3] = default.to_aces(np.eye(3, dtype=np.float32)[None], default_name)[0].T
    own.setTransform(ocio.MatrixTransform([float(v) for v in matrix.ravel()]), ocio.COLORSPACE_DIR_TO_REFERENCE)
    made.addColorSpace(own)
    (tmp_path / "house.ocio").write_text(made.serialize(), encoding="utf-8")
    config = ColorConfig.active(tmp_path / "house.ocio")
    claim = config.claim_for("house wide")
    assert claim.encoding is not None and claim.encoding.transfer == "linear"
    back = config.make_from_encoding(claim.encoding)
    pixels = np.random.default_rng(0).random((2, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(config.to_working(pixels, back), config.to_working(pixels, "house wide"), atol=1e-4)
    assert config.claim_for("ACEScct").encoding is None


@pytest.mark.parametrize(
    "gamut",
    [
        (0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3127, 0.329),
        (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.0),
        (np.nan, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329),
        (4e10, -1e29, -3e22, 1e-29, 7e30, 2e-30, 6e-34, -1e-22),
        (0.64, 0.33, 0.64, 0.33 + 1e-7, 0.15, 0.06, 0.3127, 0.329),
    ],
)
def test_primaries_that_span_no_colors_are_left_out(config: ColorConfig, tmp_path: Path, gamut: tuple) -> None:
    spec = oiio.ImageSpec(4, 4, 3, "half")
    spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), gamut)
    writer = oiio.ImageOutput.create(str(tmp_path / "a.exr"))
    assert writer.open(str(tmp_path / "a.exr"), spec) and writer.write_image(np.zeros((4, 4, 3), np.float32))
    assert writer.close()
    found = assign(config, images.read(tmp_path / "a.exr").header, tmp_path / "a.exr")
    assert (found.colorspace, found.source) == (config.working, "custom")
    assert "whose primaries are no colors" in found.why
    # Whoever asks all the same is told.
    with pytest.raises(ColorError, match="span no colors") as caught:
        config.make_from_encoding(Encoding(gamut, "linear"))
    assert "--colorspace" in caught.value.remedy


def test_a_space_without_light_has_no_primaries_to_write(tmp_path: Path) -> None:
    """A table that gives black for everything, in a config whose spaces are tied to those of ACES."""
    (tmp_path / "black.ocio").write_text(
        """ocio_profile_version: 2
roles: {scene_linear: lin, default: lin, aces_interchange: lin}
file_rules:
  - !<Rule> {name: Default, colorspace: lin}
displays:
  Screen:
    - !<View> {name: Film, colorspace: lin}
colorspaces:
  - !<ColorSpace> {name: lin}
  - !<ColorSpace>
    name: black
    to_scene_reference: !<MatrixTransform> {matrix: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]}
""",
        encoding="utf-8",
    )
    claim = ColorConfig.active(tmp_path / "black.ocio").claim_for("black")
    assert (claim.encoding, claim.icc, claim.name) == (None, b"", "")
