"""The memory that one image may need, as an environment variable for a while: for this process and its children."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from engine.base.image_memory import VARIABLE, limit_bytes

__all__ = ["active_limit", "image_limit"]


def active_limit(gib: float | None) -> float | None:
    """The limit that a job is made with, for other machines: ``gib``, else the variable's; None for the usual one.

    Raises:
        InputError: the variable holds no size.
    """
    if gib is not None:
        return gib
    return limit_bytes() / 2**30 if os.environ.get(VARIABLE) else None


@contextmanager
def image_limit(gib: float | None) -> Iterator[None]:
    """Set the variable, and put it back; None changes nothing.

    Of the whole process: one at a time.

    Raises:
        InputError: more than any machine has.
    """
    if gib is None:
        yield
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = repr(float(gib))
    try:
        limit_bytes()
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
