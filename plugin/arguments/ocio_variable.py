"""An OCIO config as $OCIO for a while, for everything that asks OCIO and for every process started meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["active_config", "color_config"]


def active_config(path: str | None) -> str | None:
    """The config that a job is made with, for its record and for other machines: ``path``, else $OCIO.

    A file's path is absolute; None is OCIO's built-in config.
    """
    source = path or os.environ.get("OCIO") or None
    return source if source is None or "://" in source else os.path.abspath(source)  # noqa: PTH100 (links stay)


@contextmanager
def color_config(path: str | None) -> Iterator[None]:
    """Set $OCIO to a config, a file or such as ``ocio://default``, and put it back; None changes nothing.

    Of the whole process: one at a time.
    """
    if path is None:
        yield
        return
    before = os.environ.get("OCIO")
    os.environ["OCIO"] = path if "://" in path else os.path.abspath(path)  # noqa: PTH100 (links stay)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OCIO"]
        else:
            os.environ["OCIO"] = before
