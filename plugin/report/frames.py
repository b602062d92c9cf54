"""What a report knows of every frame: whether it is right, how much rides on a painting, and how steady it is."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats
from engine.base.errors import ImageError
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.look.card import open_look
from engine.motion.stmap import find_sidecars, read_sidecars
from engine.rendering.expected_facts import ExpectedFacts
from engine.rendering.settings import RenderSettings
from engine.rendering.verify import state_of
from engine.review.steadiness import Step, TemporalError, plate_step, temporal_error
from engine.shot.shot import Plate
from plugin.report.stills import Still, Stills

__all__ = [
    "FrameChecker",
    "FrameReader",
    "FrameRow",
    "Measured",
    "counts",
    "errors_between",
    "fit",
    "measure",
    "median",
    "prepared_keys",
]

Pixels8 = npt.NDArray[np.uint8]

STILL_PX = 400
"""Width at which motion and steadiness are measured."""
_UNSTEADY = 2.0
"""A step is remarkable from this multiple of the shot's median on."""
_UNSTEADY_CODES = 2.0
"""And only where it exceeds the plate's own by so many display codes."""
_FEW = 0.5
"""Share of a frame under which it hardly rides on paintings."""
_READERS = 2


@dataclass(frozen=True)
class FrameRow:
    """One frame of the range."""

    frame: int
    """The frame number."""
    state: str
    """whole, missing, damaged, foreign; ``there`` where no look is known to compare with."""
    carried: float | None = None
    """Share of its pixels that ride on a painting, 0..1; None where nothing tells."""
    error: float | None = None
    """Temporal error towards the next frame, display codes 0..255; None where it cannot be measured."""
    plate_error: float | None = None
    """The plate's own."""
    warnings: tuple[str, ...] = ()
    """What is remarkable, a line each."""


@dataclass(frozen=True)
class Measured:
    """Every frame of the range."""

    rows: tuple[FrameRow, ...]
    retention: tuple[float, ...]
    """Share of the picture that is still there after the step that follows each frame; one fewer than frames."""
    source: str
    """Where the carried shares come from: layer, sidecars, or none."""


class FrameChecker:
    """The state of rendered frames: what ``paintover verify`` says, frame by frame."""

    def __init__(
        self,
        plate: Plate,
        out: SequencePath,
        look: Path | None,
        work: Path | None,
        settings: RenderSettings,
        config: ColorConfig,
        prepared: Path | None = None,
    ) -> None:
        """Without a look only whether a frame decodes is found out.

        Args:
            work: folder with STMap sidecars; None for frames that were rendered without.
            prepared: folder with guide images and denoised frames, for a look that needs them; None for ``work``.

        Raises:
            LookError: not a look.
            InputError: the look needs a work folder.
        """
        self._out = out
        file = None if look is None else open_look(look)
        # A frame with the layer of carried shares has the same pixels.
        self._expected = [
            ExpectedFacts.of(file, replace(settings, carried_layer=layer), plate, work, prepared, config)
            for layer in (False, True)
            if file is not None
        ]
        self.keys = self._expected[0].inputs.keys if self._expected and self._expected[0].inputs else ()

    def __call__(self, frame: int) -> str:
        """whole, missing, damaged, foreign, or there."""
        path = self._out.path(frame)
        if not self._expected:
            state = state_of(path, {})
            return "there" if state == "whole" else state
        plain, layered = self._expected
        facts = plain(frame, plate_needed=False)
        state = state_of(path, facts)
        if state == "foreign" and state_of(path, facts | layered.common) == "whole":
            return "whole"
        return state


class FrameReader:
    """Reads what belongs to a frame: plate, result, and how far paintings carry it."""

    def __init__(
        self,
        plate: Plate,
        out: SequencePath,
        out_colorspace: str | None,
        keys: Sequence[int],
        work: Path | None,
        config: ColorConfig,
        width_px: int = STILL_PX,
        showing: Showing | None = None,
    ) -> None:
        self.plate = Stills(plate.path, plate.colorspace, config, width_px, showing)
        self.result = Stills(out, out_colorspace, config, width_px, showing)
        self.keys = tuple(keys)
        self._work = work

    def has_sidecars(self, frame: int) -> bool:
        """Whether any keyframe has an STMap sidecar for the frame."""
        return any(find_sidecars(self._work, self.keys, frame))

    def carried(self, frame: int, result: Still | None, size: tuple[int, int] | None) -> tuple[Floats | None, str]:
        """How far each pixel rides on a painting, (H, W) in 0..1, and where that is from: layer, sidecars or none.

        Strokes borrowed from another surface do not count: more painting would serve there.

        Raises:
            ImageError: a sidecar is damaged or of another size than the plate.
        """
        tracked: Floats | None = None
        if size is not None:
            planes = read_sidecars(find_sidecars(self._work, self.keys, frame), *size, frame=frame, tracked=True)
            tracked = None if planes is None else np.clip(planes[..., 2::3].max(axis=2), 0.0, 1.0)
        if result is not None and result.carried is not None:
            layer = result.carried
            if tracked is not None:
                layer = layer * (cv2.resize(tracked, layer.shape[::-1], interpolation=cv2.INTER_AREA) > 0)
            return np.asarray(layer, np.float32), "layer"
        return tracked, "none" if tracked is None else "sidecars"


