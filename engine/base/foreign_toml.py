"""TOML that someone else wrote: parsed within limits of bytes, depth and digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from engine.base.whole_file import read_text

__all__ = ["read_toml"]

MAX_BYTES = 2**20
"""A shot with a thousand keyframes has a tenth of it."""


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a file.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: not TOML, not UTF-8, too large, or nested too deeply.
    """
    text = read_text(path, MAX_BYTES)
    # The parser goes down a level of Python for each bracket, and back for each one that it cannot pair.
    if max(text.count("[["), text.count("[")) > 20_000:
        raise ValueError("it has over 20,000 brackets")
    try:
        data: dict[str, Any] = tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        raise ValueError(str(error)[:300]) from error
    except (RecursionError, OverflowError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise ValueError(f"{type(error).__name__} in its parser: nested too deeply, or repeated") from error
    return data
