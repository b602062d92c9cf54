"""Tables that an OCIO config names: files that OCIO reads to their end when they are first needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import PyOpenColorIO as ocio

from engine.base.errors import ColorError

__all__ = ["check_tables", "tables_of"]

_MAX_TABLE_BYTES = 2**27
"""OCIO takes cubes of 129 steps at most, which are 100 MB as text."""


def check_tables(config: ocio.Config) -> None:
    """Refuse a table that has no end, or none that is near.

    One that is missing is told where it is needed: few shots need all of a config.

    Raises:
        ColorError: one is a pipe or a device, or larger than any that is in use.
    """
    for path in _paths(config):
        try:
            has_size = path.is_file()
            is_endless = path.exists() and not has_size
        except (OSError, ValueError):
            continue
        if is_endless:
            raise ColorError("a table of the OCIO config is not a regular file", path=path, remedy="copy it again")
        if has_size and path.stat().st_size > _MAX_TABLE_BYTES:
            gib = path.stat().st_size / 2**30
            raise ColorError(f"a table of the OCIO config has {gib:.1f} GiB", path=path, remedy="copy it again")


def tables_of(config: ocio.Config) -> list[Path]:
    """The tables that can be found, in order: they change pixels as the config's own text does."""
    return sorted(path for path in _paths(config) if path.is_file())


def _paths(config: ocio.Config) -> set[Path]:
    context, found = config.getCurrentContext(), set()
    for name in _names(config):
        try:
            found.add(Path(context.resolveFileLocation(name)))
        except (ocio.Exception, ocio.ExceptionMissingFile, ValueError):
            continue
    return found


def _names(config: ocio.Config) -> set[str]:
    names: set[str] = set()
    waiting = [transform for transform in _transforms(config) if transform is not None]
    while waiting:
        transform = waiting.pop()
        if isinstance(transform, ocio.GroupTransform):
            waiting += list(transform)
        elif isinstance(transform, ocio.FileTransform):
            names.add(transform.getSrc())
    return names


def _transforms(config: ocio.Config) -> Iterator[ocio.Transform | None]:
    for space in config.getColorSpaces(ocio.SEARCH_REFERENCE_SPACE_ALL, ocio.COLORSPACE_ALL):
        yield space.getTransform(ocio.COLORSPACE_DIR_TO_REFERENCE)
        yield space.getTransform(ocio.COLORSPACE_DIR_FROM_REFERENCE)
    for view in config.getViewTransforms():
        yield view.getTransform(ocio.VIEWTRANSFORM_DIR_TO_REFERENCE)
        yield view.getTransform(ocio.VIEWTRANSFORM_DIR_FROM_REFERENCE)
    for named in config.getNamedTransforms(ocio.NAMEDTRANSFORM_ALL):
        yield named.getTransform(ocio.TRANSFORM_DIR_FORWARD)
        yield named.getTransform(ocio.TRANSFORM_DIR_INVERSE)
    for look in config.getLooks():
        yield look.getTransform()
        yield look.getInverseTransform()
