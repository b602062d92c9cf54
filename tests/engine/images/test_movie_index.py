"""Which picture is which frame: lost and damaged pictures, wrong tables, rates that vary, and what is no movie.

Every picture spells its number. What is read is that number's picture, or refused in one line.
"""

from __future__ import annotations

import os
import random
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.base.errors import ImageError, InputError
from engine.base.frames import SequencePath
from engine.images import movies
from tests.support.numbered_movies import COUNT, encode, number_of, numbered, remux

RATE = Fraction(24)


def read_all(path: Path, shuffled: int | None = None) -> dict[int, int | str]:
    """Of each frame its number, or why it is refused."""
    found: dict[int, int | str] = {}
    order = list(range(COUNT))
    if shuffled is not None:
        random.Random(shuffled).shuffle(order)
    for frame in order:
        try:
            found[frame] = number_of(movies.read_frame(path, frame).rgb)
        except ImageError as error:
            assert error.exit_code == 2 and error.frame == frame and error.remedy and "\n" not in str(error)
            assert path.name in str(error)
            found[frame] = str(error)
    return found


def given(path: Path) -> list[int]:
    """The frames that are given, in both orders of asking; each is the one that was asked for."""
    straight, shuffled = read_all(path), read_all(path, 5)
    right = [frame for frame in range(COUNT) if straight[frame] == frame]
    assert [frame for frame in range(COUNT) if isinstance(straight[frame], int)] == right
    assert [frame for frame in range(COUNT) if isinstance(shuffled[frame], int)] == right
    return right


def timed(path: Path, times: Iterable[Fraction], base: Fraction = Fraction(1, 12000)) -> Path:
    """A movie whose pictures are shown at these seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=24, options={"g": "9", "bf": "2", "sc_threshold": "0", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = stream.time_base = base
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = round(time / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


KINDS = {
    "closed.mp4": ("libx264", {"bf": "2"}),
    "open.mkv": ("libx264", {"bf": "3", "x264-params": "open-gop=1"}),
    "refresh.ts": ("libx264", {"x264-params": "intra-refresh=1"}),
    "stream.ts": ("libx264", {"bf": "2"}),
    "parts.avi": ("mpeg4", {"bf": "2"}),
    "packed.avi": ("libx264", {"bf": "2"}),
    "xdcam.mxf": ("mpeg2video", {"bf": "2"}),
    "program.mpg": ("mpeg2video", {"bf": "2"}),
    "flash.flv": ("libx264", {"bf": "2"}),
    "hidden.webm": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "b:v": "400k"}),
    "still.mov": ("mjpeg", {}),
    "fields.mp4": ("libx264", {"x264-params": "interlaced=1:tff=1"}),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Sound movies by their names in ``KINDS``, each made once."""
    folder = tmp_path_factory.mktemp("movies")

    def made(name: str) -> Path:
        codec, options = KINDS[name]
        path = folder / name
        return path if path.exists() else encode(path, codec=codec, g="9", **options)

    return made


@pytest.mark.parametrize("name", KINDS)
def test_a_sound_movie_gives_every_frame_in_any_order(whole, name: str) -> None:
    assert movies.frame_count(whole(name)) == COUNT
    assert given(whole(name)) == list(range(COUNT))


@pytest.mark.parametrize("name", ["packed.avi", "open.mkv"])
def test_many_threads_read_what_is_hard_to_seek(whole, name: str) -> None:
    wrong: list[tuple[int, int]] = []

    def read(seed: int) -> None:
        for frame in np.random.default_rng(seed).permutation(COUNT)[:12].tolist():
            found = number_of(movies.read_frame(whole(name), frame).rgb)
            if found != frame:
                wrong.append((frame, found))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("name", ["closed.mp4", "open.mkv", "stream.ts", "parts.avi", "packed.avi", "flash.flv"])
