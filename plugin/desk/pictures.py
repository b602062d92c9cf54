"""Pictures of the desk: plate, result, painting and matte of a frame as the browser shows them, and their values.

All are of the plate's display window, seen through the view in which ``paintover key`` shows the shot for painting, so
that a color picked from one is the same color on the other.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import ImageError
from engine.color.assignment import assign
from engine.color.config import ColorConfig
from engine.color.keys import KeyTransform, key_transform
from engine.color.paintings import painting_color
from engine.images.header import place
from engine.rendering.outside import Outside
from engine.shot.keyframes import Keyframe
from engine.shot.matte_reader import MatteReader
from engine.shot.matte_sequence import MatteSequence
from engine.shot.paintings import painted_alpha, painted_coverage
from engine.shot.plate import PlateFrame, PlateReader
from engine.shot.shot import Plate
from engine.training.job.session import result_path

__all__ = ["THUMBNAIL_PX", "Pictures"]

THUMBNAIL_PX = 160
"""Width of a frame in the scrub bar."""
KEPT_BYTES = 384 << 20
"""Of decoded frames in memory."""
QUALITY = 92
_THUMBNAIL_QUALITY = 75
_MATTE_BGR = (46, 72, 235)
"""As the page paints one."""

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _FrameMatte:
    stamp: int
    """Changes when its file is written."""
    coverage: Floats
    """(h, w) in 0..1 of the display window."""


class Pictures:
    """Reads and shows the frames of one shot; safe to use from several threads."""

    def __init__(self, plate: Plate, config: ColorConfig, work: Path, matte: MatteSequence | None = None) -> None:
        """
        Args:
            matte: mattes of every frame; where they say what is stylized, results show the plate outside.

        Raises:
            ImageError: the plate's first frame is missing or damaged.
            ColorError: its colorspace is unknown.
        """
        self.plate, self.config, self._work = plate, config, work
        self._reader = PlateReader.of(plate, config)
        stylized = None if matte is None else matte.stylized
        self._mattes = None if stylized is None else MatteReader(stylized, plate.path)
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], Floats] = OrderedDict()
        self._thumbnails: dict[int, bytes] = {}
        self._transforms: dict[int, KeyTransform] = {}
        first = self._reader.read(plate.frames.first)
        self.transform = self.transform_of(plate.frames.first, first)
        """How the first frame is shown for painting, and so all are."""
        _, _, self.width, self.height = first.image.header.display

    @property
    def shown_as(self) -> str:
        """The view, or the colorspace of a plate that is shown as it is, for people."""
        return self.transform.taken

    def transform_of(self, frame: int, read: PlateFrame | None = None) -> KeyTransform:
        """How ``key`` exports a frame as .png; found once, because a movie is read whole for it.

        Raises:
            ImageError: the frame is missing or damaged.
        """
        made = self._transforms.get(frame)
        if made is None:
            made = self._transforms[frame] = self._transform(frame, read or self._reader.read(frame))
        return made

    def _transform(self, frame: int, read: PlateFrame) -> KeyTransform:
        return key_transform(
            read.image, read.path, frame, self.config, self.plate.colorspace, Path(f"{frame}.png")
        )  # fmt: skip

    def read(self, frame: int) -> PlateFrame:
        """The plate's frame as its file has it; raises as :meth:`PlateReader.read`."""
        return self._reader.read(frame)

    def linear(self, frame: int) -> Floats:
        """The plate (h, w, 3), scene-linear working colorspace; raises ImageError."""

        def make() -> Floats:
            read = self._reader.read(frame)
            scene = self.config.to_working(read.image.rgb, read.space)
            return self._of_size(read.image.header.to_display(scene), frame)

        return self._remembered(("plate", frame), make)

    def result(self, frame: int) -> Floats | None:
        """What the trainer last rendered, (h, w, 4) with the carried share, or half of it; None where there is none.

        Outside the frame's matte, where the shot has such, it is the plate, and nothing is carried.

        Raises:
            ImageError: the matte is missing or damaged.
        """
        path = result_path(self._work, frame)
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            return None
        matte = self._matte(frame)

        def make() -> Floats:
            pixels = np.load(path, allow_pickle=False)
            if pixels.ndim != 3 or pixels.shape[2] != 4 or pixels.dtype != np.float16:
                raise ValueError("not a result")
            placed = self._placed(pixels.astype(np.float32), frame)
            return placed if matte is None else self._within(placed, frame, matte.coverage)

        try:
            key = ("result", frame, stamp, None if matte is None else matte.stamp)
            return self._remembered(key, make, replaces=("result", frame))
        except (OSError, ValueError, EOFError):
            # Replaced at this moment, or damaged: it is rendered again anyway.
            return None

    def plate_picture(self, frame: int, exposure: float) -> bytes:
        """JPEG of the plate.

        Args:
            exposure: stops to brighten by.

        Raises:
            ImageError: it cannot be read.
        """
        return _jpeg(self._plate_shown(frame, exposure))

    def result_picture(self, frame: int, exposure: float) -> bytes | None:
        """JPEG of the result; None where there is none."""
        pixels = self.result(frame)
        return None if pixels is None else _jpeg(self.shown(np.ascontiguousarray(pixels[..., :3]), exposure))

    def carried_picture(self, frame: int) -> bytes | None:
        """JPEG, gray, of how far each pixel of the result rides on a painting; None where there is no result.

        Outside the frame's matte, where there is nothing to ride on, it is white.
        """
        pixels, matte = self.result(frame), self._matte(frame)
        if pixels is None:
            return None
        carried = pixels[..., 3]
        if matte is not None:
            carried = carried + 1 - cv2.resize(matte.coverage, carried.shape[::-1], interpolation=cv2.INTER_AREA)
        return _jpeg(_codes(carried))

    def thumbnail(self, frame: int) -> bytes:
        """Small JPEG of the plate; raises ImageError."""
        made = self._thumbnails.get(frame)
        if made is None:
            size = (THUMBNAIL_PX, max(1, round(self.height * THUMBNAIL_PX / self.width)))
            small = cv2.resize(self._plate_shown(frame, 0.0), size, interpolation=cv2.INTER_AREA)
            made = self._thumbnails[frame] = _jpeg(np.asarray(small, np.uint8), _THUMBNAIL_QUALITY)
        return made

    def _plate_shown(self, frame: int, exposure: float) -> Codes:
        """(h, w, 3); raises ImageError."""
        if not exposure and not self.transform.view:
            read = self._reader.read(frame)
            if read.space == self.transform.colorspace:
                # It is shown as its file has it: there and back again takes four times as long.
                return _codes(self._of_size(read.image.header.to_display(read.image.rgb), frame))
        return self.shown(self.linear(frame), exposure)

    def painting_picture(self, keyframe: Keyframe) -> bytes:
        """PNG of a painting with its coverage as alpha.

        Raises:
            ImageError: it is missing, damaged, or of another size than the plate.
            ColorError: its colorspace is unknown.
        """
        painting = images.read(keyframe.painting, frame=keyframe.frame)
        plate = self._reader.read(keyframe.frame)
        taken = assign(self.config, plate.image.header, plate.path, self.plate.colorspace)
        header, asked = painting.header, keyframe.colorspace
        color = painting_color(self.config, header, keyframe.painting, asked, taken, plate.image.header)
        if color.transform is not None and color.transform.taken == self.transform.taken:
            rgb = _codes(header.to_display(painting.rgb))
        else:
            rgb = self.shown(header.to_display(color.to_working(painting, self.config)), 0.0)
        if rgb.shape[:2] != (self.height, self.width):
            raise self._wrong_size(keyframe.frame, rgb.shape, keyframe.painting)
        alpha = painted_alpha(painting)
        coverage = np.full(rgb.shape[:2], 255, np.uint8) if alpha is None else _codes(header.to_display(alpha))
        return _png(np.dstack([rgb[..., ::-1], coverage]))

    def matte_picture(self, keyframe: Keyframe) -> bytes | None:
        """PNG, of one color with the matte as alpha; None for a keyframe without one.

        Raises:
            ImageError: it is missing, damaged, or of another size than the plate.
        """
        if keyframe.matte is None:
            return None
        coverage = _codes(images.read_matte(keyframe.matte, frame=keyframe.frame))
        if coverage.shape != (self.height, self.width):
            raise self._wrong_size(keyframe.frame, coverage.shape, keyframe.matte)
        color = np.broadcast_to(np.array(_MATTE_BGR, np.uint8), (*coverage.shape, 3))
        return _png(np.dstack([color, coverage]))

    def coverage(self, keyframe: Keyframe) -> Floats | None:
        """:func:`engine.shot.paintings.painted_coverage` of a keyframe."""
        return painted_coverage(keyframe, self.plate)

    def values(self, frame: int, x: int, y: int) -> dict[str, list[float] | None]:
        """Scene-linear values of a pixel in plate and result; None outside the picture or where there is no result."""
        found: dict[str, list[float] | None] = {"plate": None, "result": None}
        if not (0 <= x < self.width and 0 <= y < self.height):
            return found
        found["plate"] = [float(value) for value in self.linear(frame)[y, x]]
        result = self.result(frame)
        if result is not None:
            row, column = y * result.shape[0] // self.height, x * result.shape[1] // self.width
            found["result"] = [float(value) for value in result[row, column, :3]]
        return found

    def shown(self, linear: Floats, exposure: float) -> Codes:
        """(h, w, 3) scene-linear as the browser shows it, brightened by ``exposure`` stops."""
        scene = linear * np.float32(2.0**exposure) if exposure else linear
        transform = self.transform
        if transform.view:
            made = self.config.view_forward(scene, transform.display, transform.view)
        else:
            made = self.config.from_working(scene, transform.colorspace)
        return _codes(made)

    def _matte(self, frame: int) -> _FrameMatte | None:
        """The matte of a frame as its file is now; None where everything is stylized."""
        if self._mattes is None:
            return None
        path = self._mattes.path.path(frame)
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            stamp = 0
        mattes = self._mattes

        def make() -> Floats:
            read = self._reader.read(frame)
            fitted = mattes.fitted(frame, read.image.header, read.window)
            return self._of_size(place(fitted, read.window, read.image.header.display), frame)

        key = ("matte", frame)
        return _FrameMatte(stamp, self._remembered((*key, stamp), make, replaces=key))

    def _within(self, pixels: Floats, frame: int, coverage: Floats) -> Floats:
        """A result, whole or half of it, within its matte, as committed frames have it."""
        plate, size = self.linear(frame), pixels.shape[1::-1]
        if pixels.shape[:2] != coverage.shape:
            plate, coverage = (
                np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA), np.float32)
                for each in (plate, coverage)
            )
        Outside(coverage, plate).blend(pixels[..., :3], pixels[..., 3], plate)
        return pixels

    def _placed(self, pixels: Floats, frame: int) -> Floats:
        """A result, of the plate's window or half of it, as the display window, in the same scale."""
        read = self._reader.read(frame)
        window, display = read.window, read.image.header.display
        if window == display:
            return pixels
        size = (window[2], window[3])
        whole = np.dstack([cv2.resize(pixels[..., index], size, interpolation=cv2.INTER_LINEAR) for index in range(4)])
        return place(np.asarray(whole, np.float32), window, display)

    def _of_size(self, pixels: Floats, frame: int) -> Floats:
        if pixels.shape[:2] != (self.height, self.width):
            raise self._wrong_size(frame, pixels.shape, self.plate.path.path(frame))
        return pixels

    def _wrong_size(self, frame: int, shape: tuple[int, ...], path: Path) -> ImageError:
        wrong = f"this picture is {shape[1]}x{shape[0]}, the shot {self.width}x{self.height}"
        return ImageError(wrong, frame=frame, path=path, remedy="give pictures of one size")

    def _remembered(
        self, key: tuple[object, ...], make: Callable[[], Floats], replaces: tuple[object, ...] | None = None
    ) -> Floats:
        with self._lock:
            held = self._kept.get(key)
            if held is not None:
                self._kept.move_to_end(key)
                return held
        made = make()
        made.flags.writeable = False
        with self._lock:
            if replaces is not None:
                for older in [each for each in self._kept if each[: len(replaces)] == replaces]:
                    del self._kept[older]
            self._kept[key] = made
            while len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
        return made


def _codes(shown: npt.NDArray[np.float32]) -> Codes:
    """Display values in 0..1 as 8 bits."""
    return np.asarray(np.clip(np.nan_to_num(shown, nan=0.0), 0.0, 1.0) * 255.0 + 0.5, np.uint8)


def _jpeg(picture: Codes, quality: int = QUALITY) -> bytes:
    """(h, w, 3) RGB or (h, w) gray; color at full resolution, because colors are picked from it."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    found, data = cv2.imencode(".jpg", picture[..., ::-1] if picture.ndim == 3 else picture, options)
    if not found:
        raise ImageError("the picture cannot be encoded")
    return data.tobytes()


def _png(picture: Codes) -> bytes:
    """(h, w, 4) BGRA."""
    found, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not found:
        raise ImageError("the picture cannot be encoded")
    return data.tobytes()
