"""Plate color: what a rendered frame's plate was taken as, and whether it would be taken as the same now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine import images
from engine.base.errors import ImageError
from engine.base.frames import SequencePath
from engine.color.assignment import Assignment, assign
from engine.color.config import ColorConfig
from engine.color.made_spaces import FILM_LOG
from engine.images import movies
from engine.images.header import Header

__all__ = ["PlateColor"]

_FACT = "plate_colorspace"
_FIRST_GAMUTS = ("rec709", "ap1", "ap0", "p3d65", "rec2020")
"""Those that chromaticities of EXR were known by before frames carried the fact."""


@dataclass(frozen=True)
class PlateColor:
    """What a frame of a plate is taken as."""

    colorspace: str
    """OCIO name."""
    is_as_before: bool
    """Whether versions whose frames do not say it took the plate as the same."""

    @classmethod
    def of(cls, plate: SequencePath, stated: str | None, frame: int, config: ColorConfig) -> PlateColor:
        """Of one frame's file; of a movie, for all of it.

        Args:
            stated: the colorspace that somebody said the plate is in.

        Raises:
            ImageError: the plate's frame is missing or damaged.
            ColorError: its colorspace cannot be told.
        """
        path = plate.path(frame)
        if stated:
            return cls(config.resolve(stated), True)
        header = _movie_header(path) if plate.is_movie else images.read_header(path, frame=frame, layer=plate.layer)
        taken = assign(config, header, path)
        return cls(taken.colorspace, _is_as_before(config, header, taken))

    def fits(self, carried: Mapping[str, str]) -> bool:
        """Whether a frame with this provenance was made from the plate as it is taken now."""
        said = carried.get(_FACT)
        return self.is_as_before if said is None else said == self.colorspace

    def why_again(self, carried: Mapping[str, str]) -> str:
        """Why a frame that does not fit is rendered again, the same words for all frames of a plate."""
        before = carried.get(_FACT, "another colorspace, by the rule of an earlier version")
        return f"frames are rendered again: their plate was taken as {before}, and is {self.colorspace}"


def _is_as_before(config: ColorConfig, header: Header, taken: Assignment) -> bool:
    """That rule: names and five gamuts in EXR, the config's file rules, built-in ones too, sRGB for all integers."""
    if header.file_format == "openexr":
        if taken.source != "file":
            return not config.is_built_in
        encoding = header.claims[0].encoding
        return encoding is None or encoding.gamut_name in _FIRST_GAMUTS
    if header.file_format in {"dpx", "cineon"}:
        return taken.source == "custom" and taken.colorspace != FILM_LOG
    if header.bit_depth in {"uint8", "uint16"}:
        return taken.colorspace == config.find("sRGB")
    return taken.source == "custom"


def _movie_header(path: Path) -> Header:
    try:
        status = path.stat()
    except OSError as error:
        raise ImageError("the plate is missing", path=path, remedy="check --plate") from error
    return _remembered_header(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _remembered_header(path: Path, _size: int, _modified_ns: int) -> Header:
    """Tags stand for the whole movie; a frame has to be decoded for them."""
    return movies.read_frame(path, 0).header
