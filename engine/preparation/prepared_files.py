"""Prepared files, one for each frame: denoised frames and guide images, and how they are known to be right.

Each says in its header what it is, which plate frame it belongs to and, as one hash, what all it was made from::

    paintover/kind      such as "denoised aware", or "guide points of 1001,1080"
    paintover/plate     SHA-256 of the frame's own plate file
    paintover/derived   SHA-256 over the method, its settings, and every plate frame that the file stands on

Whoever prepares compares the last one; whoever renders has only the frame's own files, and compares the first two. A
file without a hash was put there by somebody: it is used as it is, and never replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine import images
from engine.base.arrays import Floats
from engine.base.choices import DENOISE_MODES, GUIDE_KINDS
from engine.base.errors import ImageError, InputError
from engine.base.frames import SequencePath
from engine.images.provenance import file_sha256, read_provenance

__all__ = ["PreparedFiles", "denoised_frames", "guide_images"]


@dataclass(frozen=True)
class PreparedFiles:
    """One kind of file, for the frames of a plate."""

    what: str
    """For messages: "guide image"."""
    kind: str
    """What the files must say of themselves."""
    files: SequencePath
    remedy: str
    """How to make them."""

    def path(self, frame: int) -> Path:
        """The file of a frame."""
        return self.files.path(frame)

    def state(self, frame: int, digest: str) -> str:
        """``missing`` (also where it is damaged or made from other things), ``kept`` or ``foreign``."""
        path = self.path(frame)
        if not path.is_file():
            return "missing"
        try:
            images.check(path)
        except ImageError:
            return "missing"
        facts = read_provenance(path)
        if "derived" not in facts:
            return "foreign"
        return "kept" if facts["derived"] == digest and facts.get("kind") == self.kind else "missing"

    def missing_and_foreign(self, digests: Mapping[int, str], *, overwrite: bool) -> tuple[list[int], tuple[Path, ...]]:
        """Of frames and their digests those to make, and the files that somebody else put there.

        Args:
            overwrite: what is right already is made again as well.
        """
        states = {frame: self.state(frame, digest) for frame, digest in digests.items()}
        wanting = {"missing", "kept"} if overwrite else {"missing"}
        missing = [frame for frame, state in states.items() if state in wanting]
        return missing, tuple(self.path(frame) for frame, state in states.items() if state == "foreign")

    def write(self, frame: int, pixels: Floats, *, plate_sha256: str, digest: str) -> None:
        """Write a file, half floats, atomically; the same pixels give the same bytes.

        Args:
            pixels: (H, W, 3).

        Raises:
            OutputError: it cannot be written.
        """
        path = self.path(frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {"kind": self.kind, "plate": plate_sha256, "derived": digest}
        images.write(path, pixels, provenance=facts, bit_depth="half")

    def sha256(self, frame: int, plate_sha256: str) -> str:
        """SHA-256 of a frame's file, after checking that it is of this kind and of the plate as it is now.

        Raises:
            ImageError: it is missing, of another kind, or of another version of the plate's frame.
        """
        path = self.path(frame)
        if not path.is_file():
            raise ImageError(f"the {self.what} is missing", frame=frame, path=path, remedy=self.remedy)
        facts = read_provenance(path)
        if "derived" in facts:
            if facts.get("kind") != self.kind:
                why = f'the {self.what} is "{facts.get("kind")}", but "{self.kind}" is needed'
                raise ImageError(why, frame=frame, path=path, remedy=self.remedy)
            if facts.get("plate") != plate_sha256:
                why = f"the {self.what} is stale: the plate's frame has changed since"
                raise ImageError(why, frame=frame, path=path, remedy=self.remedy)
        return file_sha256(path)

    def read(self, frame: int, height: int, width: int) -> Floats:
        """(H, W, 3) float32 of a frame.

        Raises:
            ImageError: damaged, or of another size than the plate.
        """
        path = self.path(frame)
        try:
            pixels = images.read(path, frame=frame).rgb
        except ImageError as error:
            raise ImageError(f"unreadable {self.what}", frame=frame, path=path, remedy=self.remedy) from error
        if pixels.shape[:2] != (height, width):
            size = f"{pixels.shape[1]}x{pixels.shape[0]}"
            why = f"the {self.what} is {size} and the plate {width}x{height}"
            raise ImageError(why, frame=frame, path=path, remedy=self.remedy)
        return pixels


def denoised_frames(work: Path, plate: SequencePath, mode: str) -> PreparedFiles:
    """The files of a plate's denoised frames.

    Args:
        work: the work folder.
        plate: the plate, whose name and padding they take; a movie's are padded to four digits.
        mode: one of ``DENOISE_MODES``.

    Raises:
        InputError: an unknown mode.
    """
    if mode not in DENOISE_MODES:
        raise InputError(f"no way to denoise is called {mode!r}", remedy=f"use {' or '.join(DENOISE_MODES)}")
    if plate.is_movie:
        head, width = f"{Path(plate.text).stem}.", 4
    else:
        head, width = Path(plate.prefix + "0").name[:-1], plate.width
    files = SequencePath.parse(Path(work) / "denoised" / f"{head}%0{width}d.exr")
    remedy = f"run paintover prepare --denoise {mode} with the same --plate, --frames and --work"
    return PreparedFiles("denoised frame", f"denoised {mode}", files, remedy)


def guide_images(work: Path, kind: str, keys: Sequence[int]) -> PreparedFiles:
    """The files of a guide.

    Args:
        work: the work folder.
        kind: one of ``GUIDE_KINDS``.
        keys: the keyframes that it was set on, in any order.

    Raises:
        InputError: an unknown kind.
    """
    if kind not in GUIDE_KINDS:
        raise InputError(f"no guide is called {kind!r}", remedy=f"use {', '.join(GUIDE_KINDS)}")
    listed = sorted(set(keys))
    files = SequencePath.parse(Path(work) / "guide" / "%04d.exr")
    options = " ".join(f"--keyframe {key}" for key in listed)
    remedy = f"run paintover prepare --guides {kind} {options} with the same --plate, --frames and --work"
    return PreparedFiles("guide image", f"guide {kind} of {','.join(map(str, listed))}", files, remedy)
