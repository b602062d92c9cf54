"""Repainted surfaces: keyframe coordinates for pixels that no track reaches, found by guided patch matching.

What comes out from behind an object, enters at the border or was lost has no stroke of its own in the keyframe. It gets
those of another place whose plate looks alike, in whole pieces, so that strokes stay whole. What was found once rides
on with its surface from frame to frame. It is all coordinates of the keyframe, so a frame's map is all that rendering
needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats, Mask
from engine.motion.coherence import going_along
from engine.motion.flow import either, inside, pull, squared_px
from engine.motion.patch_search import CELL, KNOWN, NOTHING, WANTED, crumbs, search
from engine.motion.track import FrameFeatures, Track

__all__ = ["LOST", "SURE", "Repainted", "nothing_repainted", "repaint_elsewhere", "repaint_frame"]

LOST = 0.3
"""Confidence under which a track has lost its surface."""
SURE = 0.9
"""Confidence of what is repainted, where the source's plate is the same; less where it differs."""
_FADE = 0.1
"""Confidence over which it gives way to the track."""
_FOREIGN = 0.7
"""Difference of the plates at which the confidence is a third."""
_SEAM = 0.36
"""What is left of it where two pieces meet: the translator joins them there."""
_EDGE, _WITHIN = 0.5, 0.95
"""Share of what is around that goes along up to which it is the end of a piece, and from which it is inside one."""
_WRONG = 0.8
"""Difference from which a piece is given up and looked for anew."""
_ROUND_TRIP_PX = 1.5
"""Error of the step to the neighbor and back from which a piece does not ride on it."""
_ROUNDED_PX = 1 / 64
"""What a place may move by when it is written as u and v."""
_SIDE = 480
"""Width, pixels, at which patches are compared; a wider picture is made smaller by a whole number."""
_SOFT = 3.0
"""Deviation, pixels at that width, of the blur before they are: strokes are wider than the plate's texture."""
_SHARP = 0.8
"""Deviation of the blur where the ends of pieces are looked for."""
_CRUMB = 60
"""Pixels under which a piece is given up, and what it covered looked for anew."""
_HUE = 1.5
"""Weight of the hue, which parts surfaces that are as bright."""
_AROUND = 0.4
"""Difference at which a pixel that is tracked counts a third in a patch: it may belong to what hides the surface."""
_LIGHT_PX = 24.0
"""Deviation over which a change of the light is continued into what is hidden."""
_REACH = 8
"""How far around what is wanted pixels count, and how far around a pixel places are judged."""
_ROOM = 0.15
"""How far inside the picture sources are looked for, of its size, where the surface lies beyond it."""
_COHERENT = 0.35
"""What a break with one of four neighbors costs; in the difference of the plates, summed over the channels."""
_FAR = 0.15
"""What a place across the whole picture costs."""
_OUTWARD = 0.3
"""What it costs to begin at the border, where there is no room left, instead of inside."""
_USED = 0.05
"""What another use of a source costs."""
_ELSEWHERE = 0.1
"""How far, of a picture's width, its own places are elsewhere."""
_SHOWN = 0.5
"""Uses that count for a source which the frame shows in its own place."""


@dataclass(frozen=True)
class Repainted:
    """Places of one keyframe for what one frame shows and the keyframe does not."""

    flow: Floats
    """(H, W, 2) pixels: from this frame to the place in the keyframe."""
    found: Mask
    """(H, W): where there is one."""
    confidence: Floats
    """(H, W) in 0..1."""

    def joined(self, track: Track) -> tuple[Floats, Floats, Mask]:
        """The track's flow (H, W, 2) and confidence (H, W), repainted where it is lost; and where that is."""
        lost = np.clip((LOST - track.confidence) / _FADE, 0, 1)
        worth = track.confidence + lost * (self.confidence - track.confidence)
        taken = self.found & (worth > track.confidence)
        flow = either(taken, self.flow, track.to_key)
        return flow, np.where(taken, worth, track.confidence).astype(np.float32), taken


def nothing_repainted(height: int, width: int) -> Repainted:
    """That of the keyframe itself, which lacks nothing."""
    empty = np.zeros((height, width), np.float32)
    return Repainted(np.zeros((height, width, 2), np.float32), empty > 0, empty)


