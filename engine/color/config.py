"""Colorspaces through OpenColorIO: a file's colorspace to the working one and back, and display views both ways."""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PyOpenColorIO as ocio

from engine.base.arrays import Floats
from engine.base.errors import ColorError
from engine.base.whole_file import check_regular
from engine.color import made_spaces
from engine.color.assignment import assign
from engine.color.known_spaces import FILM_LOG_NAMES, LINEAR_REC709, SRGB, claim_for
from engine.color.tables import check_tables, tables_of
from engine.images.color_claims import ColorClaim
from engine.images.gamuts import Encoding
from engine.images.header import Header

__all__ = ["ColorConfig"]

log = logging.getLogger(__name__)


_BUILTIN = "ocio://default"
_SCENE_LINEAR = "scene_linear"

# Names in everyday use, and what configs of several generations call the same thing.
_EVERYDAY = {
    "srgb": SRGB,
    "srgb texture": SRGB,
    "srgb_rec709_scene": SRGB,
    "linear": (_SCENE_LINEAR,),
    "lin_rec709": LINEAR_REC709,
    "lin_rec709_scene": LINEAR_REC709,
    "lin_srgb": LINEAR_REC709,
    "cineon": FILM_LOG_NAMES[:2],
}


class ColorConfig:
    """One OCIO config with its processors. Safe to share between threads.

    Conversions keep negatives and values above 1 wherever the config's own transform does: OCIO's sRGB and gamma
    curves do, logarithmic curves without a linear toe (ACEScc) clamp. Processors are built without OCIO's fast
    approximations, whose 4e-5 relative error would not survive a round trip.
    """

    def __init__(self, config: ocio.Config, name: str, *, built_in: bool = False, tables: tuple[str, ...] = ()) -> None:
        """``built_in`` configs come with OCIO: their file rules are nobody's decision. ``tables``: files it reads."""
        # OCIO's cache takes two tables of one length for the same: its key has their smallest and largest values only.
        config.setProcessorCacheFlags(ocio.PROCESSOR_CACHE_OFF)
        self._config = config
        self._name = name
        self._built_in = built_in
        self._tables = tables
        self._made: dict[str, _MadeSpace] = {
            made_spaces.FILM_LOG: _MadeSpace(made_spaces.film_log),
        }
        self._found: dict[str, str] = {}
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
        stamps, config = _loaded.get(source, ((), None))
        if config is None or stamps != _stamps(source, config._tables):
            config = cls._load(source, named_by_caller=path is not None)
            _loaded[source] = (_stamps(source, config._tables), config)
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
            return cls(config, config.getName() or source, built_in=True)
        digest, tables = hashlib.sha256(Path(source).read_bytes()), tables_of(config)
        # OCIO keeps the tables that it has read by their paths, whatever becomes of the files.
        ocio.ClearAllCaches()
        for path in tables:
            digest.update(path.read_bytes())
        name = f"{config.getName() or Path(source).stem}-{digest.hexdigest()[:12]}"
        return cls(config, name, tables=tuple(map(str, tables)))

    @property
    def name(self) -> str:
        """Identifies the config's content on any machine: a built-in's name, or a file's name and hash."""
        return self._name

    @property
    def is_built_in(self) -> bool:
        """Whether the config comes with OCIO, so that nobody wrote its file rules for these files."""
        return self._built_in

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
        found = self.find(name)
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
        """The colorspace of a file that nobody stated one for, by the rule of :mod:`engine.color.assignment`.

        Args:
            hint: the file's header, or the name that its metadata gives, or None.
            path: the file, for its extension and the file rules.
        """
        named = self.find(hint) if isinstance(hint, str) else ""
        return named or assign(self, hint if isinstance(hint, Header) else None, path).colorspace

    def find(self, name: str) -> str:
        """The config's name for a colorspace, an alias, a role or an everyday name; empty where it has none."""
        if name in self._made:
            return name
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._search(name)
        return found

    def find_interop(self, identifier: str) -> str:
        """The config's space with an identifier of the Color Interop Forum; empty where it has none.

        Any space of data will do for "data".
        """
        for space in self._config.getColorSpaces(ocio.SEARCH_REFERENCE_SPACE_ALL, ocio.COLORSPACE_ALL):
            own = space.getInteropID() if hasattr(space, "getInteropID") else ""
            if own == identifier or (identifier == "data" and space.isData()):
                return str(space.getName())
        return ""

    def by_file_rule(self, path: str) -> str:
        """The colorspace that the config's own file rules give ``path``; empty where only the default rule does.

        Configs of OCIO 1 have no rules, but search the whole path for names of spaces: a folder "catalog" holds "log".
        There the name must be a word of the file's own name. Patterns see the whole path, wherever one stands.
        """
        path = Path(os.path.abspath(path)).as_posix()  # noqa: PTH100 (links stay)
        if self._built_in or self._config.filepathOnlyMatchesDefaultRule(path):
            return ""
        found = self._canonical(self._config.getColorSpaceFromFilepath(path)[0])
        if self._config.getMajorVersion() == 1:
            words = rf"(?<![^\W_]){re.escape(found)}(?![^\W_])"
            return found if re.search(words, Path(path).name, re.IGNORECASE) else ""
        return found

    def make_from_encoding(self, encoding: Encoding) -> str:
        """A colorspace that the config lacks, by gamut and curve; its name from here on.

        Raises:
            ColorError: the config cannot tell how it relates to its own.
        """
        name = str(encoding)
        made = _MadeSpace(lambda: made_spaces.from_encoding(self._config, encoding, self._working), encoding)
        return self._make(name, made)

    def make_from_icc(self, profile: bytes, name: str) -> str:
        """A colorspace by ICC profile; its name from here on.

        Raises:
            ColorError: not a profile of primaries and curves, or the config cannot tell how it relates to its own.
        """
        digest = hashlib.sha256(profile).hexdigest()[:8]

        def build() -> ocio.Transform:
            return made_spaces.from_icc(self._config, profile, name, self._working)

        return self._make(f"ICC {name} {digest}", _MadeSpace(build, None, profile))

    def made_encoding(self, space: str) -> Encoding | None:
        """Of a space that :meth:`make_from_encoding` made; None for any other."""
        made = self._made.get(space)
        return None if made is None else made.encoding

    def made_profile(self, space: str) -> bytes:
        """Of a space that :meth:`make_from_icc` made; empty for any other."""
        made = self._made.get(space)
        return b"" if made is None else made.profile

    def claim_for(self, space: str) -> ColorClaim:
        """What a file that holds ``space`` can say about it."""
        return claim_for(self, self.resolve(space))

    def interop_id(self, space: str) -> str:
        """The identifier of the Color Interop Forum that the config gives a space; empty where it has none."""
        found = self._config.getColorSpace(space)
        return "" if found is None or not hasattr(found, "getInteropID") else str(found.getInteropID())

    def is_data(self, space: str) -> bool:
        """Whether a space holds data and not color."""
        found = self._config.getColorSpace(space)
        return found is not None and bool(found.isData())

    def is_picture(self, space: str) -> bool:
        """Whether values of a space look right on a screen as they are: standard video and pictures, or data.

        By the encoding that the config gives the space, else by where it puts black, gray and white.
        """
        found = self._config.getColorSpace(space)
        if found is not None and found.isData():
            return True
        encoding = "" if found is None else str(found.getEncoding())
        if encoding:
            return encoding == "sdr-video"
        try:
            black, gray, white = self.to_working(np.array([[[0.0] * 3, [0.5] * 3, [1.0] * 3]], np.float32), space)[0]
        except ColorError:
            return False
        dark = float(np.abs(black).max()) < 0.02
        return dark and bool((white > 0.8).all() and (white < 1.25).all()) and bool((gray < 0.45).all())

    def to_aces(self, rgb: Floats, colorspace: str) -> Floats:
        """(H, W, 3) of ``colorspace`` as ACES2065-1.

        Raises:
            ColorError: the config cannot tell how its spaces relate to that.
        """
        processor = self._cached(("aces", self._working), lambda: made_spaces.to_aces(self._config, self._working))
        return self._apply(processor, self.to_working(rgb, colorspace))

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
        """``display``, or the config's default one, and that display's default view, or the first that shows color.

        Raises:
            ColorError: an unknown display.
        """
        display = display or self._config.getDefaultDisplay()
        views = self.views(display)
        default = self._config.getDefaultView(display)
        # "None" and "Raw" show data; some configs name them first.
        shown = [view for view in (default, *views) if not self.is_data(self.view_space(display, view))]
        return display, next(iter(shown), default)

    def views(self, display: str) -> list[str]:
        """The views of ``display``.

        Raises:
            ColorError: an unknown display.
        """
        displays = list(self._config.getDisplays())
        if display not in displays:
            raise ColorError(f"unknown display {display!r}", remedy=f"choose one of {', '.join(displays)}")
        return list(self._config.getViews(display))

    def view_space(self, display: str, view: str) -> str:
        """The colorspace that a view's values are in."""
        name = str(self._config.getDisplayViewColorSpaceName(display, view))
        return self._canonical(display if not name or name == "<USE_DISPLAY_NAME>" else name) or display

    def view_forward(self, rgb_working: Floats, display: str, view: str, looks: str = "") -> Floats:
        """Scene-linear to display values, (H, W, 3), not clipped here. ``looks`` replaces the view's own OCIO looks.

        Raises:
            ColorError: an unknown display, view or look.
        """
        return self._apply(self._view(display, view, looks, ocio.TRANSFORM_DIR_FORWARD), rgb_working)

    def view_inverse(self, rgb_display: Floats, display: str, view: str, looks: str = "") -> Floats:
        """Display values to scene-linear. Where the view clips or compresses, one of the values that it maps there."""
        return self._apply(self._view(display, view, looks, ocio.TRANSFORM_DIR_INVERSE), rgb_display)

    def _canonical(self, name: str) -> str:
        space = self._config.getColorSpace(name)
        return "" if space is None else str(space.getName())

    def _make(self, name: str, made: _MadeSpace) -> str:
        with self._lock:
            self._made.setdefault(name, made)
        self._conversion(name, self._working)
        return name

    def _search(self, name: str) -> str:
        candidates = (name, *_EVERYDAY.get(name.lower(), ()))
        found = next((space for space in map(self._canonical, candidates) if space), "")
        if not found and name.lower() == "cineon":
            return made_spaces.FILM_LOG
        return found or next((space for space in map(self._equivalent, candidates) if space), "")

    def _equivalent(self, builtin_name: str) -> str:
        builtin = ocio.Config.CreateFromFile(_BUILTIN)
        if builtin.getColorSpace(builtin_name) is None:
            return ""
        try:
            return str(ocio.Config.IdentifyBuiltinColorSpace(self._config, builtin, builtin_name))
        except (ocio.Exception, ocio.ExceptionMissingFile):
            return ""

    def _spellings(self) -> list[str]:
        spellings = [role for role, _ in self._config.getRoles()]
        for space in self._config.getColorSpaces():
            spellings += [space.getName(), *space.getAliases()]
        return spellings

    def _conversion(self, source: str, target: str) -> ocio.CPUProcessor:
        def build() -> ocio.Processor:
            if source in self._made:
                return self._config.getProcessor(self._made[source].build())
            if target in self._made:
                return self._config.getProcessor(self._made[target].build(), ocio.TRANSFORM_DIR_INVERSE)
            return self._config.getProcessor(source, target)

        return self._cached(("space", source, target), build)

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
                    raise _no_conversion(key, error) from error
            return self._processors[key]

    @staticmethod
    def _apply(processor: ocio.CPUProcessor, rgb: Floats) -> Floats:
        result = np.array(rgb, np.float32, order="C", copy=True)
        if result.size:
            processor.applyRGB(result)
        return result


@dataclass(frozen=True)
class _MadeSpace:
    """A colorspace that the config does not have."""

    build: Callable[[], ocio.Transform]
    """To the working space."""
    encoding: Encoding | None = None
    profile: bytes = b""


def _no_conversion(key: tuple[str, ...], error: Exception) -> ColorError:
    what = f"the view {key[1]} / {key[2]}" if key[0] == "view" else " to ".join(key[1:])
    reason = " ".join(str(error).split())
    if isinstance(error, ocio.ExceptionMissingFile):
        return ColorError(
            f"a table that the OCIO config needs for {what} is missing: {reason}",
            remedy="put it there, or correct the config's search_path",
        )
    return ColorError(f"OCIO cannot convert {what}: {reason}")


_loaded: dict[str, tuple[tuple[tuple[int, int], ...], ColorConfig]] = {}


def _stamps(source: str, tables: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Change when a config's file or one of its tables is written."""
    return tuple(map(_stamp, (source, *tables)))


def _stamp(source: str) -> tuple[int, int]:
    """Changes when a file is written; constant for the built-in configs."""
    if "://" in source:
        return (0, 0)
    try:
        status = Path(source).stat()
    except (OSError, ValueError):
        return (0, 0)
    return status.st_size, status.st_mtime_ns
