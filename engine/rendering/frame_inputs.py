"""Inputs of a frame besides its plate: STMap sidecars, a guide image, a denoised frame, a matte; found and checked.

All of them are files of that one frame, so frames render in any order, anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.base.errors import ImageError, InputError
from engine.base.frames import FrameRange, SequencePath
from engine.images.provenance import file_sha256
from engine.look.card import Card
from engine.motion.stmap import find_sidecars, joined_sha256, sidecar_path
from engine.preparation.hash_records import check_recorded
from engine.preparation.prepared_files import PreparedFiles, denoised_frames, guide_images
from engine.shot.matte_reader import MatteReader

__all__ = ["FrameInputs"]


@dataclass(frozen=True)
class FrameInputs:
    """Where a look's inputs lie; build one with :meth:`of`."""

    keys: tuple[int, ...]
    """The look's keyframes."""
    work: Path | None
    """Folder with STMap sidecars; None for none."""
    guide: PreparedFiles | None
    """The guide images that the look needs, if any."""
    denoised: PreparedFiles | None
    """The denoised frames that stand for the plate, if any."""
    recorded: bool = False
    """Whether files must be those that were prepared; see :mod:`engine.preparation.hash_records`."""
    matte: MatteReader | None = None
    """The mattes that say where frames are stylized, if any."""

    @classmethod
    def of(
        cls,
        card: Card,
        plate: SequencePath,
        work: Path | None,
        prepared: Path | None,
        denoise: str | None,
        *,
        recorded: bool = False,
        matte: str | None = None,
    ) -> FrameInputs:
        """What a look takes of a plate.

        Args:
            work: folder with STMap sidecars; None for the plain translator.
            prepared: folder with guide images and denoised frames; None for ``work``.
            denoise: one of ``DENOISE_MODES``; None for what the look was trained with.
            recorded: refuse files that are not those that were prepared.
            matte: pattern of mattes, as the settings have it.

        Raises:
            InputError: files are needed, and there is no folder to find them in.
        """
        keys = tuple(keyframe.frame for keyframe in card.keyframes)
        folder = work if prepared is None else prepared
        mode = denoise or card.denoise
        if folder is None and (mode or card.guide_kind):
            what = "denoised frames" if mode else "guide images"
            raise InputError(f"the look needs {what}, and no folder has any", remedy="name the work folder with --work")
        guide = denoised = None
        if folder is not None and card.guide_kind:
            guide = guide_images(folder, card.guide_kind, keys)
        if folder is not None and mode:
            denoised = denoised_frames(folder, plate, mode)
        mattes = None if matte is None else MatteReader(SequencePath.parse(matte), plate)
        return cls(keys, work, guide, denoised, recorded, mattes)

    def require_any(self, frames: FrameRange) -> None:
        """A missing preparation is one error; a missing file among others fails its frame alone.

        Raises:
            ImageError: none of the frames has the guide image, or the denoised frame, that it needs.
        """
        for files in (self.guide, self.denoised):
            if files is not None and not any(files.path(frame).is_file() for frame in frames):
                first = files.path(frames.first)
                raise ImageError(f"no {files.what} is there for {frames}", path=first, remedy=files.remedy)

    def sidecars(self, frame: int) -> tuple[Path | None, ...]:
        """For each keyframe its STMap, or None."""
        return find_sidecars(self.work, self.keys, frame)

    def facts(self, frame: int, plate_sha256: str | None) -> dict[str, str]:
        """What a rendered frame says of these inputs; where the plate is unknown, only of its STMaps and its matte.

        Raises:
            ImageError: a guide image or a denoised frame is missing, of another kind, or of another plate; a file is
                not the one that was prepared, where that is asked for; or the matte is missing.
        """
        facts = {"stmap": self._stmap(frame)}
        if self.matte is not None:
            facts["matte"] = self.matte.sha256(frame)
        if plate_sha256 is not None:
            for name, files in (("guide", self.guide), ("denoised", self.denoised)):
                if files is not None:
                    facts[name] = files.sha256(frame, plate_sha256)
                    if self.recorded:
                        check_recorded(files.path(frame), facts[name], files.what, frame=frame)
        return facts

    def _stmap(self, frame: int) -> str:
        """Identifies the frame's STMaps; each is read for its hash once, whether or not that is compared."""
        hashes = [None if path is None else file_sha256(path) for path in self.sidecars(frame)]
        if self.recorded and self.work is not None:
            for key, sha256 in zip(self.keys, hashes, strict=True):
                place = sidecar_path(self.work, key, frame)
                check_recorded(place, sha256, f"STMap of keyframe {key}", frame=frame)
        return joined_sha256(hashes)
