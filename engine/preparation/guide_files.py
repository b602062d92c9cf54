"""Guide images on disk: ``work/guide/####.exr``, three channels in 0..1, half floats, one for each frame.

Points or a lattice are set on every keyframe and carried outward, frame by frame, both ways; where they stand at each
frame is kept in ``work/guide/key_####/####.npz``, so that a chain goes on after a stop where it was, and gives the same
bytes. What a frame shows of all keyframes is drawn from these files alone, in any order.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np

from engine.base.arrays import Bytes, Floats
from engine.base.errors import ImageError, InputError
from engine.base.machine import cpu_count
from engine.base.temporaries import clean_temporaries, replacing
from engine.color.config import ColorConfig
from engine.motion.flow import estimate, luma8, one_thread
from engine.preparation import guides
from engine.preparation import lattice as guide_grid
from engine.preparation.guides import GuideSettings, Points
from engine.preparation.lattice import Grid, GridSettings
from engine.preparation.parallel import MadeFiles, Progress, Stop, for_each, stopped
from engine.preparation.prepared_files import guide_images
from engine.preparation.saved_arrays import load_arrays
from engine.shot.plate import PlateReader
from engine.shot.shot import Plate

__all__ = ["KINDS", "prepare_guides"]

METHOD = "guide-1"
"""Changes when the same plate would give other images."""

State = Any
"""Points or Grid: what a kind's own ``begin`` gives."""


class _Kind(Protocol):
    """One way to make a guide."""

    state: ClassVar[type[State]]

    def begin(self, key: int, height: int, width: int) -> State:
        """As it is set on a keyframe."""
        ...

    def step(self, state: State, flow: Floats, back: Floats, frame: int) -> State:
        """As it stands in the next frame; flows (H, W, 2) there and back."""
        ...

    def points(self, state: State, height: int, width: int) -> Points:
        """What is drawn of it."""
        ...


@dataclass(frozen=True)
class _Gaussian:
    """As published: whole-pixel points that follow the flow, whatever is in the way."""

    settings: GuideSettings = field(default_factory=GuideSettings)
    state: ClassVar[type[State]] = Points

    def begin(self, key: int, height: int, width: int) -> State:
        return guides.scatter_published(np.ones((height, width), np.float32), key, self.settings)

    def step(self, state: State, flow: Floats, back: Floats, frame: int) -> State:
        return guides.advect_published(state, flow, frame)

    def points(self, state: State, height: int, width: int) -> Points:
        return state


@dataclass(frozen=True)
class _OurPoints:
    """Points that move by parts of a pixel, are hidden when occluded, return, and are born where it is bare."""

    settings: GuideSettings = field(default_factory=GuideSettings)
    state: ClassVar[type[State]] = Points

    def begin(self, key: int, height: int, width: int) -> State:
        return guides.scatter(np.ones((height, width), np.float32), key, self.settings)

    def step(self, state: State, flow: Floats, back: Floats, frame: int) -> State:
        return guides.advance(state, flow, back, frame, settings=self.settings)

    def points(self, state: State, height: int, width: int) -> Points:
        return state


@dataclass(frozen=True)
class _Lattice:
    """A lattice that stays as rigid as it can."""

    settings: GridSettings = field(default_factory=GridSettings)
    state: ClassVar[type[State]] = Grid

    def begin(self, key: int, height: int, width: int) -> State:
        return guide_grid.lattice(np.ones((height, width), np.float32), key, self.settings)

    def step(self, state: State, flow: Floats, back: Floats, frame: int) -> State:
        return guide_grid.advance_by_flow(state, flow, back, frame, settings=self.settings)

    def points(self, state: State, height: int, width: int) -> Points:
        return guide_grid.as_points(state, (height, width))


KINDS: Mapping[str, _Kind] = MappingProxyType({"gaussian": _Gaussian(), "points": _OurPoints(), "grid": _Lattice()})
"""What ``engine.base.choices.GUIDE_KINDS`` names: as published, ours, and the lattice."""


