"""Movies in and out through PyAV: exact frames of a movie plate, and preview MP4s.

Frames are counted from 0 in the order in which they are shown. A movie is decoded to display-referred RGB by the
matrix and range that its stream declares; untagged streams are taken as BT.709 from 720 lines on and BT.601 below,
limited range, as players do.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio
from av.error import FFmpegError
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from engine import images
from engine.base.arrays import Bytes
from engine.base.errors import ImageError, InputError, OutputError
from engine.base.frames import SequencePath
from engine.base.temporaries import replacing
from engine.images.color_claims import ColorClaim, claims_of_cicp
from engine.images.header import Header, Part
from engine.images.layers import ColorChannels
from engine.images.limits import check_bytes, check_file
from engine.images.yuv import from_gray, from_yuv, is_gray, plane_codes

__all__ = ["extract", "frame_count", "frame_rate", "read_frame", "write_movie"]

log = logging.getLogger(__name__)


# Decoders kept open between calls, so that frames read in order are decoded once.
_IDLE_DECODERS = 4
_KNOWN_MOVIES = 32
# What is not specified, by attribute of PyAV.
_TAGS = {"color_primaries": {0, 2}, "color_trc": {0, 2}, "colorspace": {2}, "color_range": {0}}
_DECODED_BYTES = 30  # of a pixel: planes of 16 bits, and R, G and B as float32 beside what they are made of
_PICTURE_CODECS = {"gif", "apng"}
_REC709_PRIMARIES, _SRGB_TRANSFER = 1, 13  # of ITU-T H.273, tables 2 and 3


@dataclass(frozen=True)
class _Index:
    """Where a movie's frames are, from its packets; nothing is decoded for it."""

    pts: tuple[int, ...]  # of each shown frame, in display order; empty where packets carry no time
    keys: tuple[int, ...]  # pts at which decoding can start
    count: int  # frames that can be read
    declared: int  # frames the container promises, 0 where it does not say

    @cached_property
    def varies(self) -> bool:
        """Whether one frame lasts twice as long as another, or longer; rounded times differ by less."""
        steps = [after - before for before, after in pairwise(self.pts)]
        return bool(steps) and max(steps) >= 2 * min(steps)


class _Decoder:
    """One open movie and how far it is decoded. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.container = _open(path)
        self.stream = _picture_stream(self.container)
        # Before anything is decoded these are the container's; from then on they are those of the stream.
        self.said = _tags(self.stream.codec_context)
        self.stream.thread_type = "AUTO"
        self.frames: Iterator[Any] = self.container.decode(self.stream)
        self.position = 0  # index of the frame that comes next

    def close(self) -> None:
        self.container.close()

    def at(self, index: int, where: _Index) -> Any:
        """The decoded frame ``index``, or None where the stream does not deliver it."""
        if not where.pts:
            return self._counted(index)
        wanted = where.pts[index]
        key = max((pts for pts in where.keys if pts <= wanted), default=None)
        ahead = self.position <= index and (key is None or (self.position > 0 and where.pts[self.position - 1] >= key))
        if not ahead and key is not None and self.position != index:
            self.container.seek(key, stream=self.stream, backward=True)
            self.frames = self.container.decode(self.stream)
        for frame in self.frames:
            if frame.pts is None or frame.pts < wanted:
                continue
            if frame.pts > wanted:
                break
            self.position = index + 1
            return frame
        return None

    def _counted(self, index: int) -> Any:
        for frame in self.frames:
            self.position += 1
            if self.position == index + 1:
                return frame
        return None


_lock = threading.Lock()
_indexes: OrderedDict[tuple[str, int, int], _Index] = OrderedDict()
_idle: list[tuple[tuple[str, int, int], _Decoder]] = []


def frame_count(path: Path | str) -> int:
    """How many frames a movie shows.

    Raises:
        ImageError: missing, not a movie, or truncated.
    """
    path = Path(path)
    where = _index(path, _identity(path))
    if where.count < where.declared:
        raise ImageError(
            f"the movie is truncated: {where.count} of {where.declared} frames are there",
            path=path,
            remedy="copy it again, or give a frame range within it",
        )
    return where.count


def frame_rate(path: Path | str) -> Fraction:
    """Frames per second; 24 where the movie does not say.

    Raises:
        ImageError: missing or not a movie.
    """
    path = Path(path)
    _identity(path)
    container = _open(path)
    try:
        rate = _picture_stream(container).average_rate
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
        ImageError: missing, not a movie, no such frame, or damaged there.
    """
    path = Path(path)
    number = index if frame is None else frame
    identity = _identity(path, number)
    where = _index(path, identity, number)
    if not 0 <= index < where.count:
        lost = 0 <= index < where.declared
        raise ImageError(
            f"the movie is truncated: {where.count} of {where.declared} frames are there"
            if lost
            else f"no frame {index} in the movie: it has {where.count} frames, 0-{where.count - 1}",
            frame=number,
            path=path,
            remedy="copy the movie again" if lost else "give frames within it",
        )
    decoder = _borrow(path, identity, index)
    try:
        found = decoder.at(index, where)
        if found is None:
            # A wrong seek table: the start is the one place that needs none.
            decoder.close()
            decoder = _Decoder(path)
            found = decoder.at(index, _Index(where.pts, (), where.count, where.declared))
        if found is None or found.is_corrupt:
            raise ImageError(
                "the movie is damaged at this frame", frame=number, path=path, remedy="copy it again, or transcode it"
            )
        image = _image(found, decoder.stream, decoder.said, where.varies)
    except FFmpegError as error:
        decoder.close()
        raise _unreadable(path, error, number) from error
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


