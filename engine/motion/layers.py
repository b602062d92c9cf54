"""Layers: an object and what lies behind it, followed apart by a matte for every frame, and joined again.

Each layer is the frame with the other one's pixels replaced by what its own continue as. So flow, registration and
confidence see no edge that is not the layer's own, and a surface that comes out from behind an object was followed as
its surroundings move. Joined, a pixel inside its frame's matte comes from inside the keyframe's matte, and one outside
from outside, or from nowhere.

Without a matte the frame is its only layer, and everything is as if there were none.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Bytes, Floats, Mask
from engine.motion.filling import filled
from engine.motion.flow import estimate
from engine.motion.repaint import Repainted
from engine.motion.riding import Ridden
from engine.motion.track import FrameFeatures, Track, advance, begin, features_of, frame_features

__all__ = [
    "LayeredFrame",
    "Steps",
    "advance_layers",
    "begin_layers",
    "given_steps",
    "joined",
    "layered_frame",
    "neighbor_steps",
    "repainted_within",
    "ridden_within",
]

Steps = tuple[tuple[Floats, Floats], ...]
"""For each layer the flow from a frame to its neighbor nearer to the keyframe, and the other way."""

_HALF = 0.5
"""Coverage from which a pixel is the object's."""
_PURE = 0.9
"""Coverage from which a pixel shows the object alone; under what is left to 1, what lies behind it alone."""
_REACH_PX = 1.5
"""How far a source beyond its layer's edge is moved back into it; farther away it is none."""
_LEAST = 0.002
"""Coverage from which a pixel has any of an object: half of an 8-bit code."""
_EXTENDED_PX = 24.0
"""The same for the soft edge of an object that is laid over the plate: as wide as a lens or motion blurs it."""
_STEPS_PER_PX = 10
_FOREIGN_COLOR = 4.0
"""Color of what is not the layer's, for registration: like nothing."""


@dataclass(frozen=True, eq=False)
class LayeredFrame:
    """A plate's frame as it is followed; see :func:`layered_frame`."""

    whole: FrameFeatures
    """All of it."""
    layers: tuple[FrameFeatures, ...]
    """The object and what lies behind it; without a matte ``whole`` alone."""
    matte: Floats | None
    """(H, W) in 0..1."""
    blended: bool = False
    """Whether the object is laid over the plate by its matte afterwards."""

    @cached_property
    def inside(self) -> Mask:
        """(H, W): which pixels are the object's: from half of it on, or whatever has any of it that is laid over."""
        if self.matte is None:
            return np.ones(self.whole.gray.shape, bool)
        return np.asarray(self.matte > _LEAST if self.blended else self.matte >= _HALF)

    @cached_property
    def reach_px(self) -> Floats:
        """(H, W): how far beyond the object's edge a pixel's source may lie, to be moved back to it.

        A soft edge that is laid over takes the object's strokes as far as it goes, not what is painted beside them.
        """
        if self.matte is None or not self.blended:
            return np.full(self.whole.gray.shape, _REACH_PX, np.float32)
        return np.where(self.matte < _HALF, np.float32(_EXTENDED_PX), np.float32(_REACH_PX))

    @cached_property
    def pure(self) -> tuple[Mask, ...]:
        """For each layer, (H, W): which pixels show it alone."""
        return () if self.matte is None else (self.matte >= _PURE, self.matte <= 1 - _PURE)

    @cached_property
    def sources(self) -> tuple[_Source, ...]:
        """For each layer, where its strokes may come from."""
        if self.matte is None:
            return ()
        solid = np.asarray(self.matte >= _HALF)
        sides = zip((solid, ~solid), self.pure, strict=True)
        return tuple(_Source(_Place.of(mine), _Place.of(pure)) for mine, pure in sides)

    def choose(self, by_layer: tuple[Floats, ...]) -> Floats:
        """(H, W) or (H, W, C): each pixel of its own layer's."""
        if self.matte is None:
            return by_layer[0]
        mine = self.inside if by_layer[0].ndim == 2 else self.inside[..., None]
        return np.where(mine, by_layer[0], by_layer[1])


@dataclass(frozen=True, eq=False)
class _Source:
    """A layer of a keyframe, as a place that strokes come from."""

    layer: _Place
    """All of it."""
    pure: _Place
    """What shows it alone."""

    def held(self, flow: Floats, confidence: Floats, pure_here: Mask, reach_px: Floats) -> tuple[Floats, Floats]:
        """A flow (H, W, 2) whose targets are the layer's, and its confidence (H, W), 0 where none is near.

        What shows the layer alone also comes from where it is seen alone, if that is near: a rim would bleed in else.
        """
        y, x = _targets(flow)
        pure, layer, reach = self.pure.away[y, x], self.layer.away[y, x], reach_px * _STEPS_PER_PX
        to_pure = pure_here & (pure > 0) & (pure <= reach)
        to_layer = ~to_pure & (layer > 0) & (layer <= reach)
        back = np.where(to_pure[..., None], self.pure.back_px[y, x], self.layer.back_px[y, x])
        rows, columns = np.indices(confidence.shape, np.float32)
        moved = np.stack([x - columns, y - rows], axis=2) + back
        held = np.where((to_pure | to_layer)[..., None], moved, flow).astype(np.float32)
        return held, np.where(layer > reach, np.float32(0), confidence)

    def holds(self, flow: Floats) -> Mask:
        """(H, W): whether a flow's target is the layer's."""
        return np.asarray(self.layer.away[_targets(flow)] == 0)


