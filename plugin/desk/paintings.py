"""Paintings of the desk: its keyframes and their files, kept in the work folder from one visit to the next.

::

    work/desk/desk.json             the keyframes, replaced whole at every change
    work/desk/paint/1001.1.png      what was painted on the page, as ``paintover key`` exports: with its transform
    work/desk/paint/1001.1.matte.png    its matte
    work/desk/open/1001.1.png       what was opened in a painting program

Nothing that was painted elsewhere is ever written over.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import ImageError, InputError
from engine.base.foreign_json import parse_json
from engine.base.temporaries import clean_temporaries, replacing
from engine.base.whole_file import read_text
from engine.color.keys import write_key
from engine.shot.keyframes import Keyframe
from engine.shot.paintings import PAINTED, painted_alpha
from plugin.desk.pictures import Pictures

__all__ = ["DESK_FOLDER", "DeskKeyframe", "Paintings"]

DESK_FOLDER = "desk"
"""In the work folder."""
_FILE = "desk.json"
_FORMAT = 1
_QUICK = "zip:1"
"""Of layers: a quarter of the time, and a tenth more on disk. Somebody waits for the result."""
_PNG = b"\x89PNG\r\n\x1a\n"


class _Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One keyframe in the file; paths relative to its folder where they lie in it."""

    id: int
    frame: int
    painting: str | None = None
    matte: str | None = None
    colorspace: str | None = None
    on: bool = True
    painted: bool = True
    whole: bool = False
    removed: bool = False


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    keyframes: tuple[_Saved, ...]


@dataclass(frozen=True)
class DeskKeyframe:
    """A frame that is painted or about to be."""

    id: int
    """By which the page names it."""
    frame: int
    painting: Path | None = None
    """None while nothing was painted."""
    matte: Path | None = None
    colorspace: str | None = None
    """Of a painting from elsewhere, where it was stated."""
    on: bool = True
    """Whether it is trained from."""
    painted: bool = True
    """Whether there is any coverage in the painting."""
    whole: bool = False
    """Whether the painting covers all of its frame."""
    removed: bool = False
    """Whether it is only kept in case that it is wanted back."""
    revision: int = 0
    """Counts the changes of its files in this process."""
    by: str = ""
    """The page that made the last change."""

    @property
    def is_own(self) -> bool:
        """Whether the painting was painted on the page."""
        return self.painting is not None and self.painting.parent.name == "paint"

    @property
    def keyframe(self) -> Keyframe | None:
        """As training takes it; None where nothing is painted."""
        if self.painting is None or not self.painted:
            return None
        return Keyframe(self.frame, self.painting, self.matte, self.colorspace)

    @property
    def facts(self) -> dict[str, Any]:
        """What pages see of it, as JSON values."""
        return {
            "id": self.id,
            "frame": self.frame,
            "on": self.on,
            "painted": self.painted and self.painting is not None,
            "has_painting": self.painting is not None,
            "has_matte": self.matte is not None,
            "name": None if self.painting is None else self.painting.name,
            "own": self.is_own,
            "revision": self.revision,
            "by": self.by,
        }


