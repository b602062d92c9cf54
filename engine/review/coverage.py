"""Coverage: how much of a shot each frame would carry if it were painted, estimated small, and the best few of them.

From every candidate the plate's flow is followed both ways. A pixel of another frame counts as carried as far as the
steps in between are reliable and the plate still looks alike there. The choice is greedy maximum coverage: each frame
chosen adds most to what the ones before it carry, which is never worse than 63 % of the best choice (Nemhauser et al.
1978).

Memory does not depend on the plate's size, and on the number of frames only where a shot has thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Bytes, Floats
from engine.base.errors import InputError
from engine.base.machine import cpu_count
from engine.motion.flow import compose, estimate, one_thread, pull, reliability
from engine.motion.stmap import find_sidecars, read_sidecars
from engine.review.painted import painted_confidence

__all__ = [
    "LEAST_GAIN",
    "WORKING_WIDTH_PX",
    "Neighborhood",
    "Plan",
    "Suggestion",
    "sidecar_maps",
    "suggest",
]

WORKING_WIDTH_PX = 320
"""Flow is estimated on plates of at most this width."""
LEAST_GAIN = 0.02
"""Share of the shot under which another painting is not worth an artist's time."""

_CANDIDATES = 40
_REFINEMENTS = 8
"""Frames tried around a chosen one where candidates lie apart."""
_MAP_WIDTH_PX = 80
_MAP_BYTES = 64 << 20
_STEP_BYTES = 256 << 20
_BYTES_PER_STEP_PIXEL = 11
_NARROWEST_PX = 32
_DECAY = 0.01
"""Share lost with each step of a pixel or more: tracks drift as they move, and what stands still does not."""
_CUT = 0.3
"""A step that can be trusted over less than this share is a cut, and nothing is carried over it."""
_ALIKE, _UNLIKE = 6.0, 24.0
"""Display codes: a difference below the first is noise; that plus the second is another thing."""
_TIE = 1e-4

Tick = Callable[[float], None]
Result = TypeVar("Result")
Halves = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Suggestion:
    """A frame that is painted, or should be. Shares are 0..1, means over all pixels of all frames."""

    frame: int
    """The frame number."""
    alone: float
    """Share of the shot that its painting carries, whatever the others do."""
    gain: float
    """Share that it adds to the ones before it."""
    total: float
    """Share that it carries together with the ones before it."""
    curve: tuple[float, ...]
    """Share that it carries of each frame of the shot."""


@dataclass(frozen=True)
class Neighborhood:
    """Frames that one painting reaches at half strength or better, and that lack at least half as much as its own."""

    first: int
    """The first frame's number."""
    last: int
    """The last one's."""
    uncarried: float
    """Share of these frames that rides on no painting, 0..1."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What to paint."""

    frames: tuple[int, ...]
    """The shot's frame numbers, ascending."""
    painted: tuple[Suggestion, ...]
    """Frames that have a painting already."""
    chosen: tuple[Suggestion, ...]
    """Frames to paint, the most useful first."""
    next_gain: float
    """Share that the best further frame would add."""
    carried: Bytes
    """(N, h, w) uint8: how far each pixel of each frame is carried by all of them, 255 for wholly."""
    painted_carried: Bytes
    """(N, h, w) uint8: the same by the paintings there are, without the chosen frames."""

    @property
    def total(self) -> float:
        """Share of the shot that painted and chosen frames carry together."""
        return float(self.carried.mean()) / 255.0

    @property
    def curve(self) -> tuple[float, ...]:
        """Share of each frame that they carry together."""
        return _shares(self.carried)

    @property
    def painted_curve(self) -> tuple[float, ...]:
        """Share of each frame that the paintings there are carry together, 0..1."""
        return _shares(self.painted_carried)

    @property
    def painted_total(self) -> float:
        """Share of the shot that the paintings there are carry together."""
        return float(self.painted_carried.mean()) / 255.0

    @property
    def lacking(self) -> Neighborhood | None:
        """Where the first chosen frame would help; None where none is chosen."""
        if not self.chosen:
            return None
        first = last = best = self.frames.index(self.chosen[0].frame)
        missing = [1.0 - share for share in self.painted_curve]
        reach = self.chosen[0].curve
        inside = [reach[i] >= 0.5 and missing[i] >= 0.5 * missing[best] for i in range(len(missing))]
        while first > 0 and inside[first - 1]:
            first -= 1
        while last + 1 < len(inside) and inside[last + 1]:
            last += 1
        uncarried = sum(missing[first : last + 1]) / (last + 1 - first)
        return Neighborhood(self.frames[first], self.frames[last], uncarried)


