"""Movies in and out through PyAV: exact frames of a movie plate, and preview MP4s.

Frames are counted from 0 in the order in which they are shown, and only where that is also their time
(:mod:`engine.images.movie_index`). A movie is decoded to display-referred RGB (:mod:`engine.images.movie_picture`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from engine import images
from engine.base.arrays import Bytes
from engine.base.errors import ImageError, InputError, OutputError
from engine.base.frames import SequencePath
from engine.base.temporaries import replacing
from engine.images.color_claims import ColorClaim
from engine.images.limits import check_file
from engine.images.movie_decoder import DamagedPicture, MovieDecoder, WrongOrder
from engine.images.movie_file import open_movie, picture_stream, unreadable
from engine.images.movie_index import MovieIndex, counted_index, index_of
from engine.images.movie_picture import StreamFacts, picture_image

__all__ = ["extract", "frame_count", "frame_rate", "read_frame", "write_movie"]

# Decoders kept open between calls, so that frames read in order are decoded once.
_IDLE_DECODERS = 4
_KNOWN_MOVIES = 32

_lock = threading.Lock()
_indexes: OrderedDict[tuple[str, int, int], MovieIndex] = OrderedDict()
_idle: list[tuple[tuple[str, int, int], MovieDecoder]] = []


def frame_count(path: Path | str) -> int:
    """How many frames a movie shows.

    Raises:
        ImageError: missing, not a movie, truncated, or its pictures are not one step from another.
    """
    path = Path(path)
    where = _index(path, _identity(path))
    wrong = where.incomplete()
    if wrong is not None:
        raise wrong
    return where.count


def frame_rate(path: Path | str) -> Fraction:
    """Frames per second; 24 where the movie does not say.

    Raises:
        ImageError: missing or not a movie.
    """
    path = Path(path)
    _identity(path)
    container = open_movie(path)
    try:
        rate = picture_stream(container, path).average_rate
        return Fraction(rate) if rate else Fraction(24)
    finally:
        container.close()


def read_frame(path: Path | str, index: int, *, frame: int | None = None) -> images.Image:
    """Decodes one frame, whatever was read before. Safe to call from several threads.

    Args:
        path: the movie.
        index: from 0, in display order.
        frame: the plate's frame number, for messages only.

    Returns:
        Display-referred RGB in 0..1 and its alpha, upright and not mirrored; 8-bit movies in steps of 1/255. Alpha
            is taken as not multiplied into the color: no movie says which it is.

    Raises:
        ImageError: missing, not a movie, no such frame, damaged there or where it is built on, or after a place from
            which on it cannot be told which frame is meant.
    """
    path = Path(path)
    number = index if frame is None else frame
    identity = _identity(path, number)
    where = _index(path, identity, number)
    try:
        return _read(path, index, number, identity, where)
    except WrongOrder as error:
        if where.counted or where.doubt:
            what = "the movie's pictures come in another order than it says"
            raise ImageError(what, frame=number, path=path, remedy="copy it again, or transcode it") from error
    # Its packets' times are in doubt, its pictures are not.
    _index(path, identity, number, counted_index)
    return read_frame(path, index, frame=frame)


def _read(path: Path, index: int, number: int, identity: tuple[str, int, int], where: MovieIndex) -> images.Image:
    refusal = where.refusal(index, number)
    if refusal is not None:
        raise refusal
    decoder = _borrow(path, identity, index)
    try:
        picture = decoder.at(index, where)
        image = picture_image(picture, StreamFacts.of(decoder.stream, decoder.said), where.remarks)
    except DamagedPicture as error:
        _give_back(identity, decoder)
        there = "at this frame" if error.frame == index else f"at frame {error.frame}, which this one is built on"
        raise ImageError(
            f"the movie is damaged {there}", frame=number, path=path, remedy="copy it again, or transcode it"
        ) from error
    except FFmpegError as error:
        decoder.close()
        raise unreadable(path, error, number) from error
    except ImageError as error:
        decoder.close()
        error.frame, error.path = number, path
        raise
    except BaseException:
        decoder.close()
        raise
    _give_back(identity, decoder)
    return image


def extract(path: Path | str, out_pattern: str, frames: Iterable[int]) -> list[Path]:
    """Writes frames of a movie as images, frame ``n`` to the pattern's file ``n``, and returns their paths.

    The images say of their color what the movie says.

    Raises:
        ImageError: as :func:`read_frame`.
        OutputError: an image cannot be written.
    """
    sequence = SequencePath.parse(out_pattern)
    written = []
    for number in frames:
        image = read_frame(path, number)
        out = sequence.path(number)
        claim = next(iter(image.header.claims), ColorClaim("a movie that does not say"))
        images.write(out, image.rgb, like=image.header, color=claim)
        written.append(out)
    return written


def write_movie(pictures: Iterable[Bytes], out: Path, fps: float | Fraction) -> None:
    """Encodes a preview MP4: H.264, or MPEG-4 where PyAV lacks x264; 4:2:0, BT.709, limited range.

    Args:
        pictures: (H, W, 3) uint8 sRGB, all of one size; odd sizes grow by one repeated row or column.
        out: where the movie goes; written whole or not at all.
        fps: frames per second.

    Raises:
        InputError: no pictures, or an impossible rate.
        ImageError: pictures of different sizes.
        OutputError: the movie cannot be written.
    """
    iterator = iter(pictures)
    first = next(iterator, None)
    if first is None:
        raise InputError(f"no pictures to write to {out}")
    rate = Fraction(fps).limit_denominator(100_000)
    if rate <= 0:
        raise InputError(f"{fps} frames per second is no rate")
    with replacing(out) as temporary:
        try:
            _encode(chain([first], iterator), first.shape, temporary, rate, out)
        except FFmpegError as error:
            raise OutputError(f"cannot encode the movie: {error.strerror}", path=out) from error


def _encode(pictures: Iterable[Bytes], shape: tuple[int, ...], temporary: Path, rate: Fraction, out: Path) -> None:
    codec, options = _encoder()
    pad = ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0))
    to_yuv = VideoReformatter()
    with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = shape[1] + pad[1][1], shape[0] + pad[0][1]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = int(Colorspace.ITU709), int(ColorRange.MPEG)
        context.color_primaries, context.color_trc = 1, 1
        for picture in pictures:
            if picture.shape != shape:
                raise ImageError(f"a movie of {shape[1]}x{shape[0]} cannot hold {picture.shape[1]}x{picture.shape[0]}")
            even = np.ascontiguousarray(np.pad(picture, pad, mode="edge"))
            frame = to_yuv.reformat(
                av.VideoFrame.from_ndarray(even, format="rgb24"),
                format="yuv420p",
                interpolation=Interpolation.BICUBIC,
                src_color_range=ColorRange.JPEG,
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts = None
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _encoder() -> tuple[str, dict[str, str]]:
    try:
        av.codec.Codec("libx264", "w")
    except ValueError:
        return "mpeg4", {"qscale": "2"}
    return "libx264", {"crf": "16", "preset": "medium"}


def _identity(path: Path, frame: int | None = None) -> tuple[str, int, int]:
    """Changes when the file does."""
    check_file(path, frame, what="movie")
    try:
        status = path.stat()
    except OSError as error:
        raise ImageError("there is no such movie", frame=frame, path=path, remedy="check the path") from error
    return str(path), status.st_size, status.st_mtime_ns


def _index(
    path: Path,
    identity: tuple[str, int, int],
    frame: int | None = None,
    make: Callable[[Path, int | None], MovieIndex] = index_of,
) -> MovieIndex:
    with _lock:
        known = _indexes.get(identity)
    if known is not None and (known.counted or make is index_of):
        return known
    found = make(path, frame)
    with _lock:
        _indexes[identity] = found
        while len(_indexes) > _KNOWN_MOVIES:
            _indexes.popitem(last=False)
    return found


def _borrow(path: Path, identity: tuple[str, int, int], index: int) -> MovieDecoder:
    """The idle decoder that stands closest before the frame, or a new one."""
    with _lock:
        fitting = [entry for entry in _idle if entry[0] == identity and entry[1].first <= index]
        if fitting:
            best = max(fitting, key=lambda entry: entry[1].first)
            _idle.remove(best)
            return best[1]
    return MovieDecoder(path)


def _give_back(identity: tuple[str, int, int], decoder: MovieDecoder) -> None:
    with _lock:
        _idle.append((identity, decoder))
        old = _idle.pop(0) if len(_idle) > _IDLE_DECODERS else None
    if old is not None:
        old[1].close()
