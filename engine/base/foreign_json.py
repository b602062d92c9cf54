"""JSON that someone else wrote: parsed within limits of bytes, depth and digits."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["MAX_DEPTH", "parse_json"]

MAX_BYTES = 2**24
MAX_DEPTH = 64
MAX_DIGITS = 40
"""Of a whole number: the 128 bits of a random generator's state have 39."""


def parse_json(text: str | bytes, max_bytes: int = MAX_BYTES) -> Any:
    """Parse JSON whose every number and text can be handled: whole numbers of 40 digits, real numbers in range.

    Raises:
        ValueError: not JSON or not UTF-8; too long, too deep; a number with too many digits or beyond a double; a text
            with half a character.
    """
    if len(text) > max_bytes:
        raise ValueError(f"it has {len(text):,} bytes, over {max_bytes:,}")
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        # Only an escape can make half a character; it could not be printed or written.
        if "\\u" in text:
            json.dumps(json.loads(text, parse_int=_integer), ensure_ascii=False).encode()
        data = json.loads(text, parse_int=_integer)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except MemoryError as error:
        raise ValueError("it is too large") from error
    except UnicodeError as error:
        raise ValueError("it is not UTF-8") from error
    _check_depth(data)
    return data


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _check_depth(data: Any) -> None:
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise ValueError("it is nested too deeply")
