"""Errors: all that Paintover raises on purpose.

::

    PaintoverError                  exit 1
    |-- InputError                  exit 2   wrong usage or wrong input: a retry does not help
    |   |-- ImageError                       an image is missing, unreadable, truncated or of the wrong size
    |   |-- ColorError                       an unknown colorspace, display, view or config
    |   `-- LookError                        not a look, a damaged look, or one of a newer format
    |-- DeviceError                 exit 2   the requested device is not there
    |-- OutputError                 exit 1   disk full or another failure while writing
    |   `-- NoPermissionError       exit 2   the place of an output may not be written
    |-- FrameFailures               exit 1   some frames failed, the others are done
    |-- VerifyError                 exit 3   frames are missing, damaged or foreign
    |-- ExportError                 exit 1   the exported look differs from the trained network
    `-- Interrupted                 exit 130 stopped by the user, 143 by SIGTERM; what was done is kept
"""

from __future__ import annotations

import errno
import re
from pathlib import Path

__all__ = [
    "ColorError",
    "DeviceError",
    "ExportError",
    "FrameFailures",
    "ImageError",
    "InputError",
    "Interrupted",
    "LookError",
    "NoPermissionError",
    "OutputError",
    "PaintoverError",
    "VerifyError",
    "system_error",
]

_WRONG_NAMES = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)


class PaintoverError(Exception):
    """Base of the tree.

    ``message`` is one line: what was wrong, with frame and path. ``remedy`` says what to do; it follows the message
    after a colon-free separator so that log scrapers see one line.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, remedy: str = "", frame: int | None = None, path: Path | str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.frame = frame
        self.path = None if path is None else Path(path)

    def __str__(self) -> str:
        parts = [self.message]
        if self.frame is not None and re.search(rf"\bframe {self.frame}\b", self.message) is None:
            parts.insert(0, f"frame {self.frame}:")
        if self.path is not None and not _names(self.message, str(self.path)):
            parts.append(f"({self.path})")
        line = " ".join(parts)
        return " ".join((f"{line}; {self.remedy}" if self.remedy else line).split())


def _names(message: str, path: str) -> bool:
    """Whether the message has the path as a word of its own: ``a`` stands in every other message."""
    return re.search(rf"(?<![\w./\\-]){re.escape(path)}(?![\w/\\-]|\.\w)", message) is not None


class InputError(PaintoverError):
    """Wrong usage or wrong input; a retry will not help."""

    exit_code = 2


class ImageError(InputError):
    """An image that is missing, unreadable, truncated, or of the wrong size."""


class ColorError(InputError):
    """A colorspace, display, view or config that OpenColorIO does not know."""


class LookError(InputError):
    """A file that is not a look, a damaged look, or a look of a newer format."""


class DeviceError(PaintoverError):
    """The requested device is not available."""

    exit_code = 2


class OutputError(PaintoverError):
    """Writing failed; a retry may help once the cause (disk full, say) is gone."""


class NoPermissionError(OutputError):
    """The place of an output may not be written."""

    exit_code = 2


class FrameFailures(PaintoverError):
    """Some frames failed; the others are whole. ``failures`` maps frame numbers to one-line messages."""

    def __init__(self, message: str, failures: dict[int, str], *, exit_code: int = 1, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.failures = failures
        self.exit_code = exit_code


class VerifyError(PaintoverError):
    """Expected frames are missing, damaged, or belong to another look or other settings."""

    exit_code = 3


class ExportError(PaintoverError):
    """The exported look does not reproduce the trained network; nothing was written."""


class Interrupted(PaintoverError):
    """Stopped on request; finished work is kept. ``exit_code`` is 130 for Ctrl-C and 143 for SIGTERM."""

    def __init__(self, message: str, *, exit_code: int = 130, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.exit_code = exit_code


def system_error(fault: OSError) -> PaintoverError:
    """What the system refused, in a line: a wrong input where it takes no such name, else something that may pass."""
    path = fault.filename if isinstance(fault.filename, str) else None
    reason = fault.strerror or type(fault).__name__
    return (InputError if fault.errno in _WRONG_NAMES else PaintoverError)(reason, path=path)
