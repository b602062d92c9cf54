"""engine.images.files against a second EXR reader, and what each format keeps."""

from __future__ import annotations

import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.errors import ImageError
from engine.images.color_claims import ColorClaim
from engine.images.gamuts import GAMUTS, Encoding
from engine.images.losses import lost
from tests.support import SHARED
from tests.support.exr_files import HEIGHT, WIDTH, OpenEXR, exr_parts, second_reader
from tests.support.pictures import noise

SHOTS = SHARED / "shots"


def write_raw(path, pixels, kind, attributes=None, names=None, window=None, display=None):
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], kind)
    if names:
        spec.channelnames = names
    if window:
        spec.x, spec.y = window
    if display:
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = display
    for name, value in (attributes or {}).items():
        spec.attribute(name, value)
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), spec), writer.geterror()
    assert writer.write_image(pixels), writer.geterror()
    assert writer.close(), writer.geterror()


def test_exr_like_its_plate_keeps_pixels_windows_metadata_layers_and_parts(multipart, tmp_path):
    image = images.read(multipart)
    assert image.header.data == (-5, -4, WIDTH, HEIGHT)
    assert image.header.display == (0, 0, 50, 30)
    assert (image.header.bit_depth, image.header.file_format) == ("half", "openexr")
    out = tmp_path / "out.exr"
    carried = noise(HEIGHT, WIDTH)
    images.write(out, image.rgb, like=image.header, extra={"paintover.carried": carried}, provenance={"look": "f00d"})

    before, after = exr_parts(multipart), exr_parts(out)
    assert [part.name() for part in after][:2] == ["rgba", "deepness"]
    for key in ("dataWindow", "displayWindow"):
        for part in (0, 1):
            assert np.array_equal(np.array(before[part].header[key]), np.array(after[part].header[key]))
    assert after[0].header["pixelAspectRatio"] == 2.0
    assert after[0].header["shot"] == "ab_010"
    assert after[1].header["layerNote"] == "distance"
    assert after[0].header["paintover/look"] == "f00d"
    assert after[0].header["compression"] == OpenEXR.ZIP_COMPRESSION
    assert "capDate" not in after[0].header, "a date was invented"
    for name in ("R", "G", "B", "A", "depth.Z"):  # a premultiply and its inverse must not move one half
        stored, written = before[0].channels[name].pixels, after[0].channels[name].pixels
        assert stored.dtype == written.dtype
        assert np.array_equal(stored, written, equal_nan=True), name
    identifiers = [part.channels["id"].pixels for part in after if "id" in part.channels]
    assert len(identifiers) == 1 and identifiers[0].dtype == np.uint32
    assert np.array_equal(identifiers[0], before[0].channels["id"].pixels)
    assert np.array_equal(after[1].channels["Z"].pixels, before[1].channels["Z"].pixels)
    assert np.array_equal(after[0].channels["paintover.carried"].pixels, carried.astype(np.float16))


def test_parts_agree_on_what_an_exr_has_once(tmp_path):
    """Primaries, format, pixel aspect and timecode: the picture's own, where another part says other ones."""
    specs = [oiio.ImageSpec(8, 6, 3, "half"), oiio.ImageSpec(8, 6, 1, "half")]
    specs[1].channelnames = ("Z",)
    for number, spec in enumerate(specs):
        spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), GAMUTS["ap1"])
        spec.attribute("oiio:subimagename", f"part{number}")
    writer = oiio.ImageOutput.create(str(tmp_path / "a.exr"))
    assert writer.open(str(tmp_path / "a.exr"), tuple(specs)), writer.geterror()
    for number, spec in enumerate(specs):
        assert number == 0 or writer.open(str(tmp_path / "a.exr"), spec, "AppendSubimage")
        assert writer.write_image(np.ones((6, 8, spec.nchannels), np.float32))
    assert writer.close()
    image = images.read(tmp_path / "a.exr")
    other = image.header.parts[1].spec
    other.attribute("PixelAspectRatio", 2.0)
    other.full_width = 100
    claim = ColorClaim("written", encoding=Encoding(GAMUTS["rec709"], "linear"))
    images.write(tmp_path / "b.exr", image.rgb, like=image.header, color=claim)
    for part in images.read(tmp_path / "b.exr").header.parts:
        assert part.spec.getattribute("chromaticities") == pytest.approx(GAMUTS["rec709"])
        assert (part.spec.full_width, part.spec.get_float_attribute("PixelAspectRatio", 1.0)) == (8, 1.0)


