"""A movie's file, opened: containers that are taken, the stream that is the picture, no other file and no address."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from av.stream import Disposition

from engine.base.errors import ImageError
from engine.base.image_memory import limit_bytes
from engine.base.shell_words import shell_line
from engine.base.signatures import playlist
from engine.images.limits import check_bytes

__all__ = [
    "CONTAINERS",
    "NO_PICTURES",
    "guarded_stream",
    "open_movie",
    "picture_stream",
    "transcoding",
    "unreadable",
]

_DECODED_BYTES = 30  # of a pixel: planes of 16 bits, and R, G and B as float32 beside what they are made of

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2 matroska,webm avi mpegts mpeg mxf asf flv live_flv ogg gif yuv4mpegpipe dv nut ivf wtv gxf"
).split()
"""Demuxers, by FFmpeg's names: those that read one file and know the time of each picture.

Not among them: playlists (hls, dash, concat, sdp), numbered pictures (image2), and bare streams (h264, mpegvideo), in
which a lost picture leaves no trace.
"""
NO_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
"""Of streams that are no movie: covers and thumbnails."""


def open_movie(path: Path, frame: int | None = None) -> Any:
    """An open container, with a stream of pictures that fits into memory.

    Args:
        path: the movie.
        frame: that it is opened for, for messages.

    Raises:
        ImageError: a playlist, no movie, one without pictures, or too large.
    """
    kind = playlist(path)
    if kind is not None:
        remedy = "give the movie that it names"
        raise ImageError(f"{kind}, not a movie", frame=frame, path=path, remedy=remedy)
    # "file:" before the name, because a name may begin like an address: nothing but a file is ever opened.
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(CONTAINERS)}
    try:
        name = os.fspath(path.absolute())
        name.encode()
        container = av.open(f"file:{name}", options=options, metadata_errors="replace")
    except UnicodeEncodeError:
        # A name that is no text: FFmpeg can't be told it.
        container = _open_bytes(path, options, frame)
    except FFmpegError as error:
        raise unreadable(path, error, frame) from error
    try:
        guarded_stream(container, path, frame)
    except BaseException:
        container.close()
        raise
    return container


def guarded_stream(container: Any, path: Path, frame: int | None = None) -> Any:
    """:func:`picture_stream`, held to what fits into memory.

    Raises:
        ImageError: as that, or its pictures are too large.
    """
    stream = picture_stream(container, path, frame)
    check_bytes(stream.width * stream.height * _DECODED_BYTES, f"{stream.width}x{stream.height}", path, frame)
    # What the pictures themselves claim may be more than the container says.
    stream.codec_context.options = {"max_pixels": str(max(1, limit_bytes() // _DECODED_BYTES))}
    stream.thread_type = "AUTO"
    return stream


def _open_bytes(path: Path, options: dict[str, str], frame: int | None) -> Any:
    handle = path.open("rb")
    try:
        return av.open(handle, options=options, metadata_errors="replace")
    except FFmpegError as error:
        handle.close()
        raise unreadable(path, error, frame) from error


def picture_stream(container: Any, path: Path, frame: int | None = None) -> Any:
    """The first video stream that is no cover and no strip of thumbnails.

    Raises:
        ImageError: there is none, or nothing here decodes it.
    """
    moving = [stream for stream in container.streams.video if not stream.disposition & NO_PICTURES]
    if not moving:
        only = "a cover" if container.streams.video else "sound or data"
        remedy = "give the movie itself"
        raise ImageError(f"no picture in the movie, only {only}", frame=frame, path=path, remedy=remedy)
    if getattr(moving[0], "codec_context", None) is None:
        what = "nothing here decodes the movie's pictures"
        raise ImageError(what, frame=frame, path=path, remedy="transcode it to ProRes")
    return moving[0]


def transcoding(path: Path, *options: str) -> str:
    """A command line that makes of a movie one that can be read, beside it."""
    names = [str(name) for name in (path, path.with_name(f"{path.stem}_prores.mov"))]
    if os.name != "nt":
        # To FFmpeg a colon may end the name of a protocol, and a dash begins an option.
        names = [f"file:{name}" if ":" in name or name.startswith("-") else name for name in names]
    return shell_line(["ffmpeg", "-i", names[0], *options, "-c:v", "prores_ks", names[1]])


def unreadable(path: Path, error: FFmpegError, frame: int | None) -> ImageError:
    """What FFmpeg's error means for whoever asked for a frame."""
    if isinstance(error, av.error.ArgumentError):
        # What FFmpeg answers for a demuxer that it was told not to take.
        return ImageError(
            "not a movie in a container that tells when its pictures are shown, such as MOV, MP4, MKV, MXF or AVI",
            frame=frame,
            path=path,
            remedy=f"if it is a bare stream: {transcoding(path)}",
        )
    reason = (error.strerror or "unknown reason").splitlines()[0]
    return ImageError(
        f"not a movie, or damaged: {reason}", frame=frame, path=path, remedy="look at it, or copy it again"
    )