def prepare_guides(
    plate: Plate,
    keys: Sequence[int],
    work: Path,
    kind: str,
    *,
    frames: Sequence[int] | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> MadeFiles:
    """Make the guide images that are missing or no longer right.

    Memory does not grow with the number of frames. The guide covers the whole frame, whatever a keyframe's matte.

    Args:
        plate: the frames that chains run through, in their order.
        keys: keyframes, each one of the plate's frames.
        work: the work folder.
        kind: one of ``KINDS``.
        frames: those to make; None for all of the plate's.
        threads: frames drawn side by side; None for the machine's cores. Never changes a byte.
        overwrite: draw every image again, except those that somebody put there.
        progress, stop: as for :func:`engine.preparation.sidecars.prepare_sidecars`.

    Raises:
        InputError: an unknown kind, no keyframe, or a keyframe or frame that is not the plate's.
        ImageError: a frame of the plate is missing, damaged, or of another size.
        OutputError: a file cannot be written.
        Interrupted: ``stop`` said so; what is done stays.
    """
    keys, wanted = sorted(set(keys)), plate.frames.frames if frames is None else tuple(frames)
    if not keys:
        raise InputError("a guide is set on keyframes, and none is given", remedy="add --keyframe FRAME")
    if strange := [frame for frame in (*keys, *wanted) if frame not in plate.frames]:
        raise InputError(f"frame {strange[0]} is outside the frame range {plate.frames}", remedy="widen --frames")
    target = guide_images(work, kind, keys)
    stop = stop or (lambda: False)
    reader = PlateReader.of(plate, ColorConfig.active())
    chains = _Chains(reader, plate.frames.frames, keys, target.files.folder, kind, stop)
    clean_temporaries(target.files.folder)
    digests = {frame: chains.digest(frame) for frame in wanted}
    missing, foreign = target.missing_and_foreign(digests, overwrite=overwrite)
    kept = len(wanted) - len(missing) - len(foreign)
    followed = chains.plan(missing)
    total, drawn = followed + len(wanted), len(wanted) - len(missing)

    def tell(text: str) -> None:
        if progress is not None:
            progress(chains.followed + drawn, total, text)

    def draw(frame: int) -> None:
        height, width = reader.size(frame)
        sets = [KINDS[kind].points(state, height, width) for state in chains.at(frame)]
        image = np.clip(guides.draw(sets, height, width), 0, 1)
        target.write(frame, image, plate_sha256=reader.sha256(frame), digest=digests[frame])

    def done(frame: int) -> None:
        nonlocal drawn
        drawn += 1
        tell(f"frame {frame}")

    with one_thread():
        for_each((1, -1), chains.follow, 2, done=lambda _: None, stop=stop, poll=lambda: tell("following points"))
        for_each(missing, draw, threads or cpu_count(), done=done, stop=stop)
    return MadeFiles(len(missing), kept, foreign)


class _Chains:
    """Every keyframe's state at every frame, in files."""

    def __init__(
        self,
        reader: PlateReader,
        frames: Sequence[int],
        keys: Sequence[int],
        folder: Path,
        kind: str,
        stop: Stop,
    ) -> None:
        self._reader, self._keys, self._folder, self._stop = reader, keys, folder, stop
        self._kind = KINDS[kind]
        self._frames = frames
        self._paths: Mapping[int, Sequence[int]] = {}
        self._digests = {(key, way): self._running(key, way) for key in keys for way in (1, -1)}
        self._failed = threading.Event()
        self._lock = threading.Lock()
        self.followed = 0
        """Steps that are done."""

    def digest(self, frame: int) -> str:
        """Of everything that a frame's image stands on."""
        parts = [self._digests[key, 1 if frame >= key else -1][frame] for key in self._keys]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def plan(self, missing: Sequence[int]) -> int:
        """Decide how far to follow for these frames to be drawn; returns the number of steps."""
        up = [frame for frame in missing if frame >= self._keys[0]]
        down = [frame for frame in missing if frame < self._keys[-1]]
        self._paths = {
            1: [f for f in self._frames if self._keys[0] <= f <= max(up)] if up else [],
            -1: [f for f in reversed(self._frames) if min(down) <= f <= self._keys[-1]] if down else [],
        }
        return sum(map(len, self._paths.values()))

    def at(self, frame: int) -> list[State]:
        """The states of all keyframes, in their order."""
        return [_load(self._file(key, frame), self._kind.state) for key in self._keys]

    def follow(self, way: int) -> None:
        """Make the states along one direction of time that are missing."""
        try:
            self._follow(way)
        except BaseException:
            self._failed.set()
            raise

    def _follow(self, way: int) -> None:
        states: dict[int, State | None] = {}
        """By keyframe, where it stands at the frame before; None where a file has it."""
        before: tuple[int, Bytes] | None = None
        last: int | None = None
        for frame in self._paths[way]:
            if self._stop() or self._failed.is_set():
                raise stopped()
            todo = []
            for key in self._keys:
                if (frame - key) * way < 0:
                    continue
                if self._written(key, frame) == self._digests[key, way][frame]:
                    states[key] = None
                else:
                    todo.append(key)
            if todo:
                gray = luma8(self._reader.encoded(frame))
                flows: tuple[Floats, Floats] | None = None
                for key in todo:
                    if key == frame or last is None:
                        states[key] = self._kind.begin(key, *gray.shape)
                    else:
                        if before is None or before[0] != last:
                            before = (last, luma8(self._reader.encoded(last)))
                        flows = flows or (estimate(before[1], gray), estimate(gray, before[1]))
                        state = states[key] or _load(self._file(key, last), self._kind.state)
                        states[key] = self._kind.step(state, *flows, frame)
                    # A keyframe's own state is the same both ways, and belongs to the way up.
                    if key != frame or way > 0:
                        self._save(key, frame, self._digests[key, way][frame], states[key])
                before = (frame, gray)
            last = frame
            with self._lock:
                self.followed += 1

    def _file(self, key: int, frame: int) -> Path:
        return self._folder / f"key_{key:04d}" / f"{frame:04d}.npz"

    def _running(self, key: int, way: int) -> dict[int, str]:
        """For each frame a hash over the plate from the keyframe to it."""
        running = self._reader.begin_digest(METHOD, self._kind, key)
        place, found = self._frames.index(key), {}
        for frame in self._frames[place:] if way > 0 else self._frames[place::-1]:
            if self._stop():
                raise stopped()
            running.update(self._reader.sha256(frame).encode())
            found[frame] = running.copy().hexdigest()
        return found

    def _written(self, key: int, frame: int) -> str:
        try:
            return str(load_arrays(self._file(key, frame))["digest"])
        except (ValueError, KeyError):
            return ""

    def _save(self, key: int, frame: int, digest: str, state: State) -> None:
        path = self._file(key, frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {each.name: np.asarray(getattr(state, each.name)) for each in fields(state)}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, digest=np.array(digest), **arrays)


def _load(path: Path, kind: type[State]) -> State:
    """What ``_save`` wrote.

    Raises:
        ImageError: it is damaged.
    """
    try:
        stored = load_arrays(path)
        values = {each.name: stored[each.name] for each in fields(kind)}
    except (ValueError, KeyError) as error:
        raise ImageError(
            "not a guide's points, or damaged", path=path, remedy="remove it, and prepare again"
        ) from error
    return kind(**{name: int(value) if value.ndim == 0 else value for name, value in values.items()})