def test_soft_edges_are_divided_by_alpha_and_emission_is_left(multipart):
    image = images.read(multipart)
    stored = exr_parts(multipart)[0].channels
    alpha = stored["A"].pixels.astype(np.float32)
    expected = stored["G"].pixels[1:].astype(np.float32) / alpha[1:]
    np.testing.assert_allclose(image.rgb[1:, :, 1], expected, rtol=1e-6)
    assert image.rgb[0, 0, 0] == 3.0 and image.alpha[0, 0] == 0.0


def test_new_alpha_is_multiplied_into_the_exr(tmp_path):
    images.write(tmp_path / "a.exr", np.full((4, 4, 3), 2.0, np.float32), alpha=np.full((4, 4), 0.25, np.float32))
    channels = exr_parts(tmp_path / "a.exr")[0].channels
    assert float(channels["R"].pixels[0, 0]) == 0.5 and float(channels["A"].pixels[0, 0]) == 0.25


def test_half_overflow_clamps_and_float_does_not(tmp_path):
    rgb = np.full((4, 4, 3), 1e6, np.float32)
    rgb[0, 0] = -1e6
    rgb[1, 1] = np.nan
    rgb[2, 2] = np.inf
    images.write(tmp_path / "half.exr", rgb)
    images.write(tmp_path / "float.exr", rgb, bit_depth="float")
    half = exr_parts(tmp_path / "half.exr")[0].channels["R"].pixels
    full = exr_parts(tmp_path / "float.exr")[0].channels["R"].pixels
    assert (half.dtype, full.dtype) == (np.float16, np.float32)
    assert [float(half[i, i]) for i in range(4)] == [-65504.0, 0.0, 65504.0, 65504.0]
    assert float(full[3, 3]) == 1e6 and np.isfinite(full).all()


@second_reader
def test_asked_compression_is_used(tmp_path):
    images.write(tmp_path / "p.exr", noise(8, 8, 3), compression="piz")
    assert exr_parts(tmp_path / "p.exr")[0].header["compression"] == OpenEXR.PIZ_COMPRESSION


def test_a_quick_png_holds_the_same_pixels(tmp_path):
    smooth = np.repeat(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], 64, axis=0).repeat(3, axis=2)
    for name, compression in (("small.png", None), ("quick.png", "zip:1"), ("plain.png", "zip:0")):
        images.write(tmp_path / name, smooth, bit_depth="uint8", compression=compression)
    small, quick, plain = (images.read(tmp_path / name) for name in ("small.png", "quick.png", "plain.png"))
    assert np.array_equal(small.rgb, quick.rgb) and np.array_equal(small.rgb, plain.rgb)
    sizes = [(tmp_path / name).stat().st_size for name in ("small.png", "quick.png", "plain.png")]
    assert sizes[0] <= sizes[1] < sizes[2] and sizes[2] > 64 * 64 * 3


def test_exr_to_png_is_the_display_window(multipart, tmp_path):
    image = images.read(multipart)
    rgb = np.full_like(image.rgb, 0.5)
    images.write(tmp_path / "d.png", rgb, like=image.header, alpha=np.ones((HEIGHT, WIDTH), np.float32))
    png = images.read(tmp_path / "d.png")
    assert png.rgb.shape == (30, 50, 3) and png.header.bit_depth == "uint16"
    np.testing.assert_allclose(png.rgb, 0.5, atol=1 / 65535)


def test_display_larger_than_data_is_padded_and_comes_back(tmp_path):
    pixels = noise(10, 12, 3).astype(np.float16)
    write_raw(tmp_path / "crop.exr", pixels, "half", window=(4, 3), display=(0, 0, 20, 16))
    header = images.read(tmp_path / "crop.exr").header
    shown = header.to_display(pixels.astype(np.float32))
    assert shown.shape == (16, 20, 3) and float(shown.sum()) == pytest.approx(
        float(pixels.astype("f4").sum()), rel=1e-5
    )
    assert np.array_equal(shown[3:13, 4:16], pixels.astype(np.float32))
    back, covered = header.from_display(shown)
    assert np.array_equal(back, pixels.astype(np.float32)) and covered.all()


