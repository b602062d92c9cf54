"""Denoised frames and guide images as phases of ``prepare`` and ``run``, and whether training finds what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.preparation.parallel import MadeFiles
from engine.preparation.prepare import PrepareEvent, prepare
from engine.preparation.prepared_files import denoised_frames, guide_images
from engine.shot.plate import plate_sha256
from engine.shot.shot import Plate, Shot
from plugin.arguments.options import Options
from plugin.arguments.request import denoise_from, guides_from
from plugin.arguments.shard import Shard
from plugin.progress.protocol import Phase, Progress, counted_frames
from plugin.progress.stop import StopRequest

__all__ = ["Extras", "begun", "check_prepared", "extra_phases", "prepare_extras", "tell"]

_DENOISE, _GUIDES = "denoise", "guides"


@dataclass(frozen=True)
class Extras:
    """What is made of a plate's frames beside STMaps."""

    denoise: str | None = None
    """How frames are denoised; None for not at all."""
    guides: str | None = None
    """Which guide images are drawn; None for none."""
    shard: Shard | None = None
    """Which part of it; None for all."""

    @classmethod
    def of(cls, options: Options, shot: Shot | None) -> Extras:
        """What options and shot file ask for."""
        return cls(denoise_from(options, shot), guides_from(options, shot), options.shard)

    @property
    def draws_guides(self) -> bool:
        """Guide images follow each other: the first shard draws them all."""
        return self.guides is not None and (self.shard is None or self.shard.index == 1)


def extra_phases(plate: Plate, extras: Extras) -> list[Phase]:
    """The parts that ``--denoise`` and ``--guides`` have in a plan; none where neither is asked for."""
    frames = counted_frames(len(plate.frames))
    phases = []
    if extras.denoise is not None:
        phases.append(Phase(_DENOISE, f"Denoising {frames}", 3.0 * len(plate.frames)))
    if extras.draws_guides:
        phases.append(Phase(_GUIDES, f"Making guide images for {frames}", 1.0 * len(plate.frames)))
    return phases


def prepare_extras(
    plate: Plate,
    keys: Sequence[int],
    work: Path,
    extras: Extras,
    progress: Progress,
    stop: StopRequest,
    *,
    threads: int | None,
    overwrite: bool = False,
) -> None:
    """Make what ``--denoise`` and ``--guides`` ask for, in the phases of :func:`extra_phases`.

    With ``--shard`` the frames to denoise are shared out; guide images, which follow each other, are the first one's.

    Raises:
        PaintoverError: see :func:`engine.preparation.prepare.prepare`.
        Interrupted: a stop was asked for; finished files stay.
    """

    shard = None if extras.shard is None else extras.shard.of(plate.frames.frames)
    if extras.denoise is not None:
        with stop.cooperative():
            report = prepare(
                plate, (), work, stmaps=False, denoise=extras.denoise, frames=shard,
                threads=threads, overwrite=overwrite, progress=begun(_DENOISE, progress), stop=stop,
            )  # fmt: skip
        tell(work / "denoised", f"denoised frames ({extras.denoise})", report.denoised, progress)
    if extras.draws_guides:
        with stop.cooperative():
            report = prepare(
                plate, keys, work, stmaps=False, guides=extras.guides,
                threads=threads, overwrite=overwrite, progress=begun(_GUIDES, progress), stop=stop,
            )  # fmt: skip
        tell(work / "guide", f"guide images ({extras.guides})", report.guides, progress)


def begun(phase: str, progress: Progress) -> Callable[[PrepareEvent], None]:
    """Begin a phase of the plan, and get what passes on how far it is."""
    progress.begin(phase)

    def update(event: PrepareEvent) -> None:
        text = f"{event.done} of {event.total}: {event.text}"
        progress.update(event.done / event.total, text, {"count": event.done, "total": event.total})

    return update


def tell(folder: Path, what: str, files: MadeFiles | None, progress: Progress) -> None:
    """Note what became of the files of a phase; nothing where there was none."""
    if files is not None:
        facts = {"made": files.made, "kept": files.kept, "foreign": [str(path) for path in files.foreign]}
        progress.note(f"{folder}: {what}, {summary(files.made, files.kept, len(files.foreign))}", facts)


def summary(made: int, kept: int, foreign: int) -> str:
    """``3 made, 2 were already right, 1 of your own left alone``."""
    parts = [f"{made} made"]
    if kept:
        parts.append(f"{kept} were already right")
    if foreign:
        parts.append(f"{foreign} of your own left alone")
    return ", ".join(parts)


def check_prepared(plate: Plate, keys: Sequence[int], work: Path, extras: Extras) -> None:
    """What training with these needs is there, for every keyframe.

    Raises:
        ImageError: a guide image or a denoised frame is missing, of another kind, or of another plate.
    """
    needed = []
    if extras.denoise is not None:
        needed.append(denoised_frames(work, plate.path, extras.denoise))
    if extras.guides is not None:
        needed.append(guide_images(work, extras.guides, keys))
    for key in keys if needed else ():
        source = plate_sha256(plate.path, key)
        for files in needed:
            files.sha256(key, source)
