"""Matte reader: the mattes of a plate's frames as coverage in the area that the frames are worked on, and their hashes.

A matte is linear coverage, whatever the file says of its color: 1 for the object, 0 for the rest. It is the alpha; of a
file without one Y, or else R. An alpha that is 1 everywhere beside a gray picture says nothing, and the gray counts.
"""

from __future__ import annotations

import threading

import numpy as np

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import ImageError
from engine.base.frames import SequencePath
from engine.color.keys import fit_to_data_window
from engine.images import movies
from engine.images.files import Image
from engine.images.header import Header, Window, place
from engine.shot.plate import frame_sha256, plate_image
from engine.shot.windows import has_windows, place_by_windows, window_of

__all__ = ["MatteReader"]

_GRAY = 4 / 255
"""Difference of channels up to which a picture is gray; JPEG makes that much of none."""
_BEYOND = 0.5
"""What filters may leave beyond 0 and 1; more is no coverage."""
_REMEDY = "check --matte and --frames"


class MatteReader:
    """Reads the mattes of one sequence or movie; safe to use from several threads.

    Args:
        path: image files with a frame number, or a movie.
        plate: the plate whose frames they belong to.
    """

    def __init__(self, path: SequencePath, plate: SequencePath) -> None:
        self.path = path
        self._plate = plate
        self._hashes: dict[int, str] = {}
        self._lock = threading.Lock()

    def read(self, frame: int) -> Floats:
        """(H, W) in 0..1 of the area that the plate's frame is worked on; 0 where the matte has no pixels.

        Raises:
            ImageError: missing, damaged, of another size than the plate's frame, or with values that are no coverage;
                or the plate's frame is.
        """
        header = plate_image(self._plate, frame).header
        return self.fitted(frame, header, window_of(self._plate, header))

    def fitted(self, frame: int, header: Header, window: Window) -> Floats:
        """As :meth:`read`, for a plate's frame whose header is known.

        Args:
            window: the area that the frame is worked on.

        Raises:
            ImageError: as :meth:`read`.
        """
        path = self.path.path(frame)
        if not path.is_file():
            raise ImageError("the matte of this frame is missing", frame=frame, path=path, remedy=_REMEDY)
        image = movies.read_frame(path, frame, frame=frame) if self.path.is_movie else _image(self.path, frame)
        if image.bad_pixels:
            why = f"{image.bad_pixels} pixels of the matte are NaN or Inf"
            raise ImageError(why, frame=frame, path=path, remedy="render or paint the matte again")
        coverage = _coverage(image)
        least, most = float(coverage.min()), float(coverage.max())
        if least < -_BEYOND or most > 1 + _BEYOND:
            why = f"the matte has values from {least:g} to {most:g}, and coverage is 0 to 1"
            raise ImageError(why, frame=frame, path=path, remedy="write 1 for the object and 0 for the rest")
        coverage = np.clip(coverage, 0.0, 1.0)
        own = image.header
        if has_windows(own, header):
            return place(place_by_windows(coverage, own, header)[0], header.data, window)
        size = (own.width, own.height)
        if size not in (header.display[2:], header.data[2:]):
            width, height = header.display[2:]
            why = f"the matte is {size[0]}x{size[1]}, and the plate {width}x{height}"
            raise ImageError(why, frame=frame, path=path, remedy="give mattes of the plate's size")
        shaped, inside = fit_to_data_window(np.repeat(coverage[..., None], 3, axis=2), header)
        return place(np.where(inside, shaped[..., 0], np.float32(0.0)), header.data, window)

    def sha256(self, frame: int) -> str:
        """SHA-256 of a frame's matte as it is now.

        Raises:
            ImageError: missing, or it cannot be read.
        """
        path = self.path.path(frame)
        try:
            return frame_sha256(self.path, frame)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            what = "the matte of this frame is missing" if missing else f"cannot read the matte: {error.strerror}"
            raise ImageError(what, frame=frame, path=path, remedy=_REMEDY) from error


def _image(path: SequencePath, frame: int) -> Image:
    return images.read(path.path(frame), frame=frame, coverage=True)


def _coverage(image: Image) -> Floats:
    """(H, W), as stored."""
    gray = float(np.ptp(image.rgb, axis=2).max()) <= _GRAY
    says_nothing = image.alpha is None or (gray and bool((image.alpha == 1.0).all()))
    return image.rgb[..., 0] if says_nothing or image.alpha is None else image.alpha
