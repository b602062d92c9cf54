"""Prepare: STMaps, denoised frames and guide images of a shot, made in a work folder and recorded there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.base.errors import InputError
from engine.base.frames import SequencePath
from engine.motion.stmap import sidecar_path
from engine.preparation.denoise_files import prepare_denoised
from engine.preparation.guide_files import prepare_guides
from engine.preparation.hash_records import record
from engine.preparation.parallel import MadeFiles, Progress, Stop
from engine.preparation.prepared_files import denoised_frames, guide_images
from engine.preparation.sidecar_chains import Vectors
from engine.preparation.sidecars import prepare_sidecars
from engine.shot.matte_sequence import MatteSequence
from engine.shot.shot import Keyframe, Plate

__all__ = ["PrepareEvent", "PrepareReport", "prepare"]


@dataclass(frozen=True)
class PrepareEvent:
    """How far preparing is."""

    part: str
    """stmaps, denoised or guides."""
    done: int
    total: int
    """Files of this part; for guide images also the steps by which points are followed."""
    text: str
    """Such as ``frame 1001``."""


@dataclass(frozen=True)
class PrepareReport:
    """What became of each part; None for one that was not asked for."""

    stmaps: MadeFiles | None = None
    denoised: MadeFiles | None = None
    guides: MadeFiles | None = None


def prepare(
    plate: Plate,
    keyframes: Iterable[int | Keyframe],
    work: str | Path,
    *,
    stmaps: bool = True,
    denoise: str | None = None,
    guides: str | None = None,
    frames: Sequence[int] | None = None,
    vectors: Vectors | None = None,
    repaint: bool = True,
    matte: MatteSequence | SequencePath | str | Path | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[PrepareEvent], None] | None = None,
    stop: Stop | None = None,
) -> PrepareReport:
    """Make what rendering needs to know of a frame's neighbors: files that are missing or no longer right.

    ::

        work/stmap/key_1001/1042.exr    where each pixel of frame 1042 was in keyframe 1001
        work/denoised/plate.1042.exr    the frame with its grain averaged away
        work/guide/1042.exr             colored blobs that ride on surfaces

    An STMap is Nuke's: R = u, G = v in 0..1, origin lower left, pixel centers at (i + 0.5) / size; A is the confidence,
    0..1; B is 1 where no match proves it. Files of your own are left as they are.
    Each file gets a ``.sha256`` beside it, by which ``render(recorded=True)`` knows it again.

    Args:
        plate: the frames; they are each other's neighbors.
        keyframes: numbers of the painted frames, or keyframes, each one of the plate's. Paintings need not exist yet;
            marks in those that do, such as a sun in an empty sky, are not lent to other places.
        work: the work folder.
        stmaps: whether to follow the keyframes through the plate.
        denoise: how to average grain away, one of ``engine.base.choices.DENOISE_MODES``; None for not at all.
        guides: which guide images to draw, one of ``engine.base.choices.GUIDE_KINDS``; None for none.
        frames: which of the plate's get a denoised frame and a guide image; None for all. STMaps follow each other
            and are made for all.
        vectors: motion between neighbors, of a class whose ``repr`` tells other motion apart; None to estimate it.
        repaint: whether strokes ride on where the match is lost, and what no track reaches gets coordinates of places
            of the keyframe that look alike.
        matte: mattes, one for every frame: 1 for an object that STMaps follow apart from what lies behind it; None to
            follow all as one. A pattern or a movie is there to track by and no more.
        threads: frames side by side; None for the machine's cores. Never changes a byte.
        overwrite: make every file again, except those that somebody put there.
        progress: called with each event, from this thread.
        stop: asked often; what is done stays.

    Raises:
        InputError: a keyframe or frame that is not the plate's, no keyframe where one is needed, an unknown mode or
            kind, or vectors with a range that leaves frames out.
        ImageError: a frame of the plate or its matte is missing, damaged, or of another size.
        OutputError: a file cannot be written.
        Interrupted: ``stop`` said so.
    """
    if not isinstance(plate, Plate):
        remedy = 'use Plate.of("plate.%04d.exr", "1001-1100")'
        raise InputError(f"the plate given is a {type(plate).__name__}", remedy=remedy)
    given = list(keyframes)
    keys = sorted({each.frame if isinstance(each, Keyframe) else each for each in given})
    paintings = {each.frame: each.painting for each in given if isinstance(each, Keyframe)}
    folder = Path(work)
    if stmaps and not keys:
        raise InputError("no keyframe given", remedy="say which frames are painted")
    wanted = plate.frames.frames if frames is None else frames

    def telling(part: str) -> Progress:
        def tell(done: int, total: int, text: str) -> None:
            if progress is not None:
                progress(PrepareEvent(part, done, total, text))

        return tell

    maps = clean = drawn = None
    if stmaps:
        maps = prepare_sidecars(
            plate, keys, folder,
            vectors=vectors, repaint=repaint, paintings=paintings, matte=_matte(matte),
            threads=threads, overwrite=overwrite, progress=telling("stmaps"), stop=stop,
        )  # fmt: skip
        record(sidecar_path(folder, key, frame) for key in keys for frame in plate.frames)
    if denoise is not None:
        clean = prepare_denoised(
            plate, folder, denoise,
            frames=frames, threads=threads, overwrite=overwrite, progress=telling("denoised"), stop=stop,
        )  # fmt: skip
        record(map(denoised_frames(folder, plate.path, denoise).path, wanted))
    if guides is not None:
        drawn = prepare_guides(
            plate, keys, folder, guides,
            frames=frames, threads=threads, overwrite=overwrite, progress=telling("guides"), stop=stop,
        )  # fmt: skip
        record(map(guide_images(folder, guides, keys).path, wanted))
    return PrepareReport(maps, clean, drawn)


def _matte(given: MatteSequence | SequencePath | str | Path | None) -> MatteSequence | None:
    if given is None or isinstance(given, MatteSequence):
        return given
    return MatteSequence(SequencePath.of(given), "track")