@pytest.mark.parametrize(
    ("extension", "depth", "codes"),
    [
        (extension, depth, codes)
        for extension in ("tif", "png", "dpx")
        for depth, codes in (("uint8", 255), ("uint16", 65535))
    ],
)
def test_integer_formats_keep_every_code(tmp_path, extension, depth, codes):
    rgb = (np.arange(HEIGHT * WIDTH * 3) * 37 % (codes + 1)).reshape(HEIGHT, WIDTH, 3) / np.float32(codes)
    rgb = rgb.astype(np.float32)
    source, out = tmp_path / f"in.{extension}", tmp_path / f"out.{extension}"
    write_raw(source, np.round(rgb * codes).astype(depth), depth)
    image = images.read(source)
    assert image.header.bit_depth == depth
    images.write(out, image.rgb, like=image.header)
    again = images.read(out)
    assert again.header.bit_depth == depth
    assert np.array_equal(np.round(again.rgb * codes), np.round(rgb * codes))


def test_ten_bit_dpx_stays_ten_bit(tmp_path):
    codes = (np.arange(HEIGHT * WIDTH * 3) % 1024).reshape(HEIGHT, WIDTH, 3).astype(np.uint16)
    write_raw(tmp_path / "in.dpx", codes << 6 | codes >> 4, "uint16", {"oiio:BitsPerSample": 10})
    image = images.read(tmp_path / "in.dpx")
    assert image.header.bits_per_sample == 10
    images.write(tmp_path / "out.dpx", image.rgb, like=image.header)
    again = images.read(tmp_path / "out.dpx")
    assert again.header.bits_per_sample == 10 and np.array_equal(again.rgb, image.rgb)
    images.write(tmp_path / "r.dpx", np.full((4, 4, 3), 0.6 / 1023, np.float32), like=small_header(tmp_path, codes))
    assert float(images.read(tmp_path / "r.dpx").rgb.max()) == pytest.approx(1 / 1023, abs=1e-4), "codes were cut off"


def small_header(folder, codes):
    write_raw(folder / "s.dpx", codes[:4, :4].copy(), "uint16", {"oiio:BitsPerSample": 10})
    return images.read(folder / "s.dpx").header


def test_jpeg_keeps_chroma_and_quality(tmp_path):
    rgb = np.zeros((32, 32, 3), np.float32)
    rgb[:, ::2, 0] = 1.0  # one-pixel red stripes: 4:2:0 would blend them
    images.write(tmp_path / "a.jpg", rgb)
    image = images.read(tmp_path / "a.jpg")
    assert image.header.attributes["jpeg:subsampling"] == "4:4:4"
    assert np.abs(image.rgb - rgb).mean() < 0.02


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_unassociated_alpha_is_not_multiplied(tmp_path, extension):
    rgb, alpha = noise(8, 8, 3), np.full((8, 8), 0.01, np.float32)
    images.write(tmp_path / f"a.{extension}", rgb, alpha=alpha)
    image = images.read(tmp_path / f"a.{extension}")
    assert not image.header.associated
    np.testing.assert_allclose(image.rgb, rgb, atol=1 / 65535)
    np.testing.assert_allclose(image.alpha, alpha, atol=1 / 65535)


def test_associated_tiff_stays_associated(tmp_path):
    write_raw(tmp_path / "in.tif", np.full((4, 4, 4), 0.25, np.float32), "float")
    image = images.read(tmp_path / "in.tif")
    assert image.header.associated and float(image.rgb[0, 0, 0]) == 1.0
    images.write(tmp_path / "out.tif", image.rgb, like=image.header, bit_depth="float")
    again = images.read(tmp_path / "out.tif")
    assert again.header.associated and float(again.rgb[0, 0, 0]) == 1.0


