"""What the file system refuses, as one of our errors: a name that no try makes right is wrong input."""

from __future__ import annotations

import errno

from engine.base.errors import InputError, PaintoverError

__all__ = ["system_error"]

_WRONG_NAMES = {
    errno.ENAMETOOLONG: "shorten it",
    errno.ELOOP: "links there go in a circle, name the file itself",
    errno.EINVAL: "this disk takes no such name",
    errno.EILSEQ: "this disk takes no such name",
    errno.ENOTDIR: "a file stands where a folder should be",
}


def system_error(fault: OSError, *, frame: int | None = None) -> PaintoverError:
    """The error of the tree that says what ``fault`` means: exit code 2 where the name is at fault, else 1."""
    path = fault.filename if isinstance(fault.filename, str) else None
    reason = fault.strerror or str(fault) or type(fault).__name__
    if fault.errno in _WRONG_NAMES:
        return InputError(reason, frame=frame, path=path, remedy=_WRONG_NAMES[fault.errno])
    return PaintoverError(reason, frame=frame, path=path)