@dataclass(frozen=True, eq=False)
class _Place:
    """A part of a picture, and the way back to it."""

    away: Bytes
    """(H, W): how far the part is, 0 in it, in tenths of a pixel; 255 for farther than can be gone back."""
    back_px: npt.NDArray[np.int8]
    """(H, W, 2): x and y from a pixel that is not as far to the part's nearest."""

    @classmethod
    def of(cls, mask: Mask) -> _Place:
        away = np.where(mask, 0, 255).astype(np.uint8)
        back = np.zeros((*mask.shape, 2), np.int8)
        if mask.all() or not mask.any():
            return cls(away, back)
        distance, labels = cv2.distanceTransformWithLabels(
            (~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        near = ~mask & (distance <= _EXTENDED_PX)
        places = np.zeros((int(labels.max()) + 1, 2), np.int32)
        places[labels[mask]] = np.argwhere(mask)[:, ::-1]
        back[near] = places[labels[near]] - np.argwhere(near)[:, ::-1]
        away[near] = np.rint(distance[near] * _STEPS_PER_PX).astype(np.uint8)
        return cls(away, back)


def _targets(flow: Floats) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Row and column, (H, W) each, of the pixel that a flow (H, W, 2) leads to, in a picture of its own size."""
    height, width = flow.shape[:2]
    rows, columns = np.indices((height, width), np.float32)
    x = np.clip(np.rint(columns + flow[..., 0]), 0, width - 1).astype(np.int32)
    return np.clip(np.rint(rows + flow[..., 1]), 0, height - 1).astype(np.int32), x


def layered_frame(linear: Floats, matte: Floats | None, *, blended: bool = False) -> LayeredFrame:
    """Prepare a plate's frame.

    Args:
        linear: (H, W, 3), scene-linear working colorspace.
        matte: (H, W) in 0..1, 1 for the object; None without.
        blended: whether the object is laid over the plate by its matte afterwards.
    """
    whole = frame_features(linear)
    if matte is None:
        return LayeredFrame(whole, (whole,), None)
    return LayeredFrame(whole, (_layer(whole, matte >= _PURE), _layer(whole, matte <= 1 - _PURE)), matte, blended)


def begin_layers(key: LayeredFrame) -> tuple[Track, ...]:
    """The tracks of a keyframe's layers in the keyframe itself."""
    return tuple(begin(layer) for layer in key.layers)


def neighbor_steps(previous: LayeredFrame, frame: LayeredFrame, pool: Executor) -> Steps:
    """Estimated flow between two neighbors, for each layer; what is not the layer's moves as its surroundings do."""
    pairs = list(zip(previous.layers, frame.layers, strict=True))
    forth = [pool.submit(estimate, before.gray, after.gray) for before, after in pairs]
    steps = []
    for (before, after), flow in zip(pairs, forth, strict=True):
        steps.append((_own(estimate(after.gray, before.gray), after), _own(flow.result(), before)))
    return tuple(steps)


def given_steps(previous: LayeredFrame, frame: LayeredFrame, back: Floats, forth: Floats) -> Steps:
    """Motion between two neighbors from elsewhere, for each layer: it is right where the layer is seen."""
    pairs = zip(previous.layers, frame.layers, strict=True)
    return tuple((_own(back, after), _own(forth, before)) for before, after in pairs)


def advance_layers(
    previous: tuple[Track, ...], steps: Steps, frame: LayeredFrame, key: LayeredFrame, pool: Executor | None = None
) -> tuple[Track, ...]:
    """From one frame's tracks to its neighbor's; see :func:`engine.motion.track.advance`."""
    return tuple(
        advance(track, back, forth, here, there, pool)
        for track, (back, forth), here, there in zip(previous, steps, frame.layers, key.layers, strict=True)
    )


def joined(tracks: tuple[Track, ...], frame: LayeredFrame, key: LayeredFrame) -> Track:
    """One track of the frame: each pixel follows its own layer, and comes from it."""
    if frame.matte is None or key.matte is None:
        return tracks[0]
    held = [
        source.held(each.to_key, each.confidence, pure, frame.reach_px)
        for each, source, pure in zip(tracks, key.sources, frame.pure, strict=True)
    ]
    to_key = frame.choose(tuple(flow for flow, _ in held))
    confidence = frame.choose(tuple(sure for _, sure in held))
    return Track(to_key, key.choose(tuple(each.from_key for each in tracks)), confidence)


def repainted_within(repainted: Repainted, frame: LayeredFrame, key: LayeredFrame) -> Repainted:
    """What was repainted, without what another layer lent."""
    if frame.matte is None or key.matte is None:
        return repainted
    return replace(repainted, found=repainted.found & _held(repainted.flow, frame, key))


def ridden_within(ridden: Ridden, frame: LayeredFrame, key: LayeredFrame) -> Ridden:
    """What rides, without what has come to another layer."""
    if frame.matte is None or key.matte is None:
        return ridden
    held = _held(ridden.flow, frame, key)
    return replace(ridden, kept=ridden.kept * held, confidence=ridden.confidence * held)


def _held(flow: Floats, frame: LayeredFrame, key: LayeredFrame) -> Mask:
    """(H, W): where a flow leads from a layer to the same."""
    mine, behind = (source.holds(flow) for source in key.sources)
    return np.asarray(np.where(frame.inside, mine, behind))


def _layer(whole: FrameFeatures, known: Mask) -> FrameFeatures:
    """A frame's features with all but ``known`` filled from it."""
    if known.all() or not known.any():
        return whole
    features = features_of(filled(whole.color, known), known)
    color = np.where(known[..., None], features.gradients.color, np.float32(_FOREIGN_COLOR))
    gradients = replace(features.gradients, color=color)
    return replace(features, noise=whole.noise, gradients=gradients)


def _own(flow: Floats, layer: FrameFeatures) -> Floats:
    return flow if layer.known is None else filled(flow, layer.known > 0)
