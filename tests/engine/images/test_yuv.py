"""YUV by what a movie says: matrix and range, gray, and matrices that are not read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from engine.base.errors import ImageError
from engine.color.assignment import assign
from engine.color.config import ColorConfig
from engine.images import movies
from tests.support.color_files import yuv_movie


@pytest.fixture(scope="module")
def config() -> ColorConfig:
    return ColorConfig.active("ocio://default")


def pixel(path) -> np.ndarray:
    return movies.read_frame(path, 0).rgb[0, 0]


@pytest.mark.parametrize(("pix_fmt", "white"), [("gray", 235), ("gray10le", 940)])
def test_gray_of_limited_range(tmp_path, pix_fmt, white):
    """It was read as full range: white at 0.92, black at 0.06."""
    limited = yuv_movie(tmp_path / "a.mkv", (white,), pix_fmt, color_range=1)
    np.testing.assert_allclose(pixel(limited), 1.0, atol=1e-6)
    full = yuv_movie(tmp_path / "b.mkv", (white,), pix_fmt, color_range=2)
    np.testing.assert_allclose(pixel(full), white / ((1 << (10 if "10" in pix_fmt else 8)) - 1), atol=1e-6)


def test_ycgco(tmp_path):
    """ITU-T H.273, equations 30 to 33: R = Y - Cg + Co, G = Y + Cg, B = Y - Cg - Co."""
    path = yuv_movie(tmp_path / "a.mkv", (150, 100, 160), "yuv444p", colorspace=8, color_range=2)
    np.testing.assert_allclose(pixel(path) * 255, (150 + 28 + 32, 150 - 28, 150 + 28 - 32), atol=0.51)


def test_a_matrix_that_is_not_said_follows_the_primaries(tmp_path):
    """BT.2020 with BT.709's matrix is up to 10 codes of 255 off in saturated colors."""
    planes, hdr = (600, 400, 700), {"color_primaries": 9, "color_trc": 16, "color_range": 1}
    silent = yuv_movie(tmp_path / "a.mkv", planes, "yuv444p10le", **hdr)
    said = yuv_movie(tmp_path / "b.mkv", planes, "yuv444p10le", colorspace=9, **hdr)
    np.testing.assert_allclose(pixel(silent), pixel(said), atol=1e-6)


@pytest.mark.parametrize(("matrix", "name"), [(14, "ICtCp"), (10, "constant luminance")])
def test_matrices_that_are_not_read(tmp_path, matrix, name):
    """Each was "not a movie, or damaged; copy it again"."""
    path = yuv_movie(tmp_path / "a.mkv", (600, 400, 700), "yuv420p10le", colorspace=matrix, color_range=1)
    with pytest.raises(ImageError, match=name) as caught:
        movies.read_frame(path, 0, frame=12)
    assert caught.value.frame == 12 and caught.value.path == path and "transcode" in caught.value.remedy


@pytest.mark.parametrize(
    ("tags", "space"),
    [
        ({"color_primaries": 6}, "BT.1886, SMPTE 170M"),
        ({"color_primaries": 5, "color_trc": 6}, "BT.1886, BT.470 B/G"),
        ({"color_primaries": 1, "color_trc": 11}, "Rec.1886 Rec.709 - Display"),
        ({"color_primaries": 9, "color_trc": 14}, "BT.1886, Rec.2020"),
        ({"color_primaries": 9, "color_trc": 18, "colorspace": 9}, "HLG, Rec.2020"),
        ({"color_primaries": 12, "color_trc": 13}, "sRGB Encoded P3-D65"),
    ],
)
def test_tags(config, tmp_path, tags, space):
    path = yuv_movie(tmp_path / "a.mkv", (150, 100, 160), "yuv420p", **tags)
    found = assign(config, movies.read_frame(path, 0).header, path)
    assert (found.colorspace, found.source, found.doubt) == (space, "file", "")


def test_tags_that_nothing_is_known_of(config, tmp_path):
    """They were "the movie does not say", which is false."""
    path = yuv_movie(tmp_path / "a.mkv", (150, 100, 160), "yuv420p", color_primaries=10, color_trc=17)
    found = assign(config, movies.read_frame(path, 0).header, path)
    assert found.source == "custom" and "primaries 10" in found.doubt and "does not say" not in found.why


def retagged(source: Path, out: Path, **tags: int) -> Path:
    """The same stream in a container that says something else, as tools that patch tags leave it."""
    with av.open(str(source)) as given, av.open(str(out), "w") as container:
        stream = given.streams.video[0]
        copy = container.add_stream_from_template(stream)
        for name, value in tags.items():
            setattr(copy.codec_context, name, value)
        for packet in given.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                container.mux(packet)
    return out


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_a_container_comes_before_its_stream(config, tmp_path, suffix):
    """ISO/IEC 14496-12, 12.1.5: "this box takes precedence, and over-rides the information in the bitstream"."""
    tags = {"color_primaries": 1, "color_trc": 1, "colorspace": 1}
    stream = yuv_movie(tmp_path / "a.mp4", (150, 100, 160), "yuv420p", codec="libx264", **tags)
    hdr = {"color_primaries": 9, "color_trc": 16, "colorspace": 9}
    path = retagged(stream, tmp_path / f"b{suffix}", **hdr)
    image = movies.read_frame(path, 0)
    found = assign(config, image.header, path)
    assert found.colorspace == "Rec.2100-PQ - Display"
    said = "the movie's container: PQ, Rec.2020, which comes before its stream: BT.1886 (Rec.1886 Rec.709 - Display)"
    assert found.why == said
    # Its matrix, too: BT.2020's shares of red and blue.
    luma, blue, red = (150 - 16) / 219, (100 - 128) / 224, (160 - 128) / 224
    wanted = [luma + 2 * (1 - 0.2627) * red, luma + 2 * (1 - 0.0593) * blue]
    np.testing.assert_allclose(image.rgb[0, 0, [0, 2]], wanted, atol=0.003)
    assert assign(config, movies.read_frame(stream, 0).header, stream).why == "the movie's tags: BT.1886"
