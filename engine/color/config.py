"""Colorspaces through OpenColorIO: a file's colorspace to the working one and back, and display views both ways."""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PyOpenColorIO as ocio

from engine.base.arrays import Floats
from engine.base.errors import ColorError
from engine.base.whole_file import check_regular
from engine.color.tables import check_tables
from engine.images.header import Header

__all__ = ["ColorConfig"]

log = logging.getLogger(__name__)


_BUILTIN = "ocio://default"
_SCENE_LINEAR = "scene_linear"

# Names in everyday use, and what configs of several generations call the same thing.
_SRGB = ("srgb_texture", "srgb_tx", "sRGB - Texture", "srgb_rec709_scene", "Utility - sRGB - Texture", "sRGB")
_LINEAR_REC709 = ("lin_rec709_srgb", "lin_rec709", "lin_srgb", "Utility - Linear - sRGB", "Linear Rec.709 (sRGB)")
_EVERYDAY = {
    "srgb": _SRGB,
    "srgb texture": _SRGB,
    "srgb_rec709_scene": _SRGB,
    "linear": (_SCENE_LINEAR,),
    "lin_rec709": _LINEAR_REC709,
    "lin_rec709_scene": _LINEAR_REC709,
    "lin_srgb": _LINEAR_REC709,
}
_FILM_LOG = ("Cineon", "cineon", "ADX10", "Input - ADX - ADX10", "compositing_log")
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

# Red, green, blue and white xy of EXR's ``chromaticities`` attribute, and aliases of the linear space they mean.
_CHROMATICITIES = (
    ((0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290), _LINEAR_REC709),
    ((0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767), ("lin_ap1", "ACEScg")),
    ((0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767), ("lin_ap0", "ACES2065-1")),
    ((0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290), ("lin_p3d65", "Linear P3-D65")),
    ((0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290), ("lin_rec2020", "Linear Rec.2020")),
)
_XY_TOLERANCE = 5e-4


