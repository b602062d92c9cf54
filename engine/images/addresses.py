"""Addresses and cameras that pictures come from live: what may be opened, and how it is opened, by PyAV.

Only live work opens them, because the user names one for this very run; whatever reads plates, looks or shots opens
files alone (:mod:`engine.images.movie_file`). docs/decisions/028-live-addresses.md says what is refused, and why.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
from av.error import FFmpegError

from engine.base.errors import ImageError, InputError
from engine.images.movie_file import CONTAINERS, guarded_stream

__all__ = ["camera_name", "is_address", "open_address", "open_camera", "shown_address"]

_PROTOCOLS = {
    "http": "http,tcp",
    "https": "https,tls,tcp",
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtsp,tls,rtp,udp,tcp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    "srt": "srt,udp",
    "tcp": "tcp",
    "udp": "udp",
}
"""What an address of each kind may open: never a file, and nothing that joins, slices or decrypts."""
_OF_STREAMS = ("rtsp", "mpjpeg")
"""Demuxers beside those of files. Playlists (hls, dash, sdp) are not among them: they name other addresses."""
_OPEN_S = 20.0
_LOOKED_AT_US = "1000000"
"""Microseconds of a stream that are looked at to know what it is: FFmpeg's five seconds are five seconds of waiting."""
_SILENT_S = 10.0
_CAMERA = re.compile(r"camera:(.+)|(\d{1,2})|(/dev/video\d+)")
_BACKENDS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


def is_address(text: str) -> bool:
    """Whether this is meant as an address, not as a file."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def camera_name(text: str) -> str | None:
    """What the system calls the camera that is meant: ``0``, ``/dev/video0`` or ``camera:NAME``; None for no camera."""
    found = _CAMERA.fullmatch(text)
    return None if found is None else next(each for each in found.groups() if each is not None)


def shown_address(text: str) -> str:
    """An address for people and logs: without a password, a user or a token."""
    parts = urlsplit(text)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def open_address(text: str) -> tuple[Any, Any]:
    """An open container and its stream of pictures.

    Raises:
        InputError: a kind of address that is not opened.
        ImageError: nobody answers there, it sends no pictures, or they are too large.
    """
    shown = Path(shown_address(text))
    scheme = urlsplit(text).scheme.lower()
    if scheme not in _PROTOCOLS:
        known = ", ".join(_PROTOCOLS)
        raise InputError(f"{scheme}:// is not opened", remedy=f"give a path, a camera, or an address of {known}")
    options = {
        "protocol_whitelist": _PROTOCOLS[scheme],
        "format_whitelist": ",".join([*CONTAINERS, *_OF_STREAMS]),
        "fflags": "nobuffer",
        "analyzeduration": _LOOKED_AT_US,
    }
    if scheme.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    return _opened(text, shown, f"cannot be opened: {shown_address(text)}", options=options)


def open_camera(name: str) -> tuple[Any, Any]:
    """An open camera of this machine, and its stream of pictures.

    Args:
        name: as :func:`camera_name` gives it.

    Raises:
        InputError: this system's cameras have other names.
        ImageError: there is no such camera, or it is in use.
    """
    backend = _BACKENDS.get(sys.platform)
    if backend is None:
        raise InputError("cameras of this system are not known", remedy="give a file or an address")
    if backend == "v4l2":
        name = f"/dev/video{name}" if name.isdigit() else name
        if not Path(name).exists():
            raise ImageError("there is no such camera", path=name, remedy="ls /dev/video* lists those there are")
    elif backend == "dshow":
        if name.isdigit():
            raise InputError("cameras have names here", remedy='give --source "camera:NAME" as Windows calls it')
        name = f"video={name}"
    return _opened(name, Path(name), "the camera cannot be opened", format=backend)


def _opened(name: str, shown: Path, what: str, **how: Any) -> tuple[Any, Any]:
    try:
        container = av.open(name, timeout=(_OPEN_S, _SILENT_S), metadata_errors="replace", **how)
    except (FFmpegError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error) or "unknown reason").splitlines()[0]
        raise _unopened(f"the source {what}: {reason}" if "camera" not in what else f"{what}: {reason}") from error
    try:
        return container, guarded_stream(container, shown)
    except BaseException:
        container.close()
        raise


def _unopened(message: str) -> ImageError:
    return ImageError(message, remedy="check that it is there, and that nobody else has it")