def suggest(
    frames: Sequence[int],
    luma: Sequence[Bytes],
    *,
    count: int = 3,
    painted: Mapping[int, Bytes | None] | None = None,
    coverage: Mapping[int, Floats | None] | None = None,
    least_gain: float = LEAST_GAIN,
    tick: Tick | None = None,
) -> Plan:
    """Choose frames to paint.

    Args:
        frames: frame numbers, ascending.
        luma: for each an (h, w) uint8 plate, display codes, all of one size; 320 wide is enough.
        count: how many frames to choose at most; fewer where the next would add less than ``least_gain``.
        painted: frames with a painting; each with its maps, (N, h', w') uint8 of any size, or None to estimate them.
            One with maps may lie outside the shot.
        coverage: of painted frames whose maps are estimated, (h', w') in 0..1 of any size; None or nothing for frames
            that are painted wholly.
        least_gain: share of the shot; the first frame of a shot without paintings is chosen whatever it adds.
        tick: called with the fraction that is done, 0..1; may raise to stop.

    Raises:
        InputError: no frames, plates of several sizes, a painted frame outside the shot without maps, or a
            count below 1.
    """
    numbers, known = tuple(frames), dict(painted or {})
    _check(numbers, luma, known, count)
    tick = tick or _no_tick
    with one_thread():
        return _suggest(numbers, luma, known, dict(coverage or {}), count, least_gain, tick)


def sidecar_maps(
    work: Path | None,
    key_frame: int,
    frames: Sequence[int],
    size: tuple[int, int],
    width_px: int = _MAP_WIDTH_PX,
    coverage: Floats | None = None,
) -> Bytes | None:
    """A keyframe's confidence from its STMap sidecars, (N, h', w') uint8; None unless every frame has one.

    What points at an unpainted place of the keyframe carries nothing.

    Args:
        work: the work folder; None where there is none.
        size: height and width of the plate in pixels.
        width_px: of the maps, at most.
        coverage: (H, W) in 0..1, how far the keyframe is painted; None for wholly.

    Raises:
        ImageError: a sidecar is damaged or of another size than the plate.
    """
    found = [find_sidecars(work, (key_frame,), frame) for frame in frames]
    if not all(path for paths in found for path in paths):
        return None
    height, width = _fitted(size, width_px)
    maps = np.zeros((len(found), height, width), np.uint8)
    for index, (frame, paths) in enumerate(zip(frames, found, strict=True)):
        planes = read_sidecars(paths, *size, frame=frame, tracked=True)
        if planes is not None:
            maps[index] = _as_map(painted_confidence(planes, [coverage])[..., 0], height, width)
    return maps


@dataclass(frozen=True, eq=False)
class _Step:
    """Between two neighbors, the earlier and the later."""

    forth: Halves
    """(h, w, 2) flow from the earlier to the later, half float."""
    back: Halves
    """(h, w, 2) flow from the later to the earlier."""
    forth_trust: Bytes
    """(h, w): reliability of ``forth``, 255 for 1."""
    back_trust: Bytes
    cut: bool
    """Whether nothing is carried over it."""


