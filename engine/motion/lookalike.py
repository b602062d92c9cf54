"""Lookalikes: places of the keyframe whose plate looks like a surface that no keyframe shows, to borrow strokes from.

Where the plate is flat, a sky or a wall out of focus, a translator sees nothing that could tell it where a stroke goes,
and strokes end at the border of what the painting covers. There a track's map is continued with coordinates of another
place of the keyframe, in few large pieces, so that strokes stay whole. What was found once stays: it moves on with the
surface from frame to frame. Where the plate has texture the translator does better, and nothing is borrowed.

Pieces that are offset as a whole and chosen by how much they serve: He and Sun 2012, "Statistics of patch offsets for
image completion", found that few offsets dominate; the choice here is a greedy cover instead of a graph cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats, Mask
from engine.motion.flow import inside, pull
from engine.motion.track import FrameFeatures, Track, flatness

__all__ = ["LOST", "SURE", "Lookalike", "find_lookalike", "no_lookalike"]

LOST = 0.3
"""Confidence under which a track has lost its surface."""
SURE = 0.7
"""Confidence of the best lookalike; less where its plate differs, and none where the plate has texture."""
_FADE = 0.1
"""Confidence over which a lookalike gives way to the track."""
_WIDTH = 240
"""Width, pixels, at which places are compared."""
_WINDOW = 13
"""Side of the window in which they are, at that width."""
_ALIKE = 0.12
"""Difference, working encoding, by which a place may be worse than the best one to keep a piece whole."""
_FOREIGN = 0.25
"""Difference at which a place counts for a third, and beyond which it is looked for anew."""
_FAR = 0.5
"""What an offset across the whole picture costs."""
_PIECES = 5
"""Offsets chosen at most by how much they serve; what is left takes the best of its own."""
_ACROSS, _ALONG = 8, 8
"""Offsets tried: one for this many parts of the width, and of the height."""
_SMOOTH = 3.0
"""Sigma, pixels at that width, of the motion by which the surroundings are continued."""
_SMALLEST = 8
"""Pixels, at the width of comparing, under which nothing is looked for."""


@dataclass(frozen=True)
class Lookalike:
    """The places of one keyframe that look like what one frame shows and the keyframe does not."""

    flow: Floats
    """(H, W, 2) pixels: from this frame to the place in the keyframe."""
    found: Mask
    """(H, W): where there is such a place."""
    confidence: Floats
    """(H, W) in 0..1."""

    def joined(self, track: Track) -> tuple[Floats, Floats, Mask]:
        """The track's flow (H, W, 2) and confidence (H, W), borrowed where it is lost; and where that is."""
        worth = self.confidence * np.clip((LOST - track.confidence) / _FADE, 0, 1)
        borrowed = self.found & (worth > track.confidence)
        flow = np.where(borrowed[..., None], self.flow, track.to_key)
        return flow, np.where(borrowed, worth, track.confidence).astype(np.float32), borrowed


def no_lookalike(height: int, width: int) -> Lookalike:
    """That of the keyframe itself, which lacks nothing."""
    empty = np.zeros((height, width), np.float32)
    return Lookalike(np.zeros((height, width, 2), np.float32), empty > 0, empty)


def find_lookalike(
    previous: Lookalike, step_back: Floats, track: Track, frame: FrameFeatures, key: FrameFeatures
) -> Lookalike:
    """The lookalike of one frame, from that of the neighbor nearer to the keyframe.

    Args:
        previous: the neighbor's.
        step_back: (H, W, 2) pixels, flow from this frame to the neighbor.
        track: this frame's.
        frame, key: this frame and the keyframe.
    """
    height, width = track.confidence.shape
    soft = max(1.0, width / _WIDTH / 2)
    flat = cv2.GaussianBlur(flatness(frame), (0, 0), soft)
    wanted = (track.confidence < LOST) & (flat > 0)
    if not wanted.any():
        return no_lookalike(height, width)
    flow, has = _moved(previous, step_back)
    has &= wanted & inside(flow)
    places = _Places(frame, key, track)
    flow, has = places.complete(flow, has, wanted)
    difference = places.difference(flow)
    confidence = np.where(has, SURE * flat * np.exp(-np.square(difference / _FOREIGN)), 0).astype(np.float32)
    return Lookalike(flow, has, np.asarray(cv2.GaussianBlur(confidence, (0, 0), soft), np.float32))


def _moved(lookalike: Lookalike, step_back: Floats) -> tuple[Floats, Mask]:
    """A lookalike as the next frame sees it; nearest, since between two pieces there is no place in between."""
    flow = pull(lookalike.flow, step_back, filter_=cv2.INTER_NEAREST)
    has = pull(lookalike.found.astype(np.uint8), step_back, border=cv2.BORDER_CONSTANT, filter_=cv2.INTER_NEAREST)
    return np.asarray(step_back + flow, np.float32), np.asarray(has > 0)


