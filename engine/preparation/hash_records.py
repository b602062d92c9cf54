"""Hash records: the hash of each prepared file, in a file beside it, so that a farm renders with no other.

``1042.exr`` has ``1042.exr.sha256``, one line as ``sha256sum`` writes it, so ``sha256sum --check`` reads it too. There
is one for each file and not a list, because machines that prepare side by side share nothing to write to. STMaps,
denoised frames and guide images of whatever origin have one: what somebody put there is known by what it was then.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.base.errors import ImageError
from engine.base.temporaries import replacing
from engine.base.whole_file import read_whole
from engine.images.provenance import file_sha256

__all__ = ["check_recorded", "record", "record_path"]

_REMEDY = "run paintover prepare again with the same --plate, --frames and --work, or wait for the copy"


def record_path(path: Path) -> Path:
    """Where the hash of a file is."""
    return path.with_name(f"{path.name}.sha256")


def record(paths: Iterable[Path]) -> None:
    """Write down what files are now; those that are missing are passed over.

    Raises:
        OutputError: a record cannot be written.
    """
    for path in paths:
        if not path.is_file():
            continue
        line = f"{file_sha256(path)}  {path.name}\n"
        place = record_path(path)
        # An unchanged one is not written again: it would only cost.
        if not _holds(place, line.encode()):
            with replacing(place) as temporary:
                temporary.write_bytes(line.encode())


def _holds(place: Path, line: bytes) -> bool:
    try:
        return read_whole(place, len(line)) == line
    except (OSError, ValueError):
        return False


def check_recorded(path: Path, sha256: str | None, what: str, *, frame: int) -> None:
    """A file is the one that was prepared.

    Args:
        sha256: of the file as it is now; None where it is not there, which is right where it never was.
        what: for the message: "STMap of keyframe 1001".

    Raises:
        ImageError: with exit code 1, because on a shared disk the right one may only not have arrived yet.
    """
    try:
        expected = read_whole(record_path(path), 1 << 12).decode("utf-8", "replace").partition(" ")[0].strip()
    except (OSError, ValueError):
        expected = None
    if expected == sha256:
        return
    if sha256 is None:
        why = f"the {what} is missing"
    elif expected is None:
        why = f"the {what} was not there when the shot was prepared"
    else:
        why = f"the {what} is not the one that was prepared: {sha256[:12]}, and {expected[:12]} is expected"
    error = ImageError(why, frame=frame, path=path, remedy=_REMEDY)
    error.exit_code = 1
    raise error
