"""Plate reader: a plate's frames as images, as pixels in the working colorspace or encoding, and their hashes.

Whoever needs a frame of a plate asks a :class:`PlateReader`, so that images and movies, a stated colorspace and a
guessed one are told apart in one place.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import ColorError, ImageError
from engine.base.frames import SequencePath
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.images import movies
from engine.images.files import Image
from engine.images.header import Window, place
from engine.images.provenance import file_sha256
from engine.shot.plate_color import PlateColor
from engine.shot.shot import Plate
from engine.shot.windows import window_of

__all__ = ["PlateFrame", "PlateReader", "frame_sha256", "plate_image", "plate_sha256"]


@dataclass(frozen=True, eq=False)
class PlateFrame:
    """One frame as its file has it."""

    frame: int
    path: Path
    """Its file; for a movie the movie."""
    image: Image
    """Pixels in the file's own colorspace, and the header."""
    space: str
    """OCIO name of that colorspace: the one stated, else the one guessed."""
    window: Window
    """The area that all frames of the plate are worked on, in the coordinates of the file's windows."""

    @cached_property
    def rgb(self) -> Floats:
        """(H, W, 3) of the window, in the file's colorspace; 0 where the file has no pixels."""
        return self.placed(self.image.rgb)

    def placed(self, pixels: Floats) -> Floats:
        """(H, W) or (H, W, C) of the file's data window as the window; 0 where the file has no pixels."""
        return place(pixels, self.image.header.data, self.window)

    def own(self, pixels: Floats) -> Floats:
        """The file's data window of the window's pixels."""
        return place(pixels, self.window, self.image.header.data)


class PlateReader:
    """Reads the frames of one sequence or movie; safe to use from several threads.

    Args:
        path: image files with a frame number, or a movie.
        colorspace: OCIO name, as the user stated it; None for what each file and the config say.
        config: converts to the working colorspace.
        keep: how many converted frames stay in memory, for those who come back to a frame soon.
    """

    def __init__(self, path: SequencePath, colorspace: str | None, config: ColorConfig, *, keep: int = 0) -> None:
        self.path = path
        self.colorspace = colorspace
        self.config = config
        self._hashes: dict[int, str] = {}
        self._size: tuple[int, int] | None = None
        self._keep = keep
        self._kept: OrderedDict[tuple[str, int], Floats] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, plate: Plate, config: ColorConfig, *, keep: int = 0) -> PlateReader:
        """The reader of a shot's plate."""
        return cls(plate.path, plate.colorspace, config, keep=keep)

    def read(self, frame: int) -> PlateFrame:
        """Decode a frame, never from memory: the caller may change the pixels.

        Raises:
            ImageError: missing or damaged.
            ColorError: the colorspace stated is not in the config.
        """
        path, image = self.path.path(frame), plate_image(self.path, frame)
        space = self.config.stated_or_guessed(self.colorspace, image.header, path)
        return PlateFrame(frame, path, image, space, window_of(self.path, image.header))

    def linear(self, frame: int) -> Floats:
        """(H, W, 3) scene-linear in the working colorspace; raises as :meth:`read`."""
        return self._remembered("linear", frame, lambda: self._converted(frame))

    def srgb(self, frame: int) -> Floats:
        """(H, W, 3) in plain sRGB, 0..1, as :class:`Showing` has it without a view; raises as :meth:`read`."""
        return self._remembered("srgb", frame, lambda: Showing().shown(self._converted(frame), self.config))

    def encoded(self, frame: int) -> Floats:
        """(H, W, 3) in the working encoding, not clipped, for those who need all frames in one size.

        Raises:
            ImageError: the frame is missing, damaged, or of another size than the first one asked for.
        """
        return self._remembered("encoded", frame, lambda: self._encoded(frame))

    def size(self, frame: int) -> tuple[int, int]:
        """Height and width of the plate, which ``frame`` is read for where nothing was encoded yet."""
        if self._size is None:
            self.encoded(frame)
        return self._size or (0, 0)

    def sha256(self, frame: int) -> str:
        """:func:`plate_sha256` of a frame, taken once; raises as it does."""
        with self._lock:
            if frame not in self._hashes:
                self._hashes[frame] = plate_sha256(self.path, frame)
            return self._hashes[frame]

    def begin_digest(self, *facts: object) -> hashlib._Hash:
        """A hash of how the plate is read, and of ``facts``, to add frames to."""
        text = " ".join(map(str, (*facts, self.colorspace, self.config.name, self.config.working)))
        return hashlib.sha256(f"{text}{self._taken_now}".encode())

    @cached_property
    def _taken_now(self) -> str:
        """What the plate is taken as, where versions before this was counted took it as something else."""
        frames = self.path.existing()
        first = 0 if frames is None else frames.first
        try:
            color = PlateColor.of(self.path, self.colorspace, first, self.config)
        except (ColorError, ImageError):
            return ""
        return "" if color.is_as_before else f" {color.colorspace}"

    def _converted(self, frame: int) -> Floats:
        found = self.read(frame)
        return self.config.to_working(found.rgb, found.space)

    def _encoded(self, frame: int) -> Floats:
        linear = self._converted(frame)
        height, width = linear.shape[:2]
        self._size = self._size or (height, width)
        if self._size != (height, width):
            raise ImageError(
                f"this frame is {width}x{height}, the others are {self._size[1]}x{self._size[0]}",
                frame=frame,
                path=self.path.path(frame),
                remedy="one shot has one size; leave the frame out of --frames",
            )
        return shaper.encode(linear)

    def _remembered(self, kind: str, frame: int, make: Callable[[], Floats]) -> Floats:
        if not self._keep:
            return make()
        with self._lock:
            found = self._kept.get((kind, frame))
            if found is not None:
                self._kept.move_to_end((kind, frame))
                return found
        made = make()
        # Several may hold it: whoever wants to change it takes a copy.
        made.flags.writeable = False
        with self._lock:
            self._kept[kind, frame] = made
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
        return made


