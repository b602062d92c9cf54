"""Windows: the one area that all frames of a plate are worked on, whatever box of it each file holds.

Renderers and Nuke crop files to the box that has pixels, and the box changes from frame to frame. All frames of one
format (display window) are one shot: they are worked on in the union of their boxes and the format, and each result is
cut to its own box again. Where all boxes are the same, that is the area.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import ImageError
from engine.base.frames import SequencePath
from engine.images import movies
from engine.images.files import Image
from engine.images.header import Header, Window, place

__all__ = ["PlateFrame", "read_frame", "window_of"]

_KNOWN_PLATES = 64
_THREADS = 8


@dataclass(frozen=True, eq=False)
class PlateFrame:
    """One frame of a plate and the area that it is worked on."""

    image: Image
    """As its file has it: the data window."""
    window: Window
    """In the coordinates of the file's windows."""

    @cached_property
    def rgb(self) -> Floats:
        """(H, W, 3) of the window, in the file's colorspace; 0 where the file has no pixels."""
        return self.placed(self.image.rgb)

    def placed(self, pixels: Floats) -> Floats:
        """(H, W) or (H, W, C) of the file's data window as the window; 0 where the file has no pixels."""
        return place(pixels, self.image.header.data, self.window)

    def own(self, pixels: Floats) -> Floats:
        """The part of the window's pixels that the file's data window is."""
        return place(pixels, self.window, self.image.header.data)


def read_frame(plate: SequencePath, frame: int) -> PlateFrame:
    """Decodes one frame of a plate, of images or a movie. Safe to call from several threads.

    Raises:
        ImageError: missing or damaged.
    """
    path = plate.path(frame)
    image = movies.read_frame(path, frame, frame=frame) if plate.is_movie else images.read(path, frame=frame)
    return PlateFrame(image, window_of(plate, image.header))


_lock = threading.Lock()
_known: OrderedDict[tuple[str, Window], tuple[Window, ...]] = OrderedDict()


def window_of(plate: SequencePath, header: Header) -> Window:
    """The area that a frame with this header is worked on.

    It is found from every frame of the plate that is on disk, so that it doesn't depend on which of them a machine
    renders; their headers are read once in a process.
    """
    if plate.is_movie or header.file_format != "openexr":
        return header.data
    key = (plate.text, header.display)
    with _lock:
        boxes = _known.get(key)
    if boxes is None or header.data not in boxes:
        boxes = tuple(dict.fromkeys((header.data, *_boxes(plate, header.display))))
        with _lock:
            _known[key] = boxes
            while len(_known) > _KNOWN_PLATES:
                _known.popitem(last=False)
    return boxes[0] if len(boxes) == 1 else _union((header.display, *boxes))


def _boxes(plate: SequencePath, display: Window) -> list[Window]:
    """The data windows of the frames on disk that are of this format."""
    frames = plate.existing()
    if frames is None:
        return []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="windows") as pool:
        found = pool.map(lambda frame: _windows(plate, frame), frames)
        return [data for data, shown in filter(None, found) if shown == display]


def _windows(plate: SequencePath, frame: int) -> tuple[Window, Window] | None:
    try:
        header = images.read_header(plate.path(frame), frame=frame)
    except ImageError:
        # Whoever reads its pixels says what is wrong with it.
        return None
    return header.data, header.display


def _union(windows: tuple[Window, ...]) -> Window:
    left, top = min(window[0] for window in windows), min(window[1] for window in windows)
    right = max(window[0] + window[2] for window in windows)
    bottom = max(window[1] + window[3] for window in windows)
    return left, top, right - left, bottom - top