def _image(frame: Any, stream: Any, said: dict[str, int], varies: bool) -> images.Image:
    """A decoded frame as RGB by its matrix and range, upright, with its alpha, and what its movie says of it.

    Where ``said``, the container's tags, and the stream's differ, the container's count (ISO/IEC 14496-12, 12.1.5).
    """
    claims = _claims(frame, stream, said)
    has_alpha = any(component.is_alpha for component in frame.format.components)
    bits = max(component.bits for component in frame.format.components)
    top = np.float32(255 if bits <= 8 else 65535)
    if is_gray(frame):
        rgb, alpha = from_gray(frame, bits), None
    elif frame.format.is_rgb or len(frame.format.components) < 3:
        kinds = ("rgba", "rgba64le") if has_alpha else ("rgb24", "rgb48le")
        stored = frame.reformat(format=kinds[bits > 8]).to_ndarray().astype(np.float32) / top
        rgb, alpha = stored[..., :3], stored[..., 3] if has_alpha else None
    else:
        rgb = from_yuv(frame, bits)
        alpha = plane_codes(frame.planes[3], bits) / np.float32((1 << bits) - 1) if has_alpha else None
    if bits <= 8:
        rgb = np.rint(rgb * 255) / np.float32(255)
    rgb = _upright(frame, rgb)
    if alpha is not None:
        alpha = _upright(frame, alpha)
    spec = oiio.ImageSpec(rgb.shape[1], rgb.shape[0], 3, "uint8" if bits <= 8 else "uint16")
    spec.attribute("oiio:BitsPerSample", bits)
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if aspect and aspect != 1:
        turned = abs(_display_matrix(frame)[0]) < 0.5
        spec.attribute("PixelAspectRatio", float(1 / aspect if turned else aspect))
    remarks = []
    if _is_turned(frame):
        remarks.append("the movie is stored turned or mirrored: it is taken, and written, as players show it")
    tracks = [each for each in stream.container.streams.video if not each.disposition & Disposition.attached_pic]
    if len(tracks) > 1:
        sizes = ", ".join(f"{each.width}x{each.height}" for each in tracks)
        remarks.append(f"the movie has {len(tracks)} pictures ({sizes}): {stream.width}x{stream.height} is taken")
    if varies:
        remarks.append("the movie's frames last differently long: they are counted, and their times are lost")
    if frame.interlaced_frame:
        remarks.append("the movie is interlaced: its fields are taken as they are woven into frames, not separated")
    if frame.side_data.get("STEREO3D") is not None:
        remarks.append("the movie is stereo: both views are taken as the one picture that they are packed into")
    color = ColorChannels(("R", "G", "B"), None if alpha is None else "A")
    header = Header((Part(spec, {}),), 0, color, alpha, "movie", False, claims, tuple(remarks))
    return images.Image(rgb, alpha, header, 0, None)