class ColorConfig:
    """One OCIO config with its processors. Safe to share between threads.

    Conversions keep negatives and values above 1 wherever the config's own transform does: OCIO's sRGB and gamma
    curves do, logarithmic curves without a linear toe (ACEScc) clamp. Processors are built without OCIO's fast
    approximations, whose 4e-5 relative error would not survive a round trip.
    """

    def __init__(self, config: ocio.Config, name: str) -> None:
        self._config = config
        self._name = name
        self._processors: dict[tuple[str, ...], ocio.CPUProcessor] = {}
        self._lock = threading.Lock()
        self._working = self._canonical(_SCENE_LINEAR)
        if not self._working:
            raise ColorError(
                f"the OCIO config {name} has no scene_linear role", remedy="add the role or choose another"
            )

    @classmethod
    def active(cls, path: str | Path | None = None) -> ColorConfig:
        """The config at ``path``, else the one $OCIO names, else OCIO's built-in default.

        Raises:
            ColorError: the config is missing, cannot be read, or has no scene_linear role.
        """
        source = str(path) if path is not None else os.environ.get("OCIO") or _BUILTIN
        # A resident process asks with every frame, and parsing a config takes longer than everything else around one.
        key = (source, _stamp(source))
        config = _loaded.get(key)
        if config is None:
            config = _loaded[key] = cls._load(source, named_by_caller=path is not None)
        return config

    @classmethod
    def _load(cls, source: str, *, named_by_caller: bool) -> ColorConfig:
        try:
            if "://" not in source:
                check_regular(Path(source))
            config = ocio.Config.CreateFromFile(source)
            if "://" not in source:
                check_tables(config)
        except (OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError):
                reason = "there is no such file"
            else:
                reason = getattr(error, "strerror", None) or str(error)
            origin = "" if named_by_caller else " that $OCIO names"
            raise ColorError(
                f"cannot load the OCIO config{origin}: {reason}",
                path=source.replace("\0", "?"),
                remedy="correct the path, or unset OCIO for the built-in config",
            ) from error
        except (ocio.Exception, ocio.ExceptionMissingFile) as error:
            origin = "" if named_by_caller else " that $OCIO names"
            raise ColorError(
                f"cannot load the OCIO config{origin}: {error}",
                path=None if "://" in source else source,
                remedy="correct the path, or unset OCIO for the built-in config",
            ) from error
        if "://" in source:
            return cls(config, config.getName() or source)
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()[:12]
        return cls(config, f"{config.getName() or Path(source).stem}-{digest}")

    @property
    def name(self) -> str:
        """Identifies the config's content on any machine: a built-in's name, or a file's name and hash."""
        return self._name

    @property
    def working(self) -> str:
        """The colorspace of the scene_linear role."""
        return self._working

    def names(self) -> list[str]:
        """Every active colorspace."""
        return list(self._config.getColorSpaceNames())

    def resolve(self, name: str) -> str:
        """The config's own name for a colorspace, an alias, a role, or an everyday name ("sRGB", "linear").

        "linear" is the scene_linear role. A name of the built-in config that this one lacks is matched by what it
        does, where OCIO can tell.

        Raises:
            ColorError: unknown; the message has the closest names.
        """
        found = self._find(name)
        if found:
            return found
        known = {alias.lower(): alias for alias in self._spellings()}
        close = [known[item] for item in difflib.get_close_matches(name.lower(), list(known), n=4, cutoff=0.4)]
        hint = f"did you mean {', '.join(close)}? " if close else ""
        raise ColorError(
            f"unknown colorspace {name!r} in the OCIO config {self._name}",
            remedy=f"{hint}`paintover doctor` lists all {len(self.names())}",
        )

    def guess(self, hint: Header | str | None, path: Path | str) -> str:
        """The colorspace of a file that nobody stated one for.

        In this order: what the metadata names, EXR chromaticities, the config's file rules beyond the default rule,
        the format: DPX and Cineon a film log space where the config has one, integer formats sRGB texture, float the
        working space.

        Args:
            hint: the file's header, or the name that its metadata gives, or None.
            path: the file, for its extension and the file rules.
        """
        space, reason = self._guess(hint, Path(path))
        log.info("%s is taken as %s: %s", path, space, reason)
        return space

    def stated_or_guessed(self, stated: str | None, hint: Header | str | None, path: Path | str) -> str:
        """The config's own name for the colorspace that a user stated, or where none is, what :meth:`guess` finds.

        Raises:
            ColorError: as :meth:`resolve`.
        """
        return self.resolve(stated) if stated else self.guess(hint, path)

    def to_working(self, rgb: Floats, colorspace: str) -> Floats:
        """(H, W, 3) of ``colorspace`` as the working colorspace, a new array. Data spaces ("Raw") pass unchanged.

        Raises:
            ColorError: an unknown colorspace, or no conversion from it.
        """
        return self._apply(self._conversion(self.resolve(colorspace), self._working), rgb)

    def from_working(self, rgb: Floats, colorspace: str) -> Floats:
        """The inverse of ``to_working``."""
        return self._apply(self._conversion(self._working, self.resolve(colorspace)), rgb)

    def default_display_view(self, display: str | None = None) -> tuple[str, str]:
        """``display``, or the config's default one, and that display's default view."""
        display = display or self._config.getDefaultDisplay()
        return display, self._config.getDefaultView(display)

    def views(self, display: str) -> list[str]:
        """The views of ``display``.

        Raises:
            ColorError: an unknown display.
        """
        displays = list(self._config.getDisplays())
        if display not in displays:
            raise ColorError(f"unknown display {display!r}", remedy=f"choose one of {', '.join(displays)}")
        return list(self._config.getViews(display))

    def view_forward(self, rgb_working: Floats, display: str, view: str, looks: str = "") -> Floats:
        """Scene-linear to display values, (H, W, 3), not clipped here. ``looks`` replaces the view's own OCIO looks.

        Raises:
            ColorError: an unknown display, view or look.
        """
        return self._apply(self._view(display, view, looks, ocio.TRANSFORM_DIR_FORWARD), rgb_working)

    def view_inverse(self, rgb_display: Floats, display: str, view: str, looks: str = "") -> Floats:
        """Display values to scene-linear. Where the view clips or compresses, one of the values that it maps there."""
        return self._apply(self._view(display, view, looks, ocio.TRANSFORM_DIR_INVERSE), rgb_display)

    def _guess(self, hint: Header | str | None, path: Path) -> tuple[str, str]:
        header = hint if isinstance(hint, Header) else None
        named = hint.colorspace_hint if isinstance(hint, Header) else hint
        found = self._find(named) if named else ""
        if found:
            return found, f"its metadata says {named}"
        found = "" if header is None else self._from_chromaticities(header)
        if found:
            return found, "its chromaticities say so"
        if not self._config.filepathOnlyMatchesDefaultRule(str(path)):
            by_rule = self._canonical(self._config.getColorSpaceFromFilepath(str(path))[0])
            if by_rule:
                return by_rule, "a file rule of the OCIO config says so"
        extension = path.suffix.lower()
        if extension in _FILM_EXTENSIONS:
            film = next((space for space in map(self._canonical, _FILM_LOG) if space), "")
            if film:
                return film, "film scans are logarithmic"
        integer = extension in _INTEGER_EXTENSIONS if header is None else header.bit_depth in {"uint8", "uint16"}
        if integer or extension in _FILM_EXTENSIONS:
            return self.resolve("sRGB"), "integer images are sRGB unless they say otherwise"
        return self._working, "float images are scene-linear unless they say otherwise"

    def _from_chromaticities(self, header: Header) -> str:
        values = header.attributes.get("chromaticities")
        if values is None or len(values) != 8:
            return ""
        for wanted, names in _CHROMATICITIES:
            if np.allclose(values, wanted, atol=_XY_TOLERANCE, rtol=0.0):
                return next((space for space in map(self._find, names) if space), "")
        return ""

    def _canonical(self, name: str) -> str:
        space = self._config.getColorSpace(name)
        return "" if space is None else str(space.getName())

    def _find(self, name: str) -> str:
        """The config's name for ``name``, or nothing."""
        candidates = (name, *_EVERYDAY.get(name.lower(), ()))
        found = next((space for space in map(self._canonical, candidates) if space), "")
        return found or next((space for space in map(self._equivalent, candidates) if space), "")

    def _equivalent(self, builtin_name: str) -> str:
        builtin = ocio.Config.CreateFromFile(_BUILTIN)
        if builtin.getColorSpace(builtin_name) is None:
            return ""
        try:
            return str(ocio.Config.IdentifyBuiltinColorSpace(self._config, builtin, builtin_name))
        except ocio.Exception:
            return ""

    def _spellings(self) -> list[str]:
        spellings = [role for role, _ in self._config.getRoles()]
        for space in self._config.getColorSpaces():
            spellings += [space.getName(), *space.getAliases()]
        return spellings

    def _conversion(self, source: str, target: str) -> ocio.CPUProcessor:
        return self._cached(("space", source, target), lambda: self._config.getProcessor(source, target))

    def _view(self, display: str, view: str, looks: str, direction: ocio.TransformDirection) -> ocio.CPUProcessor:
        if view not in self.views(display):
            raise ColorError(
                f"unknown view {view!r} of the display {display!r}",
                remedy=f"choose one of {', '.join(self.views(display))}",
            )

        def build() -> ocio.Processor:
            transform = ocio.DisplayViewTransform(
                src=self._working, display=display, view=view, looksBypass=bool(looks)
            )
            if looks:
                graded = ocio.LookTransform(src=self._working, dst=self._working, looks=looks)
                transform = ocio.GroupTransform([graded, transform])
            return self._config.getProcessor(transform, direction)

        return self._cached(("view", display, view, looks, str(direction)), build)

    def _cached(self, key: tuple[str, ...], build: Callable[[], ocio.Processor]) -> ocio.CPUProcessor:
        with self._lock:
            if key not in self._processors:
                try:
                    processor = build()
                    self._processors[key] = processor.getOptimizedCPUProcessor(ocio.OPTIMIZATION_LOSSLESS)
                except (ocio.Exception, ocio.ExceptionMissingFile) as error:
                    raise ColorError(f"OCIO cannot convert {' '.join(key[1:])}: {error}") from error
            return self._processors[key]

    @staticmethod
    def _apply(processor: ocio.CPUProcessor, rgb: Floats) -> Floats:
        result = np.array(rgb, np.float32, order="C", copy=True)
        if result.size:
            processor.applyRGB(result)
        return result


_loaded: dict[tuple[str, tuple[int, int]], ColorConfig] = {}


def _stamp(source: str) -> tuple[int, int]:
    """Changes when a config's file is written; constant for the built-in ones."""
    if "://" in source:
        return (0, 0)
    try:
        status = Path(source).stat()
    except (OSError, ValueError):
        return (0, 0)
    return status.st_size, status.st_mtime_ns
