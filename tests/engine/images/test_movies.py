"""Movies: the frame that was asked for, in the color that it has, and one clear line where that cannot be."""

from __future__ import annotations

import struct
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from engine import images
from engine.base.errors import ImageError, InputError, OutputError
from engine.images import movies
from tests.support.numbered_movies import COUNT, encode, number_of, numbered


def encode_yuv(path: Path, planes: tuple[int, int, int], size: tuple[int, int], pix_fmt: str, **tags: int) -> Path:
    """One losslessly coded frame of one YUV value."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame(size[1], size[0], pix_fmt)
        for plane, value in zip(frame.planes, planes, strict=True):
            kind = np.uint16 if "10" in pix_fmt else np.uint8
            plane.update(np.full(plane.buffer_size // kind().itemsize, value, kind).tobytes())
        for name, value in tags.items():
            setattr(frame, name, value)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def expected_rgb(yuv: tuple[int, int, int], kr: float, kb: float, full: bool, bits: int) -> np.ndarray:
    """ITU-R BT.601/709, with ranges by BT.2100 table 9."""
    unit = 1 << (bits - 8)
    top = (1 << bits) - 1
    y, cb, cr = (float(value) for value in yuv)
    luma = y / top if full else (y - 16 * unit) / (219 * unit)
    scale = top if full else 224 * unit
    pb, pr = (cb - 128 * unit) / scale, (cr - 128 * unit) / scale
    red, blue = luma + 2 * (1 - kr) * pr, luma + 2 * (1 - kb) * pb
    return np.array([red, (luma - kr * red - kb * blue) / (1 - kr - kb), blue])


BT709, BT601, BT2020 = (0.2126, 0.0722), (0.299, 0.114), (0.2627, 0.0593)


@pytest.fixture(scope="module", params=["closed.mp4", "open.mkv", "stream.ts", "parts.avi"])
def movie(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("movie") / request.param
    if path.suffix == ".avi":
        return encode(path, codec="mpeg4", g="9", bf="2")
    return encode(path, g="9", bf="3", **({"x264-params": "open-gop=1"} if "open" in path.name else {}))


def test_sequential_reading_gives_every_frame(movie: Path) -> None:
    assert movies.frame_count(movie) == COUNT
    assert [number_of(movies.read_frame(movie, index).rgb) for index in range(COUNT)] == list(range(COUNT))


def test_random_access_equals_sequential_reading(movie: Path) -> None:
    straight = [movies.read_frame(movie, index).rgb for index in range(COUNT)]
    order = np.random.default_rng(2).permutation(COUNT).tolist()
    for index in [*order, 0, COUNT - 1, COUNT - 1, 8, 9, 10, 9]:
        assert np.array_equal(movies.read_frame(movie, index).rgb, straight[index]), index


def test_many_threads_read_one_movie(movie: Path) -> None:
    wrong: list[tuple[int, int]] = []

    def read(seed: int) -> None:
        for index in np.random.default_rng(seed).permutation(COUNT)[:15].tolist():
            found = number_of(movies.read_frame(movie, index).rgb)
            if found != index:
                wrong.append((index, found))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("index", [-1, COUNT, 1001])
def test_a_frame_that_is_not_there(tmp_path: Path, index: int) -> None:
    path = encode(tmp_path / "movie.mp4")
    with pytest.raises(ImageError, match=rf"no frame {index} in the movie: it has 40 frames, 0-39") as caught:
        movies.read_frame(path, index, frame=7)
    assert caught.value.frame == 7 and caught.value.exit_code == 2


def test_a_replaced_movie_is_read_anew(tmp_path: Path) -> None:
    path = encode(tmp_path / "movie.mp4", 10)
    assert number_of(movies.read_frame(path, 9).rgb) == 9
    encode(tmp_path / "other.mp4", 20).replace(path)
    assert movies.frame_count(path) == 20
    assert number_of(movies.read_frame(path, 15).rgb) == 15


@pytest.mark.parametrize(
    ("size", "tags", "matrix", "full"),
    [
        ((64, 96), {}, BT601, False),
        ((720, 1280), {}, BT709, False),
        ((64, 96), {"colorspace": int(Colorspace.ITU709), "color_range": int(ColorRange.MPEG)}, BT709, False),
        ((720, 1280), {"colorspace": int(Colorspace.ITU601), "color_range": int(ColorRange.MPEG)}, BT601, False),
        ((720, 1280), {"colorspace": 6, "color_range": int(ColorRange.MPEG)}, BT601, False),  # SMPTE 170M
        ((64, 96), {"colorspace": 9, "color_range": int(ColorRange.MPEG)}, BT2020, False),
        ((64, 96), {"colorspace": int(Colorspace.ITU709), "color_range": int(ColorRange.JPEG)}, BT709, True),
    ],
)
@pytest.mark.parametrize(("pix_fmt", "bits"), [("yuv420p", 8), ("yuv422p10le", 10)])
def test_color_by_matrix_and_range(
    tmp_path: Path,
    size: tuple[int, int],
    tags: dict[str, int],
    matrix: tuple[float, float],
    full: bool,
    pix_fmt: str,
    bits: int,
) -> None:
    unit = 1 << (bits - 8)
    yuv = (120 * unit + (bits - 8), 100 * unit, 160 * unit)
    image = movies.read_frame(encode_yuv(tmp_path / "color.mkv", yuv, size, pix_fmt, **tags), 0)
    assert image.rgb.shape == (*size, 3) and image.rgb.dtype == np.float32 and image.alpha is None
    assert image.header.bit_depth == ("uint8" if bits == 8 else "uint16")
    expected = expected_rgb(yuv, *matrix, full, bits)
    # 8 bits are rounded on the way to RGB, deeper ones are not.
    tolerance = 0.51 / 255 if bits == 8 else 1e-5
    assert np.abs(image.rgb[size[0] // 2, size[1] // 2] - expected).max() <= tolerance


def test_ten_bits_are_kept(tmp_path: Path) -> None:
    values = [
        movies.read_frame(encode_yuv(tmp_path / f"{y}.mkv", (y, 512, 512), (64, 96), "yuv422p10le"), 0).rgb[8, 8, 0]
        for y in (500, 501, 502)
    ]
    assert np.allclose(np.diff(values), 1 / 876, atol=0.3 / 876)


@pytest.mark.parametrize("size", [(64, 96), (63, 97), (33, 51)])
def test_written_movies_hold_their_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    pictures = [np.full((*size, 3), (200, 60 + number, 30), np.uint8) for number in range(12)]
    out = tmp_path / "out.mp4"
    movies.write_movie(iter(pictures), out, 24)
    assert movies.frame_count(out) == 12 and movies.frame_rate(out) == 24
    read = movies.read_frame(out, 11).rgb
    assert read.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    assert np.abs(read[: size[0], : size[1]] * 255 - pictures[11]).max() <= 3
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name in ("h264", "mpeg4") and stream.format.name == "yuv420p"
        assert int(stream.codec_context.colorspace) == int(Colorspace.ITU709)


def test_without_x264_movies_are_mpeg4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = av.codec.Codec

    def lacking(name: str, mode: str = "r") -> Any:
        return known("no such codec" if name == "libx264" else name, mode)

    monkeypatch.setattr(movies.av.codec, "Codec", lacking)
    movies.write_movie([numbered(number) for number in range(5)], tmp_path / "out.mp4", Fraction(30000, 1001))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert number_of(movies.read_frame(tmp_path / "out.mp4", 4).rgb) == 4
    assert movies.frame_rate(tmp_path / "out.mp4") == Fraction(30000, 1001)


def test_a_failed_movie_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"before")
    with pytest.raises(ImageError, match="a movie of 96x64 cannot hold 50x40"):
        movies.write_movie([numbered(0), np.zeros((40, 50, 3), np.uint8)], out, 24)
    assert out.read_bytes() == b"before" and [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_impossible_movies(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures"):
        movies.write_movie([], tmp_path / "out.mp4", 24)
    with pytest.raises(InputError, match="no rate"):
        movies.write_movie([numbered(0)], tmp_path / "out.mp4", 0)
    with pytest.raises(OutputError, match="folder does not exist"):
        movies.write_movie([numbered(0)], tmp_path / "nowhere" / "out.mp4", 24)


def test_extract_writes_numbered_frames(tmp_path: Path) -> None:
    path = encode(tmp_path / "movie.mp4")
    written = movies.extract(path, str(tmp_path / "f.%04d.png"), [3, 17])
    assert [out.name for out in written] == ["f.0003.png", "f.0017.png"]
    # Half a code of 8 bits would be 2e-3; readers differ in how they divide by 255.
    assert np.allclose(images.read(written[1]).rgb, movies.read_frame(path, 17).rgb, atol=1e-6, rtol=0)


def test_a_movie_without_its_end_says_how_much_is_there(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    with av.open(str(whole), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=24, options={"g": "9"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        container.mux(stream.encode(None))
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(ImageError, match=r"the movie is truncated: \d+ of 40 frames are there"):
        movies.frame_count(cut)
    assert number_of(movies.read_frame(cut, 0).rgb) == 0
    with pytest.raises(ImageError, match=r"truncated.*copy the movie again"):
        movies.read_frame(cut, 39)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such movie"),
        (b"", "the movie is empty"),
        (b"not a movie" * 200, "not a movie, or damaged"),
    ],
)
def test_what_is_no_movie(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "movie.mp4"
    if content is not None:
        path.write_bytes(content)
    for call in (movies.frame_count, movies.frame_rate, lambda item: movies.read_frame(item, 0)):
        with pytest.raises(ImageError, match=message) as caught:
            call(path)
        assert "\n" not in str(caught.value) and "movie.mp4" in str(caught.value)


def test_an_mp4_without_its_index_is_no_movie(tmp_path: Path) -> None:
    path = encode(tmp_path / "movie.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match="not a movie, or damaged"):
        movies.read_frame(path, 0)


def test_alpha_is_kept_as_it_is_stored(tmp_path: Path) -> None:
    alpha = np.tile(np.arange(96, dtype=np.uint8) * 2, (64, 1))
    for name, codec, kind in (("a.mov", "qtrle", "argb"), ("p.mov", "png", "rgba"), ("f.mkv", "ffv1", "yuva444p10le")):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=24)
            stream.width, stream.height, stream.pix_fmt = 96, 64, kind
            frame = av.VideoFrame.from_ndarray(np.dstack([numbered(3), alpha]), format="rgba")
            container.mux(stream.encode(frame.reformat(format=kind)))
            container.mux(stream.encode(None))
        image = movies.read_frame(tmp_path / name, 0)
        assert number_of(image.rgb) == 3
        assert image.alpha is not None and np.abs(image.alpha - alpha / 255).max() < 0.004
        images.write(tmp_path / "o.exr", image.rgb, like=image.header)
        written = images.read(tmp_path / "o.exr").alpha
        assert written is not None and np.abs(written - image.alpha).max() < 1e-3
    assert movies.read_frame(encode(tmp_path / "n.mp4", 1), 0).alpha is None


@pytest.mark.parametrize(
    ("matrix", "change"),
    [
        ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
        ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
        ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
    ],
)
def test_a_turned_or_mirrored_movie_is_seen_as_players_show_it(tmp_path: Path, matrix, change) -> None:
    plain = encode(tmp_path / "plain.mp4", 1)
    unit = 1 << 16
    before = struct.pack(">9i", unit, 0, 0, 0, unit, 0, 0, 0, 1 << 30)
    a, b, c, d = (value * unit for value in matrix)
    data = bytearray(plain.read_bytes())
    # The first matrix is the movie's (mvhd), the second its track's (tkhd), which is the one that players follow.
    at = data.index(before, data.index(b"tkhd"))
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(bytes(data))
    stored = movies.read_frame(plain, 0).rgb
    assert np.array_equal(movies.read_frame(turned, 0).rgb, change(stored))


def _tracks(path: Path, *sizes: tuple[int, int]) -> Path:
    with av.open(str(path), "w") as container:
        streams = []
        for height, width in sizes:
            stream = container.add_stream("mpeg4", rate=24)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for step in range(3):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(np.full((stream.height, stream.width, 3), 90, np.uint8), "rgb24")
                frame.pts, frame.time_base = step, Fraction(1, 24)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def test_of_several_pictures_in_a_movie_one_is_taken_and_said(tmp_path: Path) -> None:
    header = movies.read_frame(_tracks(tmp_path / "two.mkv", (32, 48), (64, 96)), 0).header
    assert header.remarks == ("the movie has 2 pictures (48x32, 96x64): the first, 48x32, is taken",)
    assert (header.width, header.height) == (48, 32)
    assert movies.read_frame(_tracks(tmp_path / "one.mkv", (32, 48)), 0).header.remarks == ()


def test_a_gif_is_srgb_and_not_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.gif"), "w") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16, 8, "rgb8"
        for level in (0, 255):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((8, 16, 3), level, np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    header = movies.read_frame(tmp_path / "a.gif", 1).header
    assert header.claims[0].source == "GIF files are sRGB: sRGB curve"
