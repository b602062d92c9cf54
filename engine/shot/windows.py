"""Windows: the one area that all frames of a plate are worked on, whatever box of it each file holds.

Renderers and Nuke crop files to the box that has pixels, and the box changes from frame to frame. All frames of one
format (display window) are one shot: they are worked on in the union of their boxes and the format, and each result is
cut to its own box again. Where all boxes are the same, that is the area.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from engine import images
from engine.base.arrays import Floats, Mask
from engine.base.errors import ImageError
from engine.base.frames import SequencePath
from engine.images.header import Header, Window, place

__all__ = ["has_windows", "place_by_windows", "window_of"]

_KNOWN_PLATES = 64
_THREADS = 8


_lock = threading.Lock()
_known: OrderedDict[tuple[str, str, Window], tuple[Window, ...]] = OrderedDict()


def window_of(plate: SequencePath, header: Header) -> Window:
    """The area that a frame with this header is worked on.

    It is found from every frame of the plate that is on disk, so that it doesn't depend on which of them a machine
    renders; their headers are read once in a process.
    """
    if plate.is_movie or header.file_format != "openexr":
        return header.data
    key = (plate.text, plate.layer, header.display)
    with _lock:
        boxes = _known.get(key)
    if boxes is None or header.data not in boxes:
        boxes = tuple(dict.fromkeys((header.data, *_boxes(plate, header.display))))
        with _lock:
            _known[key] = boxes
            while len(_known) > _KNOWN_PLATES:
                _known.popitem(last=False)
    return boxes[0] if len(boxes) == 1 else _union((header.display, *boxes))


def has_windows(own: Header, plate: Header) -> bool:
    """Whether a painting or matte says itself where on the plate's format it lies."""
    return own.data != own.display and own.display[2:] == plate.display[2:]


def place_by_windows(pixels: Floats, own: Header, plate: Header) -> tuple[Floats, Mask]:
    """Pixels (H, W) or (H, W, C) of a painting's or matte's data window as the plate's, and where they cover it."""
    left = own.data[0] - own.display[0] + plate.display[0]
    top = own.data[1] - own.display[1] + plate.display[1]
    box = (left, top, own.width, own.height)
    covered = place(np.ones(pixels.shape[:2], np.float32), box, plate.data) > 0
    return place(pixels, box, plate.data), covered


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
        header = images.read_header(plate.path(frame), frame=frame, layer=plate.layer)
    except ImageError:
        # Whoever reads its pixels says what is wrong with it.
        return None
    return header.data, header.display


def _union(windows: tuple[Window, ...]) -> Window:
    left, top = min(window[0] for window in windows), min(window[1] for window in windows)
    right = max(window[0] + window[2] for window in windows)
    bottom = max(window[1] + window[3] for window in windows)
    return left, top, right - left, bottom - top