@second_reader
@pytest.mark.parametrize("prefix", ["", "rgba.", "beauty."])
@pytest.mark.parametrize("letters", ["RGB", "rgb"])
def test_color_channel_names(tmp_path, prefix, letters):
    names = [prefix + letter for letter in letters]
    pixels = noise(4, 5, 4).astype(np.float16)
    OpenEXR.File(
        {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage},
        {**{name: pixels[..., i].copy() for i, name in enumerate(names)}, "diffuse.R": pixels[..., 3].copy()},
    ).write(str(tmp_path / "n.exr"))
    image = images.read(tmp_path / "n.exr")
    assert np.array_equal(image.rgb, pixels[..., :3].astype(np.float32))
    images.write(tmp_path / "o.exr", image.rgb, like=image.header)
    assert set(exr_parts(tmp_path / "o.exr")[0].channels) == {*names, "diffuse.R"}


def test_gray_is_repeated_and_depth_alone_is_refused(tmp_path):
    write_raw(tmp_path / "g.png", noise(4, 5, 1), "uint16")
    rgb = images.read(tmp_path / "g.png").rgb
    assert rgb.shape == (4, 5, 3) and np.array_equal(rgb[..., 0], rgb[..., 2])
    write_raw(tmp_path / "v.exr", noise(4, 5, 2), "float", names=("motion.u", "motion.v"))
    with pytest.raises(ImageError, match=r"motion\.u, motion\.v"):
        images.read(tmp_path / "v.exr")


def test_bad_pixels_are_counted_and_filled_from_their_neighbours(tmp_path):
    rgb = np.full((20, 30, 3), 0.5, np.float32)
    rgb[:, 15:] = 2.0
    rgb[5, 5, 1] = np.nan
    rgb[10:13, 20:24] = np.inf
    write_raw(tmp_path / "bad.exr", rgb, "float")
    image = images.read(tmp_path / "bad.exr")
    assert image.bad_pixels == 13 and int(image.bad_mask.sum()) == 13
    assert np.isfinite(image.rgb).all()
    assert image.rgb[5, 5].tolist() == [0.5] * 3 and image.rgb[11, 22].tolist() == [2.0] * 3
    write_raw(tmp_path / "worse.exr", np.full((4, 4, 3), np.nan, np.float32), "float")
    assert images.read(tmp_path / "worse.exr").rgb.max() == 0.0


def test_a_photograph_on_its_side_is_turned_upright(tmp_path):
    # Exif 6: the stored row 0 is the right-hand side, so the stored top left is seen at the top right.
    pixels = np.zeros((2, 3, 3), np.float32)
    pixels[0, 0] = 1.0
    write_raw(tmp_path / "o.tif", pixels, "uint16", {"Orientation": 6})
    image = images.read(tmp_path / "o.tif")
    assert image.rgb.shape == (3, 2, 3) and (image.header.width, image.header.height) == (2, 3)
    assert image.rgb[0, 1].tolist() == [1.0] * 3 and float(image.rgb.sum()) == 3.0
    assert image.header.attributes["Orientation"] == 1


def test_matte_from_alpha_else_from_color(tmp_path):
    alpha = noise(6, 7)
    images.write(tmp_path / "a.png", np.ones((6, 7, 3), np.float32), alpha=alpha)
    np.testing.assert_allclose(images.read_matte(tmp_path / "a.png"), alpha, atol=1 / 65535)
    images.write(tmp_path / "b.png", np.repeat(alpha[..., None], 3, 2), alpha=np.ones((6, 7), np.float32))
    np.testing.assert_allclose(images.read_matte(tmp_path / "b.png"), alpha, atol=2 / 65535)
    write_raw(tmp_path / "c.exr", alpha[..., None] * 3, "float", names=("Y",))
    assert float(images.read_matte(tmp_path / "c.exr").max()) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["exr", "png", "tif", "jpg", "dpx"])
