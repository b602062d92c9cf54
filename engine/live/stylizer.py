"""Stylizer of live pictures: one look kept warm, and a keyframe taken from the stream itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine import images
from engine.base.arrays import Bytes, Floats
from engine.base.errors import ImageError, InputError, PaintoverError
from engine.color.assignment import assign, is_display_referred
from engine.color.config import ColorConfig
from engine.color.paintings import painting_color
from engine.color.showing import Showing
from engine.images.files import Image
from engine.live.sources import work_size
from engine.live.track import LiveTrack
from engine.look.card import open_look
from engine.look.exemplars import with_exemplar
from engine.look.session import Look
from engine.rendering.look_color import LookColor
from engine.shot.paintings import painted_alpha

__all__ = ["LiveStylizer", "PreparedPicture", "StyledPicture"]

_SAME_ASPECT = 0.02
"""Of the ratio of width and height, by which a painting may differ from its frame."""


@dataclass(frozen=True, eq=False)
class PreparedPicture:
    """A picture as the look takes it."""

    linear: Floats
    """(H, W, 3) in the look's colorspace."""
    stmap: Floats | None
    """(H, W, 3K); None where nothing is carried."""
    look: Look


@dataclass(frozen=True, eq=False)
class StyledPicture:
    """What is shown."""

    codes: Bytes
    """(H, W, 3) for a screen."""
    carried: float
    """Share of it that rides on the keyframe."""