def repaint_frame(
    previous: Repainted,
    steps: tuple[Floats, Floats],
    track: Track,
    frame: FrameFeatures,
    key: FrameFeatures,
    marks: Mask | None = None,
) -> Repainted:
    """Repaint one frame, from what was repainted in the neighbor nearer to the keyframe.

    Args:
        previous: the neighbor's.
        steps: (H, W, 2) pixels each, flow from this frame to the neighbor, and the other way.
        track: this frame's.
        frame, key: this frame and the keyframe.
        marks: (H, W), places of the keyframe that must not be shown a second time; None for none.
    """
    height, width = track.confidence.shape
    wanted = track.confidence < LOST
    if not wanted.any() or (marks is not None and marks.all()):
        return nothing_repainted(height, width)
    flow, has = _ridden(previous, *steps)
    has &= wanted & inside(flow)
    places = _Places(frame, key, track, wanted, marks)
    # A piece that was begun on a strip may turn out wrong once more of the surface is seen.
    has &= places.difference(flow, has) < _WRONG
    flow, has = places.complete(flow, has)
    flow = _held_inside(flow)
    shown = either(has, flow, track.to_key)
    return Repainted(flow, has, _confidence(places.difference(flow, has), has, shown))


def repaint_elsewhere(view: FrameFeatures) -> Repainted:
    """A picture put together from other places of its own, as another frame would be from a keyframe that lacks it."""
    height, width = view.gray.shape
    lost = Track(*(np.zeros((height, width, 2), np.float32),) * 2, np.zeros((height, width), np.float32))
    places = _Places(view, view, lost, np.ones((height, width), bool), None, side=_SIDE // 2)
    nothing = nothing_repainted(height, width)
    flow, has = places.complete(nothing.flow, nothing.found, nearest=_ELSEWHERE * places.columns)
    flow = _held_inside(flow)
    return Repainted(flow, has, _confidence(places.difference(flow, has), has, flow))


def _confidence(difference: Floats, has: Mask, shown: Floats) -> Floats:
    """(H, W): of what is repainted; less at its seams, as the flow (H, W, 2) of all that is shown has them."""
    height, width = has.shape
    scale = max(1, round(width / _SIDE))
    along = going_along(shown[::scale, ::scale] / np.float32(scale))
    along = np.asarray(cv2.resize(along, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    joined = _SEAM + (1 - _SEAM) * np.clip((along - _EDGE) / (_WITHIN - _EDGE), 0, 1)
    return np.where(has, SURE * np.exp(-np.square(difference / _FOREIGN)) * joined, 0).astype(np.float32)


def _held_inside(flow: Floats) -> Floats:
    """A flow whose places stay in the picture as u and v of a file, too: off its border by the rounding of these."""
    height, width = flow.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2).astype(np.float32)
    last = np.array([width - 1, height - 1], np.float32)
    margin = np.minimum(np.float32(_ROUNDED_PX), last / 2)
    return np.asarray(np.clip(grid + flow, margin, last - margin) - grid, np.float32)


def _ridden(previous: Repainted, step_back: Floats, step_forth: Floats) -> tuple[Floats, Mask]:
    """What the neighbor had, as this frame sees it; nearest, since between two pieces there is no place in between."""
    flow = pull(previous.flow, step_back, filter_=cv2.INTER_NEAREST)
    has = pull(previous.found.astype(np.uint8), step_back, border=cv2.BORDER_CONSTANT, filter_=cv2.INTER_NEAREST) > 0
    away = squared_px(step_back + pull(step_forth, step_back))
    return np.asarray(step_back + flow, np.float32), np.asarray(has & (away < _ROUND_TRIP_PX**2))


class _Places:
    """A frame and its keyframe, as patches are compared."""

    def __init__(
        self,
        frame: FrameFeatures,
        key: FrameFeatures,
        track: Track,
        wanted: Mask,
        marks: Mask | None,
        side: int = _SIDE,
    ) -> None:
        self.wanted = wanted
        self.height, self.width = wanted.shape
        scale = max(1, round(self.width / side))
        self.rows, self.columns = max(1, self.height // scale), max(1, self.width // scale)
        self.shrink = np.array([self.columns / self.width, self.rows / self.height], np.float32)
        self.confidence = self._small(track.confidence)
        self.wanted_small = self._small(wanted.astype(np.float32)) > 0
        small = self._unblurred(frame), self._unblurred(key)
        self.here, there = self._parted(small[0], _SOFT), _soft(small[1], _SOFT)
        self.sharply = self._parted(small[0], _SHARP), self._with_hue(_soft(small[1], _SHARP))
        sure = (self.confidence > 0.5) & ~self.wanted_small
        self.tracked = self._small(track.to_key) * self.shrink
        self.sure = sure
        self.there = there
        light = self._light(sure) if sure.any() else np.float32(1)
        self.here, self.there = self._with_hue(self.here * light), self._with_hue(self.there)
        self.sharply = self._with_hue(self.sharply[0] * light), self.sharply[1]
        self.base = cv2.blur(_spread(self.tracked, sure), (15, 15))
        self.marks = np.zeros((self.rows, self.columns), bool)
        if marks is not None:
            self.marks = self._small(marks.astype(np.float32)) > 0

    def _small(self, image: npt.NDArray[np.float32]) -> Floats:
        return np.asarray(cv2.resize(image, (self.columns, self.rows), interpolation=cv2.INTER_AREA), np.float32)

    def _unblurred(self, view: FrameFeatures) -> Floats:
        """(h, w, 4): color and twice the contrast around."""
        return self._small(np.asarray(cv2.merge([view.color, 2 * view.contrast]), np.float32))

    def _parted(self, small: Floats, sigma: float) -> Floats:
        """The frame's features, smoothed: what is wanted for itself, without the color of what is in front of it."""
        wanted = self.wanted_small[..., None].astype(np.float32)
        sides = []
        for side in (wanted, 1 - wanted):
            near = _soft(np.dstack([small * side, side]), sigma)
            sides.append(near[..., :4] / np.maximum(near[..., 4:], np.float32(1e-4)))
        return np.asarray(np.where(self.wanted_small[..., None], *sides), np.float32)

    @staticmethod
    def _with_hue(features: Floats) -> Floats:
        """(h, w, 6): and the hue, which parts surfaces that are as bright."""
        red, green, blue = cv2.split(features[..., :3])
        bright = (red + green + blue) / 3 + np.float32(0.1)
        hue = (_HUE * (red - green) / bright, _HUE * (blue - green) / bright)
        return np.asarray(cv2.merge([features, *hue]), np.float32)

    def _weights(self) -> Floats:
        """(h, w): how much a pixel counts in a patch: in full where it is wanted, else as it looks like what is."""
        wanted = self.wanted_small.astype(np.float32)
        size = (2 * _REACH + 1, 2 * _REACH + 1)
        mean = cv2.blur(self.here * wanted[..., None], size) / (cv2.blur(wanted, size)[..., None] + 1e-4)
        unlike = np.abs(self.here - mean).sum(axis=2)
        return np.where(self.wanted_small, 1, np.exp(-np.square(unlike / _AROUND))).astype(np.float32)

    def _light(self, sure: Mask) -> Floats:
        """(h, w, 1): the keyframe's light over the frame's, as far as the surfaces around tell."""
        # At a quarter: the light is smooth.
        size = (max(1, self.columns // 4), max(1, self.rows // 4))
        weight = sure.astype(np.float32)
        one = self.here.mean(axis=2) + np.float32(0.05)
        other = np.asarray(pull(self.there, self.tracked), np.float32).mean(axis=2) + np.float32(0.05)
        three = np.dstack([weight, weight * one, weight * other])
        small = cv2.resize(three, size, interpolation=cv2.INTER_AREA)
        near = cv2.GaussianBlur(small, (0, 0), _LIGHT_PX / 4, borderType=cv2.BORDER_REFLECT_101)
        total = small.mean(axis=(0, 1)) * np.float32(0.01)
        gain = np.clip((near[..., 2] + total[2]) / (near[..., 1] + total[1]), 0.3, 3.0)
        return np.asarray(cv2.resize(gain, (self.columns, self.rows))[..., None], np.float32)

    def difference(self, flow: Floats, has: Mask) -> Floats:
        """(H, W): how much the places that ``flow`` (H, W, 2) names differ from the frame."""
        size = (self.columns, self.rows)
        small = cv2.resize(flow, size, interpolation=cv2.INTER_NEAREST) * self.shrink
        mask = cv2.resize(has.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
        found = np.abs(self.here - pull(self.there, small)).sum(axis=2) * mask
        window = (2 * _REACH + 1, 2 * _REACH + 1)
        found = cv2.blur(found, window) / (cv2.blur(mask, window) + 1e-3)
        return np.asarray(cv2.resize(found, (self.width, self.height)), np.float32)

    def complete(self, flow: Floats, has: Mask, nearest: float = 0.0) -> tuple[Floats, Mask]:
        """Flow and mask with places for all that is wanted and has none yet, at least so many pixels away."""
        size, whole = (self.columns, self.rows), (self.width, self.height)
        has_small = cv2.resize(has.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        offset = self.tracked.copy()
        offset[has_small] = cv2.resize(flow, size, interpolation=cv2.INTER_NEAREST)[has_small] * self.shrink
        state = np.where(self.sure | has_small, KNOWN, NOTHING).astype(np.uint8)
        crumb = crumbs(state, offset, _CRUMB) & has_small
        has = has & ~(cv2.resize(crumb.astype(np.uint8), whole, interpolation=cv2.INTER_NEAREST) > 0)
        missing = self.wanted & ~has
        if not missing.any():
            return flow, has
        has_small &= ~crumb
        wanted = (self._small(missing.astype(np.float32)) > 0) & ~has_small
        state = np.where(wanted, WANTED, np.where(self.sure | has_small, KNOWN, NOTHING)).astype(np.uint8)
        grid = np.stack(np.meshgrid(np.arange(self.columns), np.arange(self.rows)), axis=2).astype(np.float32)
        uses = np.float32(_SHOWN) * self._uses(grid + self.tracked, self.sure) + self._uses(grid + offset, has_small)
        search(
            (self.here, self.there), self.sharply, self._weights(), state, offset,
            self._home(grid) - grid, self._outward(grid), self.marks, uses,
            (_COHERENT, _FAR / self.columns, _OUTWARD / (_ROOM * self.columns), _USED),
            nearest,
        )  # fmt: skip
        offset = _spread(offset, has_small | wanted) / self.shrink
        pieces = cv2.resize(offset.astype(np.float32), whole, interpolation=cv2.INTER_NEAREST)
        found = either(missing, pieces, flow)
        return found, has | (missing & inside(found))

    def _home(self, grid: Floats) -> Floats:
        """(h, w, 2): around which places to look first; where the surface lies beyond the keyframe, inside of it.

        What enters at the border lasts the longer, the farther inside its source begins.
        """
        at, last = grid + self.base, np.array([self.columns - 1, self.rows - 1], np.float32)
        room = np.float32(_ROOM) * (last + 1)
        inward = np.where(
            at < 0, np.minimum(at + room, room), np.where(at > last, np.maximum(at - room, last - room), at)
        )
        return np.asarray(inward, np.float32)

    def _outward(self, grid: Floats) -> Floats:
        """(h, w, 2) in -1, 0, 1: on which side, along x and y, the surface lies beyond the keyframe."""
        at, last = grid + self.base, np.array([self.columns - 1, self.rows - 1], np.float32)
        return (at > last).astype(np.float32) - (at < 0).astype(np.float32)

    def _uses(self, places: Floats, mask: Mask) -> Floats:
        """(h / cell, w / cell): how often each pixel of a cell is shown, on average."""
        rows, columns = -(-self.rows // CELL), -(-self.columns // CELL)
        at = np.rint(places[mask]).astype(np.int64)
        ok = ((at >= 0) & (at < [self.columns, self.rows])).all(axis=1)
        cells = (at[ok, 1] // CELL) * columns + at[ok, 0] // CELL
        counts = np.bincount(cells, minlength=rows * columns).reshape(rows, columns)
        return (counts / (CELL * CELL)).astype(np.float32)


def _soft(image: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32)


def _spread(values: Floats, known: Mask) -> Floats:
    """(h, w, C) with the value of the nearest known pixel everywhere."""
    if known.all() or not known.any():
        return values
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    by_label = np.zeros((int(labels.max()) + 1, values.shape[2]), np.float32)
    by_label[labels[known]] = values[known]
    return np.asarray(by_label[labels], np.float32)
