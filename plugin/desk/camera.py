"""Camera of a page: its pictures come as pixels, and go back stylized by the desk's look; one stream at a time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.base.errors import InputError, Interrupted, PaintoverError
from engine.live.sources import screen_picture
from engine.live.stylizer import LiveStylizer
from plugin.desk.desk import ShotDesk

__all__ = ["MOST_CAMERA_BYTES", "Camera", "CameraPicture"]

MOST_SIDE = 1280
MOST_CAMERA_BYTES = MOST_SIDE * MOST_SIDE * 4
"""Of one picture."""
_LEAST_SIDE = 16
_IDLE_S = 8.0
"""Without a picture for so long, a stream is over: its page was closed."""


@dataclass(frozen=True, eq=False)
class CameraPicture:
    """A stylized picture, as a page shows it."""

    rgba: bytes
    carried: float
    """Share that rides on the keyframe."""
    keyframe: str
    """``none``, ``coming`` or ``followed``."""


@dataclass(eq=False)
class _CameraStream:
    number: int
    stylizer: LiveStylizer
    last_s: float
    trained: bool
    """Whether the trainer was stopped for it."""
    keyframe: str = "none"


class Camera:
    """The live camera of a desk; safe to use from several threads."""

    def __init__(self, desk: ShotDesk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._count = 0
        self._stream: _CameraStream | None = None

    def start(self) -> int:
        """Begin a stream, and end the one before; its number.

        While it runs no steps are trained: both would be slow.

        Raises:
            InputError: there is no look yet.
            LookError, DeviceError: the look cannot be used.
        """
        with self._starting:
            desk = self._desk
            look = desk.live_look()
            with self._lock:
                before, self._stream = self._stream, None
                self._count += 1
                number = self._count
            trained = desk.is_training or (before is not None and before.trained)
            if before is not None:
                before.stylizer.close()
            stylizer = LiveStylizer(
                look, desk.pictures.config, size=0, file=Path("camera.png"), device=desk.shot.device or "auto",
                threads=desk.options.threads, on_keyframe=lambda error: self._on_keyframe(number, error),
            )  # fmt: skip
            if trained:
                desk.pause()
            with self._lock:
                self._stream = _CameraStream(number, stylizer, time.monotonic(), trained)
            threading.Thread(target=self._watch, args=(number,), name="camera", daemon=True).start()
            return number

    def stylize(self, number: int, width: int, height: int, rgba: bytes) -> CameraPicture | None:
        """The next picture of a stream; None where that is over.

        Args:
            rgba: 8 bits each, sRGB, row by row.

        Raises:
            InputError: that is no picture.
        """
        if not (_LEAST_SIDE <= width <= MOST_SIDE and _LEAST_SIDE <= height <= MOST_SIDE):
            raise InputError(f"a picture of {width}x{height} is not taken")
        if len(rgba) != width * height * 4:
            raise InputError(f"a picture of {width}x{height} has {width * height * 4} bytes, not {len(rgba)}")
        with self._lock:
            stream = self._stream
        if stream is None or stream.number != number:
            return None
        stream.last_s = time.monotonic()
        codes = np.frombuffer(rgba, np.uint8).reshape(height, width, 4)
        try:
            prepared = stream.stylizer.prepare(screen_picture(codes[..., :3], "browsers give pixels as sRGB"))
            styled = stream.stylizer.finish(prepared)
        except (InputError, Interrupted):
            with self._lock:
                is_over = self._stream is not stream
            if is_over:
                return None
            raise
        shown = np.dstack([styled.codes, np.full(styled.codes.shape[:2], 255, np.uint8)])
        return CameraPicture(shown.tobytes(), styled.carried, stream.keyframe)

    def key(self, number: int) -> None:
        """The next picture becomes the keyframe; raises InputError."""
        stream = self._find(number)
        stream.keyframe = "coming"
        stream.stylizer.key()

    def unkey(self, number: int) -> None:
        """Follow none any more; raises InputError."""
        stream = self._find(number)
        stream.stylizer.unkey()
        stream.keyframe = "none"

    def stop(self, number: int) -> None:
        """End a stream; one that is over stays so."""
        with self._lock:
            stream = self._stream
            if stream is None or stream.number != number:
                return
            self._stream = None
        stream.stylizer.close()
        if stream.trained:
            self._desk.go_on()

    def _find(self, number: int) -> _CameraStream:
        with self._lock:
            if self._stream is None or self._stream.number != number:
                raise InputError("this camera was stopped, or another page began one")
            return self._stream

    def _on_keyframe(self, number: int, error: PaintoverError | None) -> None:
        with self._lock:
            stream = self._stream
        if stream is not None and stream.number == number and stream.keyframe == "coming":
            stream.keyframe = "none" if error else "followed"

    def _watch(self, number: int) -> None:
        while True:
            time.sleep(1.0)
            with self._lock:
                stream = self._stream
                if stream is None or stream.number != number:
                    return
            if time.monotonic() - stream.last_s > _IDLE_S:
                self.stop(number)
                return
