"""Files that can be made again: STMaps, denoised frames, guide images, previews, checkpoints, abandoned temporaries.

Only what says of itself that it is ours, or has a name that we replace anyway, is among them. Looks, paintings,
rendered frames and files of others never are, and links are not followed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import OpenImageIO as oiio

from engine.base.errors import ImageError
from engine.base.temporaries import output_error, stale_temporaries
from engine.images.opening import open_picture
from engine.images.provenance import read_provenance
from engine.motion.stmap import HASH_ATTRIBUTE
from engine.training.job.job import CHECKPOINT
from engine.training.job.session import RESULTS, SESSION_FOLDER

__all__ = ["MadeAgain", "made_again", "remove"]

_CHAIN_STATES = ("after.npz", "before.npz")
"""How far a keyframe was followed; beside its STMaps."""
_PREVIEW = "preview.png"
_LABELS = re.compile(r"labels\.-?\d{3,}\.png")
"""Which exemplar served where in a frame."""


@dataclass(frozen=True)
class MadeAgain:
    """Files of one kind."""

    what: str
    """For people: ``STMaps``."""
    maker: str
    """The command that makes them again."""
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(path.stat().st_size for path in self.files)


def made_again(work: Path, out_folder: Path | None = None) -> list[MadeAgain]:
    """What of a work folder can be made again, by kind; kinds of which nothing is there are left out.

    Args:
        out_folder: where rendered frames go, for abandoned temporaries there.
    """
    maps = [path for folder in _folders(work / "stmap") for path in _files(folder, _is_stmap)]
    checkpoint = work / CHECKPOINT
    checkpoints = _files(checkpoint.parent, lambda path: path.stem == checkpoint.stem)
    desk_checkpoints = _files(work / SESSION_FOLDER, lambda path: path.stem == checkpoint.stem)
    optimized = [work / "style", work / "strokes"]
    sizes = (work / "sequence", work / "sequence" / "quarter")
    painted = [folder / part for folder in sizes for part in ("frames", "strokes")]
    places = [
        *optimized,
        work / "exemplars",
        *painted,
        work,
        checkpoint.parent,
        work / RESULTS,
        work / SESSION_FOLDER,
        work / "denoised",
        work / "guide",
        *_folders(work / "stmap"),
    ]
    places += [out_folder] if out_folder is not None else []
    abandoned = [path for place in places if not place.is_symlink() for path in stale_temporaries(place)]
    found = [
        MadeAgain("STMaps", "paintover prepare", tuple(maps)),
        MadeAgain("denoised frames", "paintover prepare --denoise", tuple(_prepared(work / "denoised", "denoised "))),
        MadeAgain("guide images", "paintover prepare --guides", tuple(_prepared(work / "guide", "guide "))),
        MadeAgain("preview", "paintover train", tuple(_files(work, lambda path: path.name == _PREVIEW))),
        MadeAgain("checkpoint", "paintover train, from the beginning", tuple(checkpoints)),
        MadeAgain(
            "checkpoint of a painting",
            "paintover paint, from the beginning",
            tuple(path for folder in optimized for path in _files(folder, lambda path: path.stem == checkpoint.stem)),
        ),
        MadeAgain("frames that the desk showed", "paintover desk", tuple(_files(work / RESULTS, _is_result))),
        MadeAgain("the desk's checkpoint", "paintover desk, from the beginning", tuple(desk_checkpoints)),
        MadeAgain(
            "frames of a sequence's passes",
            "paintover sequence",
            tuple(path for folder in painted for path in _files(folder, _is_stored)),
        ),
        MadeAgain(
            "pictures of exemplars",
            "paintover paint --exemplar",
            tuple(_files(work / "exemplars", lambda path: _LABELS.fullmatch(path.name) is not None)),
        ),
        MadeAgain("abandoned temporary files", "nothing that needs them", tuple(dict.fromkeys(abandoned))),
    ]
    return [kind for kind in found if kind.files]


def remove(kind: MadeAgain) -> None:
    """Remove these files, and the folders that are empty then.

    Raises:
        OutputError, NoPermissionError: one cannot be removed.
    """
    for path in kind.files:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise output_error(path, error) from error
    for folder in sorted({path.parent for path in kind.files}, reverse=True):
        # Not empty, or the work folder itself on another disk: it stays.
        with suppress(OSError):
            folder.rmdir()


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _files(folder: Path, ours: Callable[[Path], bool]) -> Iterator[Path]:
    """The files in a folder of which ``ours`` holds."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.is_symlink() and ours(path):
            yield path


def _prepared(folder: Path, kind: str) -> Iterator[Path]:
    """Files of a kind that say what they were made from."""

    def ours(path: Path) -> bool:
        facts = read_provenance(path)
        return "derived" in facts and facts.get("kind", "").startswith(kind)

    return _files(folder, ours)


def _is_result(path: Path) -> bool:
    return path.suffix == ".npy" and path.stem.lstrip("-").isdigit()


def _is_stored(path: Path) -> bool:
    return path.suffix == ".safetensors" and path.stem.lstrip("-").isdigit()


def _is_stmap(path: Path) -> bool:
    """Whether a file beside STMaps is ours."""
    if path.name in _CHAIN_STATES:
        return True
    try:
        source = open_picture(path) if path.suffix.lower() == ".exr" else None
    except ImageError:
        return False  # Nothing of ours.
    if source is None:
        oiio.geterror()
        return False
    ours = bool(source.spec().get_string_attribute(HASH_ATTRIBUTE))
    source.close()
    return ours