def _display_matrix(frame: Any) -> tuple[float, float, float, float]:
    """a, b, c, d of ISO/IEC 14496-12, 6.2.2: a stored (x, y) is shown at (a x + c y, b x + d y)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1.0, 0.0, 0.0, 1.0
    a, b, _, c, d, *_ = np.frombuffer(memoryview(data), np.dtype("i4"))[:9].astype(np.float64) / 65536.0
    return float(a), float(b), float(c), float(d)


def _is_turned(frame: Any) -> bool:
    a, b, c, d = _display_matrix(frame)
    return min(a, d) < 0.5 or max(abs(b), abs(c)) > 0.5


def _upright(frame: Any, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """``pixels`` as players show them: turned by quarters and mirrored."""
    a, b, c, d = _display_matrix(frame)
    if abs(a) < abs(b):
        # Rows become columns: what moved down moves to the right.
        pixels = pixels.swapaxes(0, 1)
        a, d = c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _tags(owner: Any) -> dict[str, int]:
    """Code points of ITU-T H.273, and the range, of a codec context or a frame."""
    return {name: int(getattr(owner, name)) for name in _TAGS}


def _claims(frame: Any, stream: Any, said: dict[str, int]) -> tuple[ColorClaim, ...]:
    """What tags say; a frame whose container says otherwise has the container's from here on."""
    kind = stream.codec_context.name
    if kind in _PICTURE_CODECS:
        return claims_of_cicp(_REC709_PRIMARIES, _SRGB_TRANSFER, f"{kind.upper()} files are sRGB")
    own = _tags(frame)
    differs = False
    for name, value in said.items():
        if value != own[name] and value not in _TAGS[name]:
            setattr(frame, name, value)
            differs = differs or own[name] not in _TAGS[name]
    where = "the movie's container" if differs else "the movie's tags"
    claims = claims_of_cicp(int(frame.color_primaries), int(frame.color_trc), where)
    if differs:
        claims += claims_of_cicp(own["color_primaries"], own["color_trc"], "its stream")
    return claims


def _picture_stream(container: Any) -> Any:
    """The stream that players show: FFmpeg's choice, which is not a cover picture that stands before it."""
    return container.streams.best("video")


def _open(path: Path) -> Any:
    try:
        container = av.open(str(path), metadata_errors="replace")
    except FFmpegError as error:
        raise _unreadable(path, error, None) from error
    if not container.streams.video:
        container.close()
        raise ImageError("no picture in the movie, only sound or data", path=path)
    stream = _picture_stream(container)
    # Decoded, spread to 4:4:4 and as float32.
    check_bytes(stream.width * stream.height * _DECODED_BYTES, f"{stream.width}x{stream.height}", path)
    return container


def _unreadable(path: Path, error: FFmpegError, frame: int | None) -> ImageError:
    reason = (error.strerror or "unknown reason").splitlines()[0]
    return ImageError(
        f"not a movie, or damaged: {reason}", frame=frame, path=path, remedy="look at it, or copy it again"
    )


def _identity(path: Path, frame: int | None = None) -> tuple[str, int, int]:
    """Changes when the file does."""
    check_file(path, frame, what="movie")
    try:
        status = path.stat()
    except OSError as error:
        raise ImageError("there is no such movie", frame=frame, path=path, remedy="check the path") from error
    return str(path), status.st_size, status.st_mtime_ns


def _index(path: Path, identity: tuple[str, int, int], frame: int | None = None) -> _Index:
    with _lock:
        known = _indexes.get(identity)
    if known is not None:
        return known
    container = _open(path)
    pts: list[int | None] = []
    keys: list[int] = []
    hidden = 0
    try:
        stream = _picture_stream(container)
        declared = int(stream.frames)
        try:
            for packet in container.demux(stream):
                if not packet.size or packet.is_corrupt:
                    continue
                if packet.is_discard:
                    hidden += 1
                    continue
                pts.append(packet.pts)
                if packet.is_keyframe and packet.pts is not None:
                    keys.append(packet.pts)
        except FFmpegError as error:
            # What came before the damage can still be read; the count tells the rest.
            log.info("%s ends early: %s", path, error.strerror)
    finally:
        container.close()
    if not pts:
        raise ImageError("the movie has no frames, or is truncated", frame=frame, path=path, remedy="copy it again")
    timed = sorted({item for item in pts if item is not None})
    usable = len(timed) == len(pts)
    found = _Index(
        tuple(timed) if usable else (),
        tuple(sorted(keys)) if usable else (),
        len(pts),
        max(0, declared - hidden),
    )
    with _lock:
        _indexes[identity] = found
        while len(_indexes) > _KNOWN_MOVIES:
            _indexes.popitem(last=False)
    return found


def _borrow(path: Path, identity: tuple[str, int, int], index: int) -> _Decoder:
    """The idle decoder that stands closest before the frame, or a new one."""
    with _lock:
        fitting = [entry for entry in _idle if entry[0] == identity and entry[1].position <= index]
        if fitting:
            best = max(fitting, key=lambda entry: entry[1].position)
            _idle.remove(best)
            return best[1]
    return _Decoder(path)


def _give_back(identity: tuple[str, int, int], decoder: _Decoder) -> None:
    with _lock:
        _idle.append((identity, decoder))
        old = _idle.pop(0) if len(_idle) > _IDLE_DECODERS else None
    if old is not None:
        old[1].close()