@pytest.mark.parametrize("lost", [(14,), (20, 21, 22), tuple(range(18, 27))])
def test_lost_packets_never_shift_a_frame(whole, tmp_path: Path, name: str, lost: tuple[int, ...]) -> None:
    path = remux(whole(name), tmp_path / name, drop=lost)
    frames = given(path)
    # What comes before the group of pictures with the loss is served, and nothing after it.
    assert set(range(9)) <= set(frames) and max(frames) <= 27
    with pytest.raises(ImageError, match=r"pictures are lost or the rate varies.*ffmpeg -i \S+ -r 24 -c:v prores_ks"):
        movies.frame_count(path)


def test_a_lost_start_is_refused_or_said(whole, tmp_path: Path) -> None:
    cut = remux(whole("closed.mp4"), tmp_path / "cut.mkv", drop=range(4))
    assert given(cut) == []
    assert "does not begin with a keyframe" in str(read_all(cut)[0])
    # A whole group of pictures is gone: the first that is there is frame 0, which is said.
    late = remux(whole("closed.mp4"), tmp_path / "late.mkv", drop=range(9))
    image = movies.read_frame(late, 0)
    assert number_of(image.rgb) == 9
    assert "first picture is shown 0.375 s after its start, 9 frames at 24" in " ".join(image.header.remarks)
    assert movies.read_frame(whole("closed.mp4"), 0).header.remarks == ()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("times", "frames"),
    [
        ([n / RATE for n in range(COUNT)], range(COUNT)),
        ([Fraction(n * 20 + n // 3, 600) for n in range(COUNT)], range(COUNT)),  # a phone's clock
        ([Fraction(n // 2 * 5 + n % 2 * 2, 60) for n in range(COUNT)], range(COUNT)),  # film in steps of 2 and 3 fields
        ([2 + n / RATE + Fraction((-4, 0, 4)[n % 3], 1000) for n in range(COUNT)], range(COUNT)),
        ([(n + (n >= 20)) / RATE for n in range(COUNT)], range(19)),  # one that was never there
        ([(n if n < 20 else 2 * n - 20) / RATE for n in range(COUNT)], range(19)),
        ([n / RATE if n < 20 else 20 / RATE + Fraction(n - 20, 30) for n in range(COUNT)], range(19)),
        ([Fraction(n * n, 1000) for n in range(COUNT)], range(1)),
    ],
)
def test_rates_that_vary_are_refused_where_number_and_time_part(
    tmp_path: Path, suffix: str, times: Sequence[Fraction], frames: range
) -> None:
    path = timed(tmp_path / f"rate.{suffix}", times)
    assert given(path) == list(frames)
    if len(frames) < COUNT:
        with pytest.raises(ImageError, match=r"from frame \d+ on frames cannot be told.*rate varies"):
            movies.frame_count(path)
    else:
        assert movies.frame_count(path) == COUNT


def test_two_pictures_at_one_time_are_refused(tmp_path: Path) -> None:
    plain = encode(tmp_path / "plain.mkv", g="9", bf="0")
    before = [0]

    def again(number: int, packet: av.Packet) -> None:
        if number == 20:
            packet.pts = packet.dts = before[0]
        before[0] = packet.pts or 0

    path = remux(plain, tmp_path / "twice.mkv", change=again)
    assert given(path) in (list(range(18)), list(range(19)))


def boxes(data: bytes, start: int, end: int) -> dict[bytes, tuple[int, int]]:
    """First byte and length of the boxes of an MP4 (ISO/IEC 14496-12)."""
    found = {}
    while start + 8 <= end:
        length, kind = struct.unpack(">I4s", data[start : start + 8])
        found[kind] = start, length
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            found.update(boxes(data, start + 8, start + length))
        start += max(8, length)
    return found


@pytest.mark.parametrize(
    ("kind", "at", "value", "frames"),
    [
        (b"ctts", 4, b"free", 0),  # no table from the order of decoding to that of showing, and an edit list
        (b"edts", 4, b"free", COUNT),
        (b"stss", 4, b"free", COUNT),  # every picture seems to be a keyframe
        (b"stss", 16, struct.pack(">3I", 2, 5, 11), COUNT),  # others are
        (b"stsz", 100, struct.pack(">I", 5), 18),  # one packet too short
        (b"stsz", 100, struct.pack(">I", 0), 18),
        (b"stco", 16, struct.pack(">I", 7), 0),  # packets lie elsewhere
    ],
)
def test_a_damaged_index_never_shifts_a_frame(
    whole, tmp_path: Path, kind: bytes, at: int, value: bytes, frames: int
) -> None:
    data = bytearray(whole("closed.mp4").read_bytes())
    start, length = boxes(bytes(data), 0, len(data))[kind]
    assert length > at
    data[start + at : start + at + len(value)] = value
    path = tmp_path / "damaged.mp4"
    path.write_bytes(bytes(data))
    assert len(given(path)) == pytest.approx(frames, abs=2 if 0 < frames < COUNT else 0)


@pytest.mark.parametrize("name", ["closed.mp4", "open.mkv", "stream.ts", "parts.avi", "packed.avi", "flash.flv"])
@pytest.mark.parametrize("part", [0.3, 0.55, 0.8])
def test_holes_never_shift_a_frame(whole, tmp_path: Path, name: str, part: float) -> None:
    """Near the hole pictures may be damaged in a way that decodes; all others are themselves, or refused."""
    data = whole(name).read_bytes()
    at = int(len(data) * part)
    with av.open(str(whole(name))) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        places = [packet.pos for packet in packets]
    first = max((number for number, place in enumerate(places) if place <= at), default=0)
    last = max((number for number, place in enumerate(places) if place < at + 376), default=0)
    near = set(range((first // 9 - 1) * 9, (last // 9 + 2) * 9))
    for number, damaged in enumerate((data[:at] + data[at + 376 :], data[:at] + bytes(376) + data[at + 376 :])):
        path = tmp_path / f"{number}{name}"
        path.write_bytes(damaged)
        for found in (read_all(path), read_all(path, 5)):
            wrong = {frame for frame, read in found.items() if isinstance(read, int) and read != frame}
            assert wrong <= near, (found, near)


def test_a_damaged_picture_takes_with_it_what_is_built_on_it(whole, tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp4"
    data = bytearray(whole("closed.mp4").read_bytes())
    with av.open(str(whole("closed.mp4"))) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    at, size = packets[19]  # the second picture of the third group, which all others of it are built on
    data[at + 4 : at + size] = bytes(size - 4)
    path.write_bytes(bytes(data))
    frames = given(path)
    assert set(range(19)) <= set(frames) and set(range(27, COUNT)) <= set(frames)
    assert {20, 21, 22, 23, 24, 25, 26}.isdisjoint(frames)
    assert "which this one is built on" in str(read_all(path)[26])


@pytest.mark.parametrize(("name", "part"), [("open.mkv", 0.6), ("closed.mp4", 0.9), ("xdcam.mxf", 0.7)])
def test_a_movie_without_its_end_is_not_taken_for_a_shorter_one(whole, tmp_path: Path, name: str, part: float) -> None:
    data = whole(name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ImageError):
        movies.frame_count(path)
    assert len(given(path)) < COUNT


def test_sound_first_and_several_streams(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48000)
        stream = container.add_stream("libx264", rate=24, options={"g": "9"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(80):
            samples = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            samples.sample_rate, samples.pts = 48000, number * 1024
            container.mux(sound.encode(samples))
        for number in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        container.mux([*sound.encode(None), *stream.encode(None)])
    assert given(path) == list(range(COUNT))
    with av.open(str(tmp_path / "two.mkv"), "w") as container:
        streams = [container.add_stream("ffv1", rate=24) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number, stream in enumerate(streams):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    image = movies.read_frame(tmp_path / "two.mkv", 0)
    assert number_of(image.rgb) == 0
    assert image.header.remarks == ("the movie has 2 pictures (96x64, 96x64): the first, 96x64, is taken",)


def test_a_cover_is_no_movie(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48000)
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        samples = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        samples.sample_rate, samples.pts = 48000, 0
        container.mux(cover.encode(av.VideoFrame.from_ndarray(numbered(3), format="rgb24")))
        container.mux([*cover.encode(None), *sound.encode(samples), *sound.encode(None)])
    with pytest.raises(ImageError, match="no picture in the movie, only a cover"):
        movies.read_frame(path, 0)


SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\n{movie}\n", "an M3U playlist"),
        ("\ufeff#EXTM3U\n{movie}\n", "an M3U playlist"),
        ("ffconcat version 1.0\nfile {movie}\n", "a list of files"),
        ("file '{movie}'\n", "a list of files"),
        (SDP, "a description of a stream"),
        ("[playlist]\nFile1={movie}\n", "a PLS playlist"),
        ('<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>', "a playlist in XML"),
        ("<asx version='3.0'><ref href='http://127.0.0.1/a'/></asx>", "an ASX playlist"),
    ],
)
@pytest.mark.parametrize("name", ["list.mp4", "list.mov", "list.ts"])
def test_playlists_are_not_movies(whole, tmp_path: Path, text: str, kind: str, name: str) -> None:
    path = tmp_path / name
    path.write_text(text.replace("{movie}", str(whole("stream.ts"))), encoding="utf-8")
    for call in (movies.frame_count, movies.frame_rate, lambda item: movies.read_frame(item, 0)):
        with pytest.raises(ImageError, match=f"{kind}.*not a movie"):
            call(path)


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat", "list.sdp", "list.txt"])
def test_names_of_playlists_are_no_plates(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("#EXTM3U\nmovie.ts\n", encoding="utf-8")
    with pytest.raises(InputError, match="names no frame number"):
        SequencePath.parse(str(path))


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:1/a.mp4", "rtsp://host/a.mov", "FILE:///a.mp4", "s3://b/a.%04d.exr"]
)
def test_addresses_are_no_plates(text: str) -> None:
    with pytest.raises(InputError, match="is an address, not a file; fetch it first"):
        SequencePath.parse(text)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
@pytest.mark.parametrize(
    "name", ["concat:a.mp4|b.mp4", "http:a.mp4", "x%03d.mp4", "a\udcff.mp4", "-i.mp4", "pipe:0.mp4"]
)
def test_a_file_is_read_whatever_its_name_means_elsewhere(
    whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path / name))).write_bytes(whole("closed.mp4").read_bytes())
    except OSError:
        pytest.skip("this disk takes no such name")
    monkeypatch.chdir(tmp_path)
    assert movies.frame_count(name) == COUNT
    assert [number_of(movies.read_frame(name, frame).rgb) for frame in (30, 3)] == [30, 3]


def test_a_bare_stream_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = encode(tmp_path / "bare $(x).h264", g="9", bf="2")
    with pytest.raises(
        ImageError, match=r"tells when its pictures are shown.*if it is a bare stream: ffmpeg -i"
    ) as caught:
        movies.frame_count(path)
    assert ("'" in caught.value.remedy) and '"' not in caught.value.remedy


def test_gifs_with_and_without_one_rate(tmp_path: Path) -> None:
    for name, pause, frames in (("even.gif", 0, range(COUNT)), ("pause.gif", 20, range(1))):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("gif", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb8"
            stream.codec_context.time_base = Fraction(1, 100)
            for number in range(COUNT):
                frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24").reformat(format="rgb8")
                frame.pts, frame.time_base = 4 * number + pause * (number > 10), Fraction(1, 100)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        assert given(tmp_path / name) == list(frames)