class Paintings:
    """The keyframes of a desk; every change is on disk when its method returns. Safe to use from several threads."""

    def __init__(self, work: Path, pictures: Pictures, given: Sequence[Keyframe] = ()) -> None:
        """
        Args:
            given: keyframes of the command line; one of a frame that the desk knows already stays as the desk has it.

        Raises:
            InputError: the desk's file is damaged.
            OutputError: it cannot be written.
        """
        self.folder = work / DESK_FOLDER
        self._pictures = pictures
        self._lock = threading.RLock()
        for name in ("", "paint", "open"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            clean_temporaries(self.folder / name)
        self._all: dict[int, DeskKeyframe] = {each.id: each for each in self._load()}
        # One that was removed does not come back by its option.
        known = {each.frame for each in self._all.values()}
        for keyframe in given:
            if keyframe.frame not in known:
                whole = painted_alpha(images.read(keyframe.painting, frame=keyframe.frame)) is None
                frame, painting = keyframe.frame, keyframe.painting
                made = DeskKeyframe(self._next_id(), frame, painting, keyframe.matte, keyframe.colorspace, whole=whole)
                self._put(made)
        self._save()

    def all(self) -> list[DeskKeyframe]:
        """In the order of their frames."""
        with self._lock:
            return self._sorted(removed=False)

    @property
    def removed(self) -> list[DeskKeyframe]:
        """Those that may be restored, in the order of their frames."""
        with self._lock:
            taken = {each.frame for each in self.all()}
            return [each for each in self._sorted(removed=True) if each.frame not in taken]

    def _sorted(self, *, removed: bool) -> list[DeskKeyframe]:
        found = [each for each in self._all.values() if each.removed is removed]
        return sorted(found, key=lambda each: each.frame)

    def find(self, number: int) -> DeskKeyframe:
        """The keyframe of an id.

        Raises:
            InputError: there is none.
        """
        with self._lock:
            held = self._all.get(number)
            if held is None or held.removed:
                raise InputError(f"there is no keyframe {number} any more")
            return held

    def trained_from(self) -> list[Keyframe]:
        """Those that are switched on and painted."""
        found = [each.keyframe for each in self.all() if each.on]
        return [each for each in found if each is not None]

    @property
    def unpainted(self) -> str | None:
        """What becomes of what is not painted: where one frame is painted wholly, strokes on another one correct it;
        where none is, what is left out stays as the plate has it."""
        return "translate" if any(each.whole and each.on for each in self.all()) else None

    def add(self, frame: int) -> DeskKeyframe:
        """A keyframe to paint on; the one that is there, where the frame has one.

        Raises:
            InputError: the frame is not the plate's.
        """
        with self._lock:
            for each in self.all():
                if each.frame == frame:
                    return each
            if frame not in self._pictures.plate.frames:
                raise InputError(f"frame {frame} is outside the frame range {self._pictures.plate.frames}")
            made = DeskKeyframe(self._next_id(), frame, painted=False)
            self._put(made)
            self._save()
            return made

    def remove(self, number: int) -> None:
        """Take a keyframe away; where something was painted :meth:`restore` brings it back.

        Raises:
            InputError: no such keyframe.
            OutputError: it cannot be written.
        """
        with self._lock:
            held = self.find(number)
            for older in self._sorted(removed=True):
                if older.frame == held.frame:
                    del self._all[older.id]
            if held.keyframe is None and held.matte is None:
                del self._all[number]
            else:
                self._put(replace(held, removed=True))
            self._save()

    def restore(self, number: int) -> None:
        """Bring back a keyframe that was removed.

        Raises:
            InputError: no such keyframe, or its frame has got another one.
            OutputError: it cannot be written.
        """
        with self._lock:
            held = next((each for each in self.removed if each.id == number), None)
            if held is None:
                raise InputError(f"keyframe {number} cannot be restored", remedy="remove the one that took its place")
            self._put(replace(held, removed=False))
            self._save()

    def switch(self, number: int, *, on: bool) -> None:
        """Whether it is trained from."""
        with self._lock:
            self._put(replace(self.find(number), on=on))
            self._save()

    def paint(self, number: int, png: bytes, by: str) -> DeskKeyframe:
        """Take a layer, PNG of the plate's size, whose alpha is what is painted.

        Args:
            by: the page that sent it.

        Raises:
            InputError: no such keyframe, or no such picture.
            OutputError: it cannot be written.
        """
        self.find(number)
        rgb, alpha = self._decoded(png)
        with self._lock:
            held = self.find(number)
            frame = held.frame
            transform = replace(self._pictures.transform_of(frame), bit_depth="uint8")
            path = self.folder / "paint" / f"{frame}.{number}.png"
            painted = alpha is None or bool((alpha > PAINTED).any())
            write_key(path, rgb, transform, self._pictures.config, alpha=alpha, compression=_QUICK)
            whole = alpha is None or bool((alpha >= 1.0).all())
            return self._changed(replace(held, painting=path, colorspace=None, painted=painted, whole=whole), by)

    def paint_matte(self, number: int, png: bytes, by: str) -> DeskKeyframe:
        """Take a matte, PNG whose alpha is the coverage; one that is empty takes the matte away.

        Raises:
            InputError: no such keyframe, or no such picture.
            OutputError: it cannot be written.
        """
        self.find(number)
        _, alpha = self._decoded(png)
        with self._lock:
            held = self.find(number)
            path: Path | None = None
            if alpha is not None and bool((alpha > PAINTED).any()):
                path = self.folder / "paint" / f"{held.frame}.{number}.matte.png"
                images.write(path, np.repeat(alpha[..., None], 3, axis=2), bit_depth="uint8")
            return self._changed(replace(held, matte=path), by)

    def open_file(self, number: int) -> Path:
        """A file to open in a painting program: the painting itself where it came from one, else a new export.

        Raises:
            InputError: no such keyframe.
            ImageError: the plate or the painting cannot be read.
            OutputError: it cannot be written.
        """
        held = self.find(number)
        own = self.folder / "paint"
        if held.painting is not None and own not in held.painting.parents:
            return held.painting
        count = 1
        while (path := self.folder / "open" / f"{held.frame}.{count}.png").exists():
            count += 1
        pictures = self._pictures
        plate = pictures.read(held.frame).image
        transform = pictures.transform_of(held.frame)
        shown = transform.shown(plate, pictures.config)
        if held.keyframe is not None:
            painting = images.read(held.keyframe.painting, frame=held.frame)
            alpha = painted_alpha(painting)
            share = np.ones(shown.shape[:2], np.float32) if alpha is None else alpha
            shown = shown + share[..., None] * (painting.rgb - shown)
        write_key(path, np.asarray(shown, np.float32), transform, pictures.config, untouched=held.keyframe is None)
        return path

    def take_file(self, number: int, path: Path) -> DeskKeyframe:
        """Take a file that a painting program saved as the painting.

        Raises:
            InputError: no such keyframe.
            ImageError: it cannot be read, or is of another size.
        """
        held = self.find(number)
        found = images.read(path, frame=held.frame)
        size = (self._pictures.width, self._pictures.height)
        if size not in (found.header.display[2:], found.header.data[2:]):
            wrong = f"the painting is {found.header.width}x{found.header.height}, the plate {size[0]}x{size[1]}"
            raise ImageError(wrong, frame=held.frame, path=path, remedy="paint at the exported size")
        alpha = painted_alpha(found)
        painted = alpha is None or bool((alpha > PAINTED).any())
        with self._lock:
            return self._changed(replace(self.find(number), painting=path, painted=painted, whole=alpha is None), "")

    def _decoded(self, png: bytes) -> tuple[Floats, Floats | None]:
        """Pixels (h, w, 3) and alpha (h, w) of what a page sent."""
        if not png.startswith(_PNG):
            raise InputError("what was sent is no PNG")
        path = self.folder / f".upload.{secrets.token_hex(8)}.png"
        try:
            path.write_bytes(png)
            header = images.read_header(path)
            size, wanted = (header.width, header.height), (self._pictures.width, self._pictures.height)
            if size != wanted:
                raise InputError(f"the layer is {size[0]}x{size[1]}, the plate {wanted[0]}x{wanted[1]}")
            found = images.read(path)
        except ImageError as error:
            # The path is no business of the page's.
            raise InputError(f"the layer cannot be read: {error.message}") from error
        finally:
            path.unlink(missing_ok=True)
        return found.rgb, found.alpha

    def _changed(self, keyframe: DeskKeyframe, by: str) -> DeskKeyframe:
        made = replace(keyframe, revision=keyframe.revision + 1, by=by)
        self._put(made)
        self._save()
        return made

    def _put(self, keyframe: DeskKeyframe) -> None:
        self._all[keyframe.id] = keyframe

    def _next_id(self) -> int:
        return max(self._all, default=0) + 1

    # On disk

    def _load(self) -> list[DeskKeyframe]:
        path = self.folder / _FILE
        if not path.exists():
            return []
        try:
            document = msgspec.convert(parse_json(read_text(path)), _Document)
        except (OSError, ValueError, RecursionError) as error:
            remedy = "move it aside to begin anew; the paintings beside it stay"
            raise InputError(f"the desk's file is damaged: {str(error)[:200]}", path=path, remedy=remedy) from error
        if document.format != _FORMAT:
            raise InputError(f"the desk's file has format {document.format}", path=path, remedy="use a newer Paintover")
        frames = self._pictures.plate.frames
        found = []
        for saved in document.keyframes:
            painting, matte = (self._found(text) for text in (saved.painting, saved.matte))
            if saved.frame in frames:
                painted = saved.painted and painting is not None
                whole = saved.whole and painted
                held = DeskKeyframe(
                    saved.id, saved.frame, painting, matte, saved.colorspace, saved.on, painted, whole, saved.removed
                )  # fmt: skip
                found.append(held)
        return found

    def _found(self, text: str | None) -> Path | None:
        path = None if text is None else self.folder / text
        return path if path is not None and path.is_file() else None

    def _save(self) -> None:
        def named(path: Path | None) -> str | None:
            if path is None:
                return None
            return path.relative_to(self.folder).as_posix() if self.folder in path.parents else str(path.absolute())

        saved = tuple(
            _Saved(
                each.id, each.frame, named(each.painting), named(each.matte), each.colorspace,
                each.on, each.painted, each.whole, each.removed,
            )
            for each in sorted(self._all.values(), key=lambda each: (each.frame, each.id))
        )  # fmt: skip
        text = json.dumps(msgspec.to_builtins(_Document(_FORMAT, saved)), indent=2) + "\n"
        with replacing(self.folder / _FILE) as temporary:
            temporary.write_text(text, encoding="utf-8")
