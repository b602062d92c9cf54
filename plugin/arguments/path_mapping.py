"""The same files under other names: path mapping between the machine that submits and the one that works.

The rules are those of Open Job Description, which writes them into a file for every session::

    {"version": "pathmapping-1.0",
     "path_mapping_rules": [{"source_path_format": "WINDOWS",
                             "source_path": "P:\\\\shows",
                             "destination_path": "/mnt/shows"}]}

The most specific rule counts, and only one is applied. Whole names are compared: a rule for ``/mnt/a`` says nothing
about ``/mnt/ab``. Windows paths are compared without case, and with either slash. What no rule names stays as it is.
A session without rules writes ``{}``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from engine.base.errors import InputError
from engine.base.foreign_json import parse_json
from engine.base.whole_file import read_text

__all__ = ["ENVIRONMENT", "PathMapping", "PathRule"]

ENVIRONMENT = "PAINTOVER_PATH_MAPPING"
"""Names the file of a worker that is given none by ``--path-mapping``."""

_VERSION = "pathmapping-1.0"
_REMEDY = f"write {_VERSION} as Open Job Description has it"
_FORMATS: Mapping[str, type[PurePosixPath] | type[PureWindowsPath]] = {
    "POSIX": PurePosixPath,
    "WINDOWS": PureWindowsPath,
}


@dataclass(frozen=True)
class PathRule:
    """One folder under its two names.

    Raises:
        InputError: an unknown format, or a source that is empty or relative.
    """

    source_format: str
    """POSIX or WINDOWS."""
    source: str
    """The folder as the submitting machine calls it; absolute."""
    destination: str
    """The folder as this machine calls it."""

    def __post_init__(self) -> None:
        if self.source_format not in _FORMATS:
            raise InputError(f'unknown source_path_format "{self.source_format}"', remedy="use POSIX or WINDOWS")
        if not _FORMATS[self.source_format](self.source).is_absolute():
            raise InputError(f'the source_path "{self.source}" is not absolute', remedy="name a folder from its root")
        if not self.destination:
            raise InputError(f'"{self.source}" has no destination_path', remedy=_REMEDY)

    @property
    def depth(self) -> int:
        """How many names the source has: the deepest rule that fits counts."""
        return len(_FORMATS[self.source_format](self.source).parts)

    def apply(self, path: str) -> str | None:
        """The path on this machine, or None where the rule does not fit."""
        kind = _FORMATS[self.source_format]
        given = kind(path)
        if not given.is_relative_to(kind(self.source)):
            return None
        return str(PurePath(self.destination).joinpath(*given.relative_to(kind(self.source)).parts))


@dataclass(frozen=True)
class PathMapping:
    """Rules, the deepest first; without any, every path stays as it is."""

    rules: tuple[PathRule, ...] = ()
    """As given; :meth:`apply` orders them."""

    @classmethod
    def load(cls, path: str | Path) -> PathMapping:
        """Read a rules file.

        Raises:
            InputError: missing, not JSON, of another version, or a rule that is none.
        """
        path = Path(path)
        try:
            data = parse_json(read_text(path))
        except OSError as error:
            why = f"cannot read the path mapping: {error.strerror or error}"
            raise InputError(why, path=path, remedy="check --path-mapping") from error
        except ValueError as error:
            raise InputError(f"the path mapping is not JSON: {error}", path=path, remedy=_REMEDY) from error
        try:
            return cls._from_data(data)
        except InputError as error:
            error.path = path
            raise

    @classmethod
    def active(cls, path: str | None) -> PathMapping:
        """The file given, else the one that ``$PAINTOVER_PATH_MAPPING`` names, else no rules.

        Raises:
            InputError: see :meth:`load`.
        """
        named = path or os.environ.get(ENVIRONMENT)
        return cls.load(named) if named else cls()

    @classmethod
    def _from_data(cls, data: Any) -> PathMapping:
        if data == {}:
            return cls()
        if not isinstance(data, dict) or data.get("version") != _VERSION:
            raise InputError("this is no path mapping of a version known here", remedy=_REMEDY)
        rules = data.get("path_mapping_rules", [])
        names = ("source_path_format", "source_path", "destination_path")
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            raise InputError("path_mapping_rules is no list of rules", remedy=_REMEDY)
        for rule in rules:
            for name in names:
                if not isinstance(rule.get(name), str):
                    raise InputError(f'a rule has no "{name}"', remedy=_REMEDY)
        return cls(tuple(PathRule(*(rule[name] for name in names)) for rule in rules))

    def apply(self, path: str) -> str:
        """The path as this machine calls it."""
        for rule in sorted(self.rules, key=lambda rule: -rule.depth):
            mapped = rule.apply(path)
            if mapped is not None:
                return mapped
        return path