def measure(
    frames: Sequence[int],
    reader: FrameReader,
    state: Callable[[int], str],
    tick: Callable[[int, int], None],
) -> Measured:
    """Read every frame once; holds a few frames at a time.

    Args:
        frames: frame numbers, ascending.
        state: of a rendered frame, as :class:`FrameRow` has it.
        tick: called with how many frames are measured and of how many; may raise to stop.
    """
    rows: list[FrameRow] = []
    retention: list[float] = []
    sources: set[str] = set()
    prepared = any(reader.has_sidecars(frame) for frame in frames)
    before: _Frame | None = None
    read = partial(_read, reader=reader, state=state, prepared=prepared)
    for number, now in enumerate(_ahead(frames, read), 1):
        sources.add(now.source)
        if before is not None:
            step = _step(before, now)
            retention.append(0.0 if step is None else step.retention)
            rows[-1] = _with_errors(rows[-1], before, now, step)
        rows.append(now.row)
        before = now
        tick(number, len(frames))
    source = next((name for name in ("layer", "sidecars") if name in sources), "none")
    return Measured(_remarked(rows), tuple(retention), source)


def prepared_keys(work: Path | None) -> list[int]:
    """Keyframes that have STMap sidecars in the work folder, ascending."""
    folder = None if work is None else work / "stmap"
    if folder is None or not folder.is_dir():
        return []
    found = (re.fullmatch(r"key_(-?\d+)", one.name, re.ASCII) for one in folder.iterdir())
    return sorted(int(match[1]) for match in found if match)


def median(values: Sequence[float | None]) -> float | None:
    """Of the values that are known; None without any."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def fit(picture: Pixels8, like: Pixels8) -> Pixels8:
    """``picture`` at the size of ``like``."""
    if picture.shape == like.shape:
        return picture
    size = (like.shape[1], like.shape[0])
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def errors_between(
    plate: Pixels8, result: Pixels8, plate_after: Pixels8, result_after: Pixels8
) -> TemporalError | None:
    """The result's temporal error along the plate's motion; pictures are brought to the plate's size."""
    step = plate_step(plate, fit(plate_after, plate))
    return temporal_error(fit(result, plate), fit(result_after, plate), step)


@dataclass(frozen=True, eq=False)
class _Frame:
    row: FrameRow
    plate: Pixels8 | None
    result: Pixels8 | None
    source: str


def _ahead(frames: Sequence[int], read: Callable[[int], _Frame]) -> Iterator[_Frame]:
    """Every frame in order, the next ones being read while one is looked at."""
    pool = ThreadPoolExecutor(_READERS, thread_name_prefix="report")
    waiting: deque[Future[_Frame]] = deque()
    try:
        for frame in frames:
            waiting.append(pool.submit(read, frame))
            if len(waiting) > _READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(frame: int, *, reader: FrameReader, state: Callable[[int], str], prepared: bool) -> _Frame:
    warnings: list[str] = []
    found = state(frame)

    def attempt(stills: Stills) -> Still | None:
        try:
            return stills(frame)
        except ImageError as error:
            warnings.append(str(error))
            return None

    plate = attempt(reader.plate)
    result = attempt(reader.result) if found not in ("missing", "damaged") else None
    size = plate.size if plate is not None else None if result is None else result.size
    if plate is not None and result is not None and plate.size != result.size:
        sizes = " and the plate ".join(f"{width}x{height}" for height, width in (result.size, plate.size))
        warnings.append(f"the frame is {sizes}")
    if plate is not None and plate.bad_pixels:
        warnings.append(f"{plate.bad_pixels} pixels of the plate are NaN or Inf")
    share: float | None = None
    source = "none"
    try:
        carried, source = reader.carried(frame, result, size)
        if carried is not None:
            share = float(carried.mean())
        elif frame in reader.keys and prepared:
            share = 1.0
        elif prepared and size is not None:
            share = 0.0
            warnings.append("no STMap sidecar: nothing is carried here")
    except ImageError as error:
        warnings.append(str(error))
    row = FrameRow(frame, found, share, warnings=tuple(warnings))
    return _Frame(row, None if plate is None else plate.rgb, None if result is None else result.rgb, source)


def _step(before: _Frame, now: _Frame) -> Step | None:
    if before.plate is None or now.plate is None:
        return None
    return plate_step(before.plate, fit(now.plate, before.plate))


def _with_errors(row: FrameRow, before: _Frame, now: _Frame, step: Step | None) -> FrameRow:
    if step is None or before.plate is None or now.plate is None:
        return row
    own = temporal_error(before.plate, fit(now.plate, before.plate), step)
    error = None
    if before.result is not None and now.result is not None:
        error = temporal_error(fit(before.result, before.plate), fit(now.result, before.plate), step)
    return replace(
        row,
        error=None if error is None else error.mean,
        plate_error=None if own is None else own.mean,
    )


def _remarked(rows: Sequence[FrameRow]) -> tuple[FrameRow, ...]:
    """The rows with warnings that need the whole shot to be told."""
    usual = median([row.error for row in rows])
    done = []
    for row in rows:
        warnings = list(row.warnings)
        if row.carried is not None and 0.0 < row.carried < _FEW:
            warnings.append(f"only {100 * row.carried:.0f} % rides on a painting")
        if row.error is not None and usual and row.plate_error is not None:
            excess = row.error - row.plate_error
            if row.error >= _UNSTEADY * usual and excess >= _UNSTEADY_CODES:
                warnings.append(
                    f"changes {row.error / usual:.1f} times as much towards the next frame as is usual here"
                )
        done.append(replace(row, warnings=tuple(warnings)))
    return tuple(done)


def counts(rows: Sequence[FrameRow]) -> Mapping[str, int]:
    """How many frames are in each state."""
    found: dict[str, int] = {}
    for row in rows:
        found[row.state] = found.get(row.state, 0) + 1
    return found
