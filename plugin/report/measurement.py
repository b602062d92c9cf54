"""Measurement of a rendered shot: every frame read once, with its state, its share of painting and its steadiness."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from engine.base.arrays import Bytes
from engine.base.errors import ImageError
from engine.review.steadiness import plate_step, temporal_error
from plugin.report.advice import luma_of
from plugin.report.frames import FrameReader, FrameRow
from plugin.report.player import Reel, View
from plugin.report.stills import STILL_PX, Still, Stills, fit, reduced

__all__ = ["Measured", "measure", "median"]

Pixels8 = npt.NDArray[np.uint8]

_UNSTEADY = 2.0
"""A step is remarkable from this multiple of the shot's median on."""
_UNSTEADY_CODES = 2.0
"""And only where it exceeds the plate's own by so many display codes."""
_FEW = 0.5
"""Share of what is painted of a keyframe, under which a frame hardly rides on paintings."""
_READERS = 2


@dataclass(frozen=True, eq=False)
class Measured:
    """Every frame of the range."""

    rows: tuple[FrameRow, ...]
    source: str
    """Where the carried shares come from: layer, sidecars, or none."""
    luma: Mapping[int, Bytes]
    """For each frame whose plate can be read, and is as large as the first one, the plate as advice compares it."""
    size: tuple[int, int]
    """Height and width of these plates, pixels."""
    views: Mapping[int, View]
    """Plate and result of the frames that the page's player shows."""


def measure(
    frames: Sequence[int],
    reader: FrameReader,
    state: Callable[[int], str],
    reel: Reel,
    tick: Callable[[int, int], None],
) -> Measured:
    """Read every frame once; holds a few frames at a time.

    Args:
        frames: frame numbers, ascending.
        state: of a rendered frame, as :class:`~plugin.report.frames.FrameRow` has it.
        reel: which frames the player shows, and how large.
        tick: called with how many frames are measured and of how many; may raise to stop.
    """
    rows: list[FrameRow] = []
    sources: set[str] = set()
    luma: dict[int, Bytes] = {}
    views: dict[int, View] = {}
    size = (0, 0)
    before: _Frame | None = None
    read = partial(_read, reader=reader, state=state, reel=reel)
    for number, now in enumerate(_ahead(frames, read), 1):
        sources.add(now.source)
        if before is not None:
            rows[-1] = _with_errors(rows[-1], before, now)
        rows.append(now.row)
        if now.view is not None:
            views[now.row.frame] = now.view
        if now.plate is not None and now.size is not None and size in ((0, 0), now.size):
            size = now.size
            luma[now.row.frame] = luma_of(now.plate)
        # What is kept of a frame for its neighbor needs no view.
        before = replace(now, view=None)
        tick(number, len(frames))
    source = next((name for name in ("layer", "sidecars") if name in sources), "none")
    return Measured(_remarked(rows, reader.most), source, luma, size, reel.fitted(views))


def median(values: Sequence[float | None]) -> float | None:
    """Of the values that are known; None without any."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


@dataclass(frozen=True, eq=False)
class _Frame:
    row: FrameRow
    plate: Pixels8 | None
    """At most ``STILL_PX`` wide."""
    result: Pixels8 | None
    size: tuple[int, int] | None
    """Of the plate's file."""
    source: str
    view: View | None


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


def _read(frame: int, *, reader: FrameReader, state: Callable[[int], str], reel: Reel) -> _Frame:
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
        elif reader.prepared and size is not None:
            share = 0.0
            warnings.append("no STMap sidecar: nothing is carried here")
    except ImageError as error:
        warnings.append(str(error))
    row = FrameRow(frame, found, share, warnings=tuple(warnings))
    pictures = [None if still is None else still.rgb for still in (plate, result)]
    view = reel.view(frame, *pictures)
    small = [None if rgb is None else reduced(rgb, STILL_PX) for rgb in pictures]
    return _Frame(row, small[0], small[1], None if plate is None else plate.size, source, view)


def _with_errors(row: FrameRow, before: _Frame, now: _Frame) -> FrameRow:
    if before.plate is None or now.plate is None:
        return row
    step = plate_step(before.plate, fit(now.plate, before.plate))
    own = temporal_error(before.plate, fit(now.plate, before.plate), step)
    error = None
    if before.result is not None and now.result is not None:
        error = temporal_error(fit(before.result, before.plate), fit(now.result, before.plate), step)
    return replace(
        row,
        error=None if error is None else error.mean,
        plate_error=None if own is None else own.mean,
    )


def _remarked(rows: Sequence[FrameRow], most: float) -> tuple[FrameRow, ...]:
    """The rows with warnings that need the whole shot to be told; ``most`` is the share of a frame that is painted."""
    usual = median([row.error for row in rows])
    done = []
    for row in rows:
        warnings = list(row.warnings)
        if row.carried is not None and 0.0 < row.carried < _FEW * most:
            warnings.append(f"only {100 * row.carried:.0f} % rides on a painting")
        if row.error is not None and usual and row.plate_error is not None:
            excess = row.error - row.plate_error
            if row.error >= _UNSTEADY * usual and excess >= _UNSTEADY_CODES:
                warnings.append(
                    f"changes {row.error / usual:.1f} times as much towards the next frame as is usual here"
                )
        done.append(replace(row, warnings=tuple(warnings)))
    return tuple(done)