class _Places:
    """A frame and its keyframe, small, as places are compared."""

    def __init__(self, frame: FrameFeatures, key: FrameFeatures, track: Track) -> None:
        self.height, self.width = track.confidence.shape
        scale = max(1, round(self.width / _WIDTH))
        self.rows, self.columns = max(1, self.height // scale), max(1, self.width // scale)
        self.shrink = np.array([self.columns / self.width, self.rows / self.height], np.float32)
        self.enlarge = np.array([self.width / self.columns, self.height / self.rows], np.float32)
        self.here, there = self._features(frame), self._features(key)
        # A lost track wanders; the surface around goes on.
        sure = self._small(track.confidence) > 0.5
        self.base = cv2.GaussianBlur(_spread(self._small_flow(track.to_key), sure), (0, 0), _SMOOTH)
        if sure.any():
            # The light may have changed between the two.
            mean, other = self.here[sure].mean(), pull(there, self.base)[sure].mean()
            there = there * np.float32((mean + 0.05) / (other + 0.05))
        self.there = there

    def _small(self, image: npt.NDArray[np.float32]) -> Floats:
        return np.asarray(cv2.resize(image, (self.columns, self.rows), interpolation=cv2.INTER_AREA), np.float32)

    def _small_flow(self, flow: Floats) -> Floats:
        return self._small(flow) * self.shrink

    def _features(self, view: FrameFeatures) -> Floats:
        """(h, w, 4): color and twice the contrast around."""
        small = self._small(np.dstack([view.color, 2 * view.contrast]).astype(np.float32))
        return np.asarray(cv2.GaussianBlur(small, (0, 0), 1.5), np.float32)

    def difference(self, flow: Floats) -> Floats:
        """(H, W): how much the places that ``flow`` (H, W, 2) names differ from the frame."""
        found = cv2.blur(self._compare(self._small_flow(flow)), (_WINDOW, _WINDOW))
        return np.asarray(cv2.resize(found, (self.width, self.height)), np.float32)

    def _compare(self, flow: Floats) -> Floats:
        return np.asarray(np.abs(self.here - pull(self.there, flow)).sum(axis=2), np.float32)

    def complete(self, flow: Floats, has: Mask, wanted: Mask) -> tuple[Floats, Mask]:
        """Flow and mask with places for all that is wanted and has none yet."""
        size = (self.columns, self.rows)
        has_small = cv2.resize(has.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        missing = (self._small((wanted & ~has).astype(np.float32)) > 0.25) & ~has_small
        if missing.sum() < _SMALLEST:
            return flow, has
        offset = np.zeros((self.rows, self.columns, 2), np.float32)
        held = has_small.copy()
        if held.any():
            nearest = cv2.resize(flow, size, interpolation=cv2.INTER_NEAREST) * self.shrink
            offset[held] = (nearest - self.base)[held]
            offset = _spread(offset, held)
            # A piece grows with the surface that it lies on, as long as there is something to borrow.
            grown = cv2.blur(self._compare(self.base + offset), (_WINDOW, _WINDOW)) < _FOREIGN
            held |= missing & grown & inside(self.base + offset)
        left = missing & ~held
        if left.sum() >= _SMALLEST:
            offset = np.where(left[..., None], self._chosen(left), offset)
            held |= left
        offset = _spread(offset, held)
        whole = (self.width, self.height)
        pieces = cv2.resize(offset, whole, interpolation=cv2.INTER_NEAREST) * self.enlarge
        base = cv2.resize(self.base, whole) * self.enlarge
        new = wanted & ~has
        found = np.where(new[..., None], base + pieces, flow).astype(np.float32)
        return found, has | (new & inside(found))

    def _chosen(self, left: Mask) -> Floats:
        """(h, w, 2): offsets for the pixels that are left, in few pieces."""
        rows, columns = np.nonzero(left)
        top, bottom = max(rows.min() - _WINDOW, 0), min(rows.max() + 1 + _WINDOW, self.rows)
        first, last = max(columns.min() - _WINDOW, 0), min(columns.max() + 1 + _WINDOW, self.columns)
        part = (slice(top, bottom), slice(first, last))
        window = left[part].astype(np.float32)
        weight = cv2.blur(window, (_WINDOW, _WINDOW))[left[part]] + 1e-3
        y, x = np.mgrid[top:bottom, first:last].astype(np.float32)
        x, y = x + self.base[part][..., 0], y + self.base[part][..., 1]
        here = self.here[part]
        offsets, costs = [], []
        for down in np.arange(-_ALONG // 3, _ALONG // 3 + 1) * max(1, self.rows // _ALONG):
            for right in np.arange(-(_ACROSS * 2 // 3), _ACROSS * 2 // 3 + 1) * max(1, self.columns // _ACROSS):
                to_x, to_y = x + np.float32(right), y + np.float32(down)
                out = np.maximum(np.maximum(-to_x, to_x - self.columns + 1), np.maximum(-to_y, to_y - self.rows + 1))
                seen = cv2.remap(self.there, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                cost = np.abs(here - seen).sum(axis=2) + 0.3 * np.clip(out, 0, 3)
                cost = cv2.blur(cost * window, (_WINDOW, _WINDOW))[left[part]] / weight
                costs.append(cost + _FAR * np.hypot(right / self.columns, down / self.rows))
                offsets.append((right, down))
        table = np.stack(costs)  # (offsets, pixels)
        best = table.min(axis=0)
        label = table.argmin(axis=0)
        open_ = np.ones(len(best), bool)
        for _ in range(_PIECES):
            served = np.clip(best + _ALIKE - table, 0, None) * open_
            choice = int(served.sum(axis=1).argmax())
            taken = open_ & (table[choice] < best + _ALIKE)
            label[taken] = choice
            open_ &= ~taken
            if open_.sum() < _SMALLEST:
                break
        found = np.zeros((self.rows, self.columns, 2), np.float32)
        found[left] = np.array(offsets, np.float32)[label]
        return found


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
