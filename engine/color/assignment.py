"""Assignments: which colorspace an image is in, and why.

In this order, for every format alike:

1. what was asked;
2. what the file itself says (:mod:`engine.images.color_claims`);
3. the file rules of an OCIO config that somebody wrote, beyond its default rule; the rules of a built-in config say
   nothing about anybody's files;
4. the custom of the format: film scans are logarithmic, movies and integer images are shown as they are, and float
   images are scene-linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.base.errors import ColorError
from engine.color.known_spaces import SRGB, film_log_of, known_space, same_space
from engine.images.color_claims import ColorClaim
from engine.images.gamuts import GAMUTS, Encoding
from engine.images.header import Header

if TYPE_CHECKING:
    from engine.color.config import ColorConfig

__all__ = ["Assignment", "assign", "claimed_by", "is_display_referred"]

_INTEGER_DEPTHS = {"uint8", "uint16"}
_INTEGER_EXTENSIONS = {
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".tga",
    ".bmp",
    ".webp",
    ".gif",
    ".jp2",
    ".psd",
    ".ppm",
}
_FILM_EXTENSIONS = {".dpx", ".cin"}
_FILM_FORMATS = {"dpx", "cineon"}
_VIDEO, _SRGB = Encoding(GAMUTS["rec709"], "bt1886"), Encoding(GAMUTS["rec709"], "srgb")
_SILENT = "the file does not say, and "


@dataclass(frozen=True)
class Assignment:
    """The colorspace of one image."""

    colorspace: str
    """The config's name for it."""
    why: str
    """For people: "chromaticities in the file"."""
    source: str
    """asked, file, rule or custom."""
    doubt: str = ""
    """What the file says and the OCIO config does not know; empty where there is nothing."""

    def said(self, what: str) -> str:
        """One line, such as "plate taken as ACEScg: chromaticities in the file"."""
        return f"{what} taken as {self.colorspace}: {self.why}"


def assign(config: ColorConfig, header: Header | None, path: Path | str, asked: str | None = None) -> Assignment:
    """The colorspace of an image.

    Args:
        header: the file's; None where only its name is known.
        path: the file, for its extension and the file rules.
        asked: what somebody said it is in.

    Raises:
        ColorError: ``asked`` is unknown, what the file says of its pixels cannot be read, or the format's custom is a
            space that the config does not have.
    """
    if asked:
        return Assignment(config.resolve(asked), "as asked", "asked")
    try:
        claimed = None if header is None else claimed_by(config, header)
    except ColorError as error:
        error.path = error.path or Path(path)
        raise
    if claimed is not None:
        return claimed
    by_rule = config.by_file_rule(str(path))
    if by_rule:
        found = Assignment(by_rule, "a file rule of the OCIO config", "rule")
    else:
        found = _custom(config, header, Path(path))
    if header is not None and header.claims:
        unknown = f"{header.claims[0].source}, unknown to the OCIO config"
        why = found.why.replace(_SILENT, "")
        found = Assignment(found.colorspace, f"{unknown}; {why}", found.source, doubt=unknown)
    return found


def claimed_by(config: ColorConfig, header: Header) -> Assignment | None:
    """What a file says of itself, and of what else it says otherwise; None where it says nothing that the config knows.

    Raises:
        ColorError: what it says of its pixels cannot be read.
    """
    for number, claim in enumerate(header.claims):
        space = _space_of(config, claim)
        if space:
            other = _contradiction(config, space, header.claims[number + 1 :])
            return Assignment(space, f"{claim.source}{other}", "file")
    return None


def is_display_referred(config: ColorConfig, space: str, header: Header) -> bool:
    """Whether an image looks right when it is shown as it is: integers or a movie, in a space of displays or pictures.

    Film log and HDR are not, nor is anything that is stored as float.
    """
    return header.bit_depth in _INTEGER_DEPTHS and config.is_picture(space)


def _contradiction(config: ColorConfig, space: str, weaker: tuple[ColorClaim, ...]) -> str:
    """The first claim that means something else, in words; empty where all agree."""
    for claim in weaker:
        try:
            other = _space_of(config, claim)
            if other and other != space and not _alike(config, space, other):
                return f", which comes before {claim.source} ({other})"
        except ColorError:
            continue
    return ""


def _alike(config: ColorConfig, one: str, other: str) -> bool:
    first, second = config.claim_for(one).encoding, config.claim_for(other).encoding
    return first is None or second is None or str(first) == str(second)


def _space_of(config: ColorConfig, claim: ColorClaim) -> str:
    """The config's space that a claim means; empty for a name that it does not have."""
    if claim.refused:
        raise ColorError(
            claim.refused,
            remedy="convert the picture to sRGB, or say what it is in with --colorspace or --paint-colorspace",
        )
    if claim.film_log:
        return film_log_of(config)
    if claim.icc:
        made = config.make_from_icc(claim.icc, claim.source.removeprefix("ICC profile "))
        return same_space(config, made) or made
    named = (config.find_interop(claim.name) or config.find(claim.name)) if claim.name else ""
    if named or claim.encoding is None:
        return named
    return known_space(config, claim.encoding) or config.make_from_encoding(claim.encoding)


def _space_or_none(config: ColorConfig, encoding: Encoding) -> str:
    """The config's space for an encoding, or one made for it; empty where the config cannot tell."""
    try:
        return known_space(config, encoding) or config.make_from_encoding(encoding)
    except ColorError:
        return ""


def _custom(config: ColorConfig, header: Header | None, path: Path) -> Assignment:
    extension = path.suffix.lower()
    if header is None:
        film, movie, integer = extension in _FILM_EXTENSIONS, False, extension in _INTEGER_EXTENSIONS
    else:
        film, movie = header.file_format in _FILM_FORMATS, header.file_format == "movie"
        integer = header.bit_depth in _INTEGER_DEPTHS and not movie
    if film:
        return Assignment(film_log_of(config), f"{_SILENT}film scans are logarithmic", "custom")
    if movie:
        space = _space_or_none(config, _VIDEO)
        if space:
            return Assignment(space, f"{_SILENT}movies are BT.709 video", "custom")
    if integer or movie:
        found = next((space for space in map(config.find, SRGB) if space), "") or _space_or_none(config, _SRGB)
        if not found:
            raise ColorError(
                f"the file does not say what it is in, integer images are sRGB, and the OCIO config {config.name} "
                "cannot tell what that is",
                path=path,
                remedy="name the config's own colorspace with --colorspace or --paint-colorspace",
            )
        why = "integer images are sRGB" if integer else "the OCIO config has no BT.709 video, which movies are: sRGB"
        return Assignment(found, f"{_SILENT}{why}", "custom")
    return Assignment(config.working, f"{_SILENT}float images are scene-linear (the scene_linear role)", "custom")