def _suggest(
    frames: tuple[int, ...],
    luma: Sequence[Bytes],
    painted: dict[int, Bytes | None],
    coverage: dict[int, Floats | None],
    count: int,
    least_gain: float,
    tick: Tick,
) -> Plan:
    small = _for_flow(luma)
    place = {frame: index for index, frame in enumerate(frames)}
    spacing = -(-len(frames) // _CANDIDATES)
    height, width = _map_size(small[0].shape, len(frames), spacing)
    estimated = [frame for frame, maps in painted.items() if maps is None]
    grid = [index for index in range(spacing // 2, len(frames), spacing) if frames[index] not in painted]
    with _ThreadPool() as pool:
        steps = pool.map(
            lambda index: _step(small[index], small[index + 1]), range(len(small) - 1), lambda f: tick(0.3 * f)
        )

        def carry(index: int) -> Bytes:
            return _carry(small, steps, index, height, width, coverage.get(frames[index]))

        wanted = [place[frame] for frame in estimated] + grid
        share = 0.5 if spacing > 1 else 0.7
        maps = dict(zip(wanted, pool.map(carry, wanted, lambda f: tick(0.3 + share * f)), strict=True))
        have = {
            frame: _resized(given, height, width) if given is not None else maps.pop(place[frame])
            for frame, given in painted.items()
        }
        taken = {place[frame] for frame in have if frame in place}
        base = _union(have.values(), (len(frames), height, width))
        order = _greedy(base, maps, count, least_gain, forced=not painted)
        if spacing > 1:
            order = _refine(base, maps, order, spacing, len(frames), taken, lambda new: pool.map(carry, new, _no_tick))
        tick(1.0)
    carried, suggestions = np.zeros_like(base), []
    for frame, own in [*have.items(), *((frames[index], maps[index]) for index in order)]:
        before = carried.mean()
        np.maximum(carried, own, out=carried)
        suggestions.append(
            Suggestion(
                frame,
                float(own.mean()) / 255.0,
                float(carried.mean() - before) / 255.0,
                float(carried.mean()) / 255.0,
                _shares(own),
            )
        )
    left = max((_gain(carried, own) for index, own in maps.items() if index not in order), default=0.0)
    return Plan(frames, tuple(suggestions[: len(have)]), tuple(suggestions[len(have) :]), left, carried, base)


def _greedy(base: Bytes, maps: Mapping[int, Bytes], count: int, least_gain: float, *, forced: bool) -> list[int]:
    """Indexes of the frames to choose, the most useful first."""
    carried, order = base.copy(), list[int]()
    middle = (len(base) - 1) / 2
    while len(order) < min(count, len(maps)):
        best, most = -1, -1.0
        # Equals go to the frame that itself lacks most, then to the one nearest the middle of the shot.
        lacking = [-share for share in _shares(255 - carried)]
        indexes = sorted(maps, key=lambda index: (lacking[index], abs(index - middle), index))
        for index in indexes:
            gain = _gain(carried, maps[index]) if index not in order else -1.0
            if gain > most + _TIE:
                best, most = index, gain
        if most < least_gain and not (forced and not order):
            break
        order.append(best)
        np.maximum(carried, maps[best], out=carried)
    return order


def _refine(
    base: Bytes,
    maps: dict[int, Bytes],
    order: list[int],
    spacing: int,
    frames: int,
    taken: set[int],
    carry: Callable[[Sequence[int]], list[Bytes]],
) -> list[int]:
    """Moves each chosen frame to the best place between its neighbors on the grid, the others staying."""
    order = list(order)
    for number, chosen in enumerate(order):
        others = _union([base, *(maps[index] for index in order if index != chosen)], base.shape)
        reach = np.linspace(1 - spacing, spacing - 1, min(_REFINEMENTS, 2 * spacing - 1))
        near = sorted({chosen + round(float(offset)) for offset in reach} - {*maps, *taken})
        near = [index for index in near if 0 <= index < frames]
        tried = dict(zip(near, carry(near), strict=True))
        best, most = chosen, _gain(others, maps[chosen])
        for index, own in tried.items():
            gain = _gain(others, own)
            if gain > most + _TIE:
                best, most = index, gain
        if best != chosen:
            maps[best] = tried[best]
            order[number] = best
    return _greedy(base, {index: maps[index] for index in order}, len(order), 0.0, forced=True)


def _step(earlier: Bytes, later: Bytes) -> _Step:
    forth, back = estimate(earlier, later), estimate(later, earlier)
    forth_trust, back_trust = reliability(forth, back), reliability(back, forth)
    alike = _agreement(pull(earlier, back), later)
    return _Step(
        forth.astype(np.float16),
        back.astype(np.float16),
        _coded(forth_trust),
        _coded(back_trust),
        float((back_trust * alike).mean()) < _CUT,
    )


def _carry(
    luma: Sequence[Bytes],
    steps: Sequence[_Step],
    key: int,
    height: int,
    width: int,
    coverage: Floats | None = None,
) -> Bytes:
    """(N, height, width) uint8: how far a painting of frame ``key`` carries each pixel of each frame.

    Args:
        coverage: (h', w') in 0..1 of any size, how far it is painted; None for wholly.
    """
    maps = np.zeros((len(luma), height, width), np.uint8)
    maps[key] = 255
    if coverage is not None:
        maps[key] = _as_map(coverage, height, width)
        size = (luma[key].shape[1], luma[key].shape[0])
        coverage = np.asarray(cv2.resize(coverage, size, interpolation=cv2.INTER_AREA), np.float32)
    for direction in (1, -1):
        to_key = np.zeros((*luma[key].shape, 2), np.float32)
        chain = np.ones(luma[key].shape, np.float32)
        index = key + direction
        while 0 <= index < len(luma):
            step = steps[min(index, index - direction)]
            if step.cut:
                break
            flow = (step.back if direction > 0 else step.forth).astype(np.float32)
            trust = (step.back_trust if direction > 0 else step.forth_trust).astype(np.float32) / 255.0
            moved = np.minimum(np.sqrt(np.square(flow).sum(axis=2)), 1.0)
            chain = pull(chain, flow, border=cv2.BORDER_CONSTANT) * trust * (1.0 - _DECAY * moved)
            to_key = compose(flow, to_key)
            alike = _agreement(pull(luma[key], to_key), luma[index], chain)
            painted = 1.0 if coverage is None else pull(coverage, to_key, border=cv2.BORDER_CONSTANT)
            maps[index] = _as_map(chain * alike * painted, height, width)
            if not maps[index].any():
                break
            index += direction
    return maps


def _agreement(pulled: Bytes, here: Bytes, weight: Floats | None = None) -> Floats:
    """How far two plates look alike, (H, W) in 0..1: 1 within noise, 0 for something else.

    Args:
        pulled: (H, W) uint8, display codes, the other frame as seen from this one.
        here: (H, W) uint8, this frame.
        weight: (H, W) in 0..1; where given, a change of exposure of what weighs over 0.25 counts as no difference.
    """
    difference = cv2.blur(pulled.astype(np.float32), (3, 3)) - cv2.blur(here.astype(np.float32), (3, 3))
    if weight is not None:
        sure = difference[weight > 0.25]
        if sure.size:
            difference -= np.median(sure)
    excess = np.maximum(np.abs(difference) - _ALIKE, 0.0) / _UNLIKE
    return np.asarray(np.exp(-np.square(excess)), np.float32)


def _gain(carried: Bytes, own: Bytes) -> float:
    """Share of the shot that ``own`` adds."""
    return float(np.maximum(carried, own).mean() - carried.mean()) / 255.0


def _union(maps: Iterable[Bytes], shape: tuple[int, ...]) -> Bytes:
    carried = np.zeros(shape, np.uint8)
    for own in maps:
        np.maximum(carried, own, out=carried)
    return carried


def _shares(maps: Bytes) -> tuple[float, ...]:
    """Share of each frame that its map carries, 0..1."""
    return tuple(float(share) for share in maps.mean(axis=(1, 2)) / 255.0)


def _coded(share: Floats) -> Bytes:
    return np.asarray(np.clip(share, 0.0, 1.0) * 255.0 + 0.5, np.uint8)


def _as_map(confidence: Floats, height: int, width: int) -> Bytes:
    return _coded(cv2.resize(confidence, (width, height), interpolation=cv2.INTER_AREA))


def _resized(maps: Bytes, height: int, width: int) -> Bytes:
    if maps.shape[1:] == (height, width):
        return maps
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) for one in maps])


