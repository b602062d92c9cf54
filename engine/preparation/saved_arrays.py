"""Arrays saved between runs: numpy's archives, which may be damaged in any way, read within limits."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.base.whole_file import check_regular

__all__ = ["load_arrays"]

MAX_BYTES = 2**32
"""Of all arrays of one file: a state of an 8K frame has a quarter of it."""

_DAMAGES = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    TypeError,
    SyntaxError,
    RuntimeError,
    OverflowError,
    MemoryError,
    tokenize.TokenError,
    zlib.error,
    zipfile.BadZipFile,
)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of an archive by name.

    Raises:
        ValueError: it is missing or damaged, whatever the damage is.
    """
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise ValueError("too large")
        with np.load(path, allow_pickle=False) as saved:
            return {name: saved[name] for name in saved.files}
    except _DAMAGES as error:
        raise ValueError(f"no saved arrays, or damaged: {type(error).__name__}") from error