def test_provenance_survives_and_bytes_do_not_depend_on_time(tmp_path, extension):
    facts = {"look": "a" * 64, "settings": "b" * 64, "plate": "c" * 64, "version": "0.1.0 [x]&y=z"}
    description = "night: exterior, take 2"
    source = tmp_path / f"in.{extension}"
    write_raw(source, noise(16, 16, 3), "half" if extension == "exr" else "uint8", {"ImageDescription": description})
    header = images.read(source).header
    (tmp_path / "b").mkdir()
    outputs = [tmp_path / f"one.{extension}", tmp_path / "b" / f"two.{extension}"]
    for out in outputs:
        images.write(out, noise(16, 16, 3), like=header, provenance=facts)
        time.sleep(1.1)  # formats store whole seconds
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert images.read_provenance(outputs[0]) == facts
    stored = images.read(outputs[0]).header.attributes["ImageDescription"]
    assert stored.startswith(description)
    images.write(outputs[0], noise(16, 16, 3), like=images.read(outputs[1]).header, provenance={"look": "new"})
    assert images.read_provenance(outputs[0]) == {"look": "new"}, "the facts of an earlier render must not stay"
    assert images.read_provenance(source) == {}


def test_the_plate_s_own_date_is_kept(tmp_path):
    for extension, kind in (("exr", "half"), ("tif", "uint8")):
        write_raw(tmp_path / f"d.{extension}", noise(4, 4, 3), kind, {"DateTime": "2001:02:03 04:05:06"})
        header = images.read(tmp_path / f"d.{extension}").header
        images.write(tmp_path / f"e.{extension}", noise(4, 4, 3), like=header)
        assert images.read(tmp_path / f"e.{extension}").header.attributes["DateTime"] == "2001:02:03 04:05:06"
        images.write(tmp_path / f"f.{extension}", noise(4, 4, 3))
        assert "DateTime" not in images.read(tmp_path / f"f.{extension}").header.attributes


def test_reading_and_writing_from_threads(multipart, tmp_path):
    expected = images.read(multipart).rgb

    def once(number: int) -> bytes:
        image = images.read(multipart)
        assert np.array_equal(image.rgb, expected)
        out = tmp_path / f"t{number}.exr"
        images.write(out, image.rgb, like=image.header)
        return out.read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(once, range(12)))) == 1


@pytest.mark.skipif(not SHOTS.exists(), reason="../shared is absent")
def test_real_footage():
    image = images.read(SHOTS / "lynx" / "plate.0000.jpg")
    assert image.rgb.shape == (540, 960, 3) and image.header.bit_depth == "uint8" and image.alpha is None
    matte = images.read_matte(SHOTS / "lynx" / "matte.0000.png")
    assert matte.shape == (540, 960) and 0.0 <= float(matte.min()) < float(matte.max()) <= 1.0


def test_a_float_tiff_plate_gives_float_and_its_compression(tmp_path):
    pixels = np.full((4, 5, 3), 6.0, np.float32)
    pixels[0] = -0.25
    write_raw(tmp_path / "in.tif", pixels, "float", {"compression": "lzw"})
    image = images.read(tmp_path / "in.tif")
    images.write(tmp_path / "out.tif", image.rgb, like=image.header)
    back = images.read(tmp_path / "out.tif")
    assert back.header.bit_depth == "float" and np.array_equal(back.rgb, pixels)
    assert back.header.attributes["compression"] == "lzw"
    images.write(tmp_path / "asked.tif", image.rgb, like=image.header, bit_depth="uint16")
    assert images.read(tmp_path / "asked.tif").header.bit_depth == "uint16"


@pytest.mark.parametrize(("plate", "asked", "written"), [("piz", None, "piz"), ("zips", "piz", "piz")])
def test_an_exr_keeps_its_compression_and_loses_its_tiles(tmp_path, plate, asked, written):
    pixels = oiio.ImageBuf(noise(64, 64, 3).astype(np.float32))
    how = oiio.ImageSpec()
    how.attribute("compression", plate)
    how.attribute("maketx:opaque_detect", 0)
    assert oiio.ImageBufAlgo.make_texture(oiio.MakeTxTexture, pixels, str(tmp_path / "in.exr"), how)
    image = images.read(tmp_path / "in.exr")
    images.write(tmp_path / "out.exr", image.rgb, like=image.header, compression=asked)
    header = images.read_header(tmp_path / "out.exr")
    assert header.attributes["compression"] == written and header.spec.tile_width == 0
    assert "textureformat" not in header.attributes and "wrapmodes" not in header.attributes
    # The texture is float, the frame half: half a unit in its last place.
    np.testing.assert_allclose(images.read(tmp_path / "out.exr").rgb, image.rgb, rtol=2**-11)
    assert image.header.spec.tile_width == 64


