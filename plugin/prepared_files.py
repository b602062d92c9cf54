"""Denoised frames and guide images as phases of ``prepare`` and ``run``, and whether training finds what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from engine.denoise_files import prepare_denoised
from engine.derived import denoised_frames, guide_images
from engine.guide_files import prepare_guides
from engine.pipeline import plate_sha256
from engine.plate_reader import Prepared
from engine.shot import Plate
from plugin.options import Options
from plugin.progress import Phase, Progress, counted_frames
from plugin.stop import StopRequest

__all__ = ["check_prepared", "extra_phases", "prepare_extras", "summary"]

_DENOISE, _GUIDES = "denoise", "guides"


def extra_phases(plate: Plate, options: Options) -> list[Phase]:
    """The parts that ``--denoise`` and ``--guides`` have in a plan; none where neither is asked for."""
    frames = counted_frames(len(plate.frames))
    phases = []
    if options.denoise is not None:
        phases.append(Phase(_DENOISE, f"Denoising {frames}", 4.0))
    if _draws_guides(options):
        phases.append(Phase(_GUIDES, f"Making guide images for {frames}", 1.0))
    return phases


def prepare_extras(
    plate: Plate,
    keys: Sequence[int],
    work: Path,
    options: Options,
    progress: Progress,
    stop: StopRequest,
    *,
    overwrite: bool = False,
) -> None:
    """Make what ``--denoise`` and ``--guides`` ask for, in the phases of :func:`extra_phases`.

    With ``--shard`` the frames to denoise are shared out; guide images, which follow each other, are the first one's.

    Raises:
        PaintoverError: see :func:`engine.denoise_files.prepare_denoised`, :func:`engine.guide_files.prepare_guides`.
        Interrupted: a stop was asked for; finished files stay.
    """

    def count(done: int, total: int, text: str) -> None:
        progress.update(done / total, f"{done} of {total}: {text}", {"count": done, "total": total})

    def tell(folder: str, what: str, made: Prepared) -> None:
        facts = {"made": made.made, "kept": made.kept, "foreign": [str(path) for path in made.foreign]}
        progress.note(f"{work / folder}: {what}, {summary(made.made, made.kept, len(made.foreign))}", facts)

    def run(phase: str, make: Callable[[], Prepared]) -> Prepared:
        progress.begin(phase)
        with stop.cooperative():
            return make()

    threads = options.threads
    if options.denoise is not None:
        mode, frames = options.denoise, None if options.shard is None else options.shard.of(plate.frames.frames)
        made = run(
            _DENOISE,
            lambda: prepare_denoised(
                plate, work, mode, frames=frames, threads=threads, overwrite=overwrite, progress=count, stop=stop
            ),
        )
        tell("denoised", f"denoised frames ({mode})", made)
    if options.guides is not None and _draws_guides(options):
        kind = options.guides
        made = run(
            _GUIDES,
            lambda: prepare_guides(
                plate, keys, work, kind, threads=threads, overwrite=overwrite, progress=count, stop=stop
            ),
        )
        tell("guide", f"guide images ({kind})", made)


def _draws_guides(options: Options) -> bool:
    return options.guides is not None and (options.shard is None or options.shard.index == 1)


def summary(made: int, kept: int, foreign: int) -> str:
    """``3 made, 2 were already right, 1 of your own left alone``."""
    parts = [f"{made} made"]
    if kept:
        parts.append(f"{kept} were already right")
    if foreign:
        parts.append(f"{foreign} of your own left alone")
    return ", ".join(parts)


def check_prepared(plate: Plate, keys: Sequence[int], work: Path, options: Options) -> None:
    """What training from these options needs is there, for every keyframe.

    Raises:
        ImageError: a guide image or a denoised frame is missing, of another kind, or of another plate.
    """
    needed = []
    if options.denoise is not None:
        needed.append(denoised_frames(work, plate.path, options.denoise))
    if options.guides is not None:
        needed.append(guide_images(work, options.guides, keys))
    for key in keys if needed else ():
        source = plate_sha256(plate.path, key)
        for files in needed:
            files.sha256(key, source)