def _fitted(size: tuple[int, ...], width_px: int) -> tuple[int, int]:
    height, width = size[:2]
    fitted = min(width, width_px)
    return max(1, round(height * fitted / width)), fitted


def _for_flow(luma: Sequence[Bytes]) -> list[Bytes]:
    """The plates at the size at which all steps together fit."""
    height, width = luma[0].shape
    pixels = _STEP_BYTES / _BYTES_PER_STEP_PIXEL / len(luma)
    most = min(WORKING_WIDTH_PX, max(_NARROWEST_PX, int((pixels * width / height) ** 0.5)))
    if width <= most:
        return list(luma)
    small_height, small_width = _fitted((height, width), most)
    return [cv2.resize(one, (small_width, small_height), interpolation=cv2.INTER_AREA) for one in luma]


def _map_size(size: tuple[int, ...], frames: int, spacing: int) -> tuple[int, int]:
    pixels = _MAP_BYTES / (frames * (-(-frames // spacing) + _REFINEMENTS))
    return _fitted(size, min(_MAP_WIDTH_PX, max(8, int((pixels * size[1] / size[0]) ** 0.5))))


def _check(frames: tuple[int, ...], luma: Sequence[Bytes], painted: Mapping[int, object], count: int) -> None:
    if not frames or len(frames) != len(luma):
        raise InputError(f"{len(frames)} frames and {len(luma)} plates do not go together")
    for frame, plate in zip(frames, luma, strict=True):
        if plate.shape != luma[0].shape:
            sizes = " and ".join(f"{one.shape[1]}x{one.shape[0]}" for one in (luma[0], plate))
            remedy = "give frames of one size"
            raise InputError(f"the plate changes its size: {sizes} when reduced", frame=frame, remedy=remedy)
    for frame, maps in painted.items():
        if maps is None and frame not in frames:
            raise InputError(f"keyframe {frame} is outside the shot", remedy="include it in the frame range")
    if count < 1:
        raise InputError(f"{count} frames to paint is too few", remedy="ask for 1 or more")


def _no_tick(fraction: float) -> None:
    """Nobody watches."""


class _ThreadPool:
    """Threads that work on independent items; results keep the items' order."""

    def __enter__(self) -> _ThreadPool:
        self._pool = ThreadPoolExecutor(cpu_count(), thread_name_prefix="coverage")
        return self

    def __exit__(self, *reason: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, work: Callable[[int], Result], items: Sequence[int], tick: Tick) -> list[Result]:
        """``work`` of each item; ``tick`` is called from this thread and may raise."""
        futures: list[Future[Result]] = [self._pool.submit(work, item) for item in items]
        pending = set(futures)
        while pending:
            _, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
            tick(1.0 - len(pending) / len(futures))
        return [future.result() for future in futures]