def test_what_a_format_cannot_hold_is_named(multipart):
    header = images.read_header(multipart)
    lines = lost(header, ".jpg")
    assert any("alpha is lost" in line for line in lines)
    assert any("depth.Z" in line and "deepness:Z" in line for line in lines)
    assert lost(header, ".exr") == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_header_alone_is_upright_too(tmp_path, orientation):
    path = tmp_path / "o.tif"
    write_raw(path, noise(4, 6, 3), "uint16", {"Orientation": orientation, "PixelAspectRatio": 2.0})
    whole, alone = images.read(path).header, images.read_header(path)
    assert (whole.width, whole.height) == (alone.width, alone.height) == ((6, 4) if orientation < 5 else (4, 6))
    aspect = 2.0 if orientation < 5 else 0.5
    assert float(alone.spec.get_float_attribute("PixelAspectRatio")) == pytest.approx(aspect)


def test_a_photoshop_document_without_its_picture_is_refused(tmp_path):
    resource = b"8BIM" + struct.pack(">HHI", 1057, 0, 6) + struct.pack(">I", 1) + bytes((0, 0))
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 2, 2, 8, 3)
    body = struct.pack(">I", 0) + struct.pack(">I", len(resource)) + resource + struct.pack(">I", 0)
    (tmp_path / "p.psd").write_bytes(head + body + struct.pack(">H", 0) + b"\xff" * 12)
    with pytest.raises(ImageError, match="Maximize compatibility"):
        images.read(tmp_path / "p.psd")


# What files hold beside a picture, or in its place


def test_whole_numbers_are_no_color(tmp_path: Path) -> None:
    """Identifiers called R, G, B were clipped at the end of half in silence."""
    path = tmp_path / "ids.exr"
    spec = oiio.ImageSpec(4, 3, 3, "uint")
    writer = oiio.ImageOutput.create("a.exr")
    assert writer.open(str(path), spec)
    assert writer.write_image(np.full((3, 4, 3), 4_000_000_000, np.uint32)) and writer.close()
    for read in (images.read, images.read_header):
        with pytest.raises(ImageError, match="R, G, B are 32-bit whole numbers: identifiers, and no color"):
            read(path)


def test_subsampled_chroma_is_refused_by_its_name(tmp_path: Path) -> None:
    """An EXR of Y, RY and BY as OpenEXR's own writer makes it; written by hand, because OpenImageIO cannot."""

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value

    planes = (("BY", 2), ("RY", 2), ("Y", 1))
    channels = b"".join(f"{name}\0".encode() + struct.pack("<i4x2i", 1, step, step) for name, step in planes) + b"\0"
    box = struct.pack("<4i", 0, 0, 7, 3)
    header = attribute("channels", "chlist", channels) + attribute("compression", "compression", b"\0")
    header += attribute("dataWindow", "box2i", box) + attribute("displayWindow", "box2i", box)
    header += attribute("lineOrder", "lineOrder", b"\0") + attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    header += attribute("screenWindowCenter", "v2f", bytes(8))
    header += attribute("screenWindowWidth", "float", struct.pack("<f", 1)) + b"\0"
    rows = [bytes(2 * sum(8 // step for _, step in planes if y % step == 0)) for y in range(4)]
    data, offsets, start = b"", b"", 8 + len(header) + 8 * len(rows)
    for y, row in enumerate(rows):
        offsets += struct.pack("<Q", start + len(data))
        data += struct.pack("<2i", y, len(row)) + row
    (tmp_path / "yc.exr").write_bytes(struct.pack("<2i", 20000630, 2) + header + offsets + data)
    with pytest.raises(ImageError, match=r"luminance and chroma \(Y, RY, BY\), which is not read.*write it as R, G, B"):
        images.read(tmp_path / "yc.exr")


def test_a_phone_picture_is_called_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(struct.pack(">I", 24) + b"ftypheic" + bytes(64))
    with pytest.raises(ImageError, match=r"not an image but an AVIF or HEIF picture.*export it as EXR, PNG or TIFF"):
        images.read(path)