def plate_image(path: SequencePath, frame: int) -> Image:
    """A frame as its file has it, without a word on its colorspace; for that there is :class:`PlateReader`.

    Raises:
        ImageError: missing or damaged.
    """
    file = path.path(frame)
    if path.is_movie:
        return movies.read_frame(file, frame, frame=frame)
    return images.read(file, frame=frame, layer=path.layer)


def plate_sha256(path: SequencePath, frame: int) -> str:
    """SHA-256 of a frame's file as it is now; with a movie's goes the frame's number, with a layer's its name.

    Raises:
        ImageError: the file is missing or cannot be read.
    """
    file = path.path(frame)
    try:
        return frame_sha256(path, frame)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        what = "the plate's frame is missing" if missing else f"cannot read the plate: {error.strerror or error}"
        raise ImageError(what, frame=frame, path=file, remedy="check --plate and --frames") from error


def frame_sha256(path: SequencePath, frame: int) -> str:
    """SHA-256 of a frame's file in a sequence of any kind; for a movie, of the movie and the frame's number in it.

    Raises:
        OSError: the file is missing or cannot be read.
    """
    file = path.path(frame)
    if path.is_movie:
        return f"{_movie_hashes.sha256(file)}#{frame}"
    return f"{file_sha256(file)}#{path.layer}" if path.layer else file_sha256(file)


@dataclass
class _MovieHashes:
    """The hashes of movies as they were last seen: each is asked for with every frame."""

    known: dict[Path, tuple[tuple[int, int], str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sha256(self, path: Path) -> str:
        with self.lock:
            status = path.stat()
            stamp = (status.st_size, status.st_mtime_ns)
            held = self.known.get(path)
            if held is None or held[0] != stamp:
                held = self.known[path] = (stamp, file_sha256(path))
            return held[1]


_movie_hashes = _MovieHashes()