class LiveStylizer:
    """A look at work on the pictures of one stream.

    Safe to use from several threads: :meth:`prepare` takes one picture after another, :meth:`finish` runs beside it.
    """

    def __init__(
        self,
        look: Path,
        config: ColorConfig,
        *,
        size: int,
        file: Path,
        colorspace: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        on_keyframe: Callable[[PaintoverError | None], None] | None = None,
    ) -> None:
        """
        Args:
            size: longest side of what is stylized, pixels; 0 for the source's own.
            file: by whose name a colorspace is told that no picture says.
            colorspace: of the source; None for what it says.
            on_keyframe: told, from another thread, that a keyframe is followed from now on, or why it is not.

        Raises:
            LookError, DeviceError: the look cannot be used.
            InputError: it takes guide images, which a stream does not have.
            ColorError: a colorspace is not in the config.
        """
        self._file = open_look(look)
        if self._file.card.guide_channels:
            raise InputError("this look takes guide images, which a live source does not have", path=look)
        self._config, self._size, self._source = config, size, file
        self._color = LookColor(config, self._file.card.working_colorspace)
        if colorspace is not None:
            config.resolve(colorspace)
        self._stated = colorspace
        self._space: tuple[str, bool] | None = None
        self._device, self._threads = device, threads
        self._plain = Look.load(self._file, device=device, threads=threads)
        self._on_keyframe = on_keyframe
        self._turn = threading.Lock()
        self._wanted: tuple[Path | None] | None = None
        self._keyed: tuple[Look, LiveTrack, tuple[int, ...]] | None = None
        self._closed = False

    def key(self, painting: Path | None = None) -> None:
        """The next picture becomes the keyframe that is followed from then on.

        Args:
            painting: of that picture; None for the look's own rendering of it.
        """
        self._wanted = (painting,)

    def unkey(self) -> None:
        """Follow nothing any more."""
        with self._turn:
            self._wanted = self._keyed = None

    @property
    def is_keyed(self) -> bool:
        """Whether a keyframe is followed."""
        return self._keyed is not None

    def prepare(self, image: Image) -> PreparedPicture:
        """Convert the next picture, and follow the keyframe to it.

        Raises:
            ColorError: its colorspace is unknown.
            ImageError: it is no picture of three channels.
        """
        with self._turn:
            space, _ = self._taken(image)
            linear = self._linear(image, space)
            if self._wanted is not None:
                wanted, self._wanted = self._wanted, None
                arguments = (linear.copy(), wanted[0], image)
                threading.Thread(target=self._follow, args=arguments, name="keyframe", daemon=True).start()
            keyed = self._keyed
            if keyed is None or keyed[2] != linear.shape:
                return PreparedPicture(linear, None, self._plain)
            look, track, _ = keyed
            stmap = np.zeros((*linear.shape[:2], 3 * look.k), np.float32)
            stmap[..., :3] = track.stmap(self._working(linear))
            return PreparedPicture(linear, stmap, look)

    def finish(self, picture: PreparedPicture) -> StyledPicture:
        """Stylize a picture.

        Raises:
            DeviceError, Interrupted: as :meth:`engine.look.session.Look.infer`.
        """
        styled = picture.look.infer(picture.linear, stmap=picture.stmap)
        rgb = np.where(np.isfinite(styled.rgb), styled.rgb, picture.linear)
        space, is_shown = self._space or (self._color.space, False)
        if is_shown:
            self._color.from_look(rgb, space)
        else:
            self._color.show(rgb, Showing.of(self._file.card.paint_colorspace, self._config))
        codes = np.asarray(np.clip(np.nan_to_num(rgb, nan=0.0), 0, 1) * np.float32(255) + np.float32(0.5), np.uint8)
        return StyledPicture(codes, float(styled.carried.mean()) if picture.stmap is not None else 0.0)

    def close(self) -> None:
        """End what runs; nothing is stylized any more."""
        self._closed = True
        keyed = self._keyed
        for look in (self._plain, *((keyed[0],) if keyed else ())):
            look.close()

    def _taken(self, image: Image) -> tuple[str, bool]:
        """The source's colorspace, and whether it is a screen's; told by its first picture."""
        if self._space is None:
            space = self._config.stated_or_guessed(self._stated, image.header, self._source)
            self._space = (space, is_display_referred(self._config, space, image.header))
        return self._space

    def _linear(self, image: Image, space: str) -> Floats:
        rgb = image.rgb
        if rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ImageError(f"a picture of {rgb.shape} is not stylized")
        width, height = work_size(rgb.shape[1], rgb.shape[0], self._size)
        if (width, height) != (rgb.shape[1], rgb.shape[0]):
            rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.float32)
        else:
            rgb = rgb.copy()
        self._color.to_look(rgb, space)
        return rgb

    def _working(self, linear: Floats) -> Floats:
        """In the config's working colorspace, in which tracks are made."""
        if self._color.space == self._config.working:
            return linear
        return self._config.to_working(linear, self._color.space)

    def _follow(self, linear: Floats, painting: Path | None, image: Image) -> None:
        """Make the look that carries this picture, and let it be followed."""
        try:
            painted = self._plain.infer(linear).rgb
            if painting is not None:
                painted = self._painted(painting, painted, image)
            made = with_exemplar(self._file, painted, linear)
            look = Look.load(made, device=self._device, threads=self._threads)
            track = LiveTrack(self._working(linear))
            track.warm_up()
        except PaintoverError as error:
            if not self._closed and self._on_keyframe is not None:
                self._on_keyframe(error)
            return
        with self._turn:
            if self._closed:
                look.close()
                return
            # The one before ends by itself, when nothing is stylized by it any more.
            self._keyed = (look, track, linear.shape)
        if self._on_keyframe is not None:
            self._on_keyframe(None)

    def _painted(self, path: Path, plain: Floats, image: Image) -> Floats:
        """The painting over what the look makes of the rest, in the look's colorspace."""
        found = images.read(path)
        height, width = plain.shape[:2]
        own = found.header.to_display(found.rgb)
        if abs(own.shape[1] / own.shape[0] - width / height) > _SAME_ASPECT * width / height:
            wrong = f"the painting is {own.shape[1]}x{own.shape[0]}, the stream {width}x{height}"
            raise ImageError(wrong, path=path, remedy="paint a frame of this stream")
        taken = assign(self._config, image.header, self._source, self._stated)
        color = painting_color(self._config, found.header, path, None, taken, image.header)
        rgb = np.asarray(found.header.to_display(color.to_working(found, self._config)), np.float32)
        alpha = painted_alpha(found)
        share = np.ones(rgb.shape[:2], np.float32) if alpha is None else found.header.to_display(alpha)
        rgb, share = (
            np.asarray(cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA), np.float32)
            for each in (rgb, share)
        )
        if self._color.space != self._config.working:
            rgb = self._config.from_working(rgb, self._color.space)
        return np.asarray(plain + share[..., None] * (rgb - plain), np.float32)
