"""The memory that one decoded image may take: 4 GiB, unless an environment variable says otherwise."""

from __future__ import annotations

import math
import os

from engine.base.errors import InputError

__all__ = ["VARIABLE", "limit_bytes"]

VARIABLE = "PAINTOVER_MAX_IMAGE_GIB"
_DEFAULT_GIB = 4.0


def limit_bytes() -> int:
    """The limit in bytes.

    Raises:
        InputError: the variable holds no number.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        gib = float(text) if text else _DEFAULT_GIB
    except ValueError:
        gib = math.nan
    if not 0 < gib < 2**20:
        raise InputError(f"{VARIABLE}={text[:40]} is no size", remedy="set it to GiB of memory, such as 8")
    return int(gib * 2**30)
