"""One keyframe followed from frame to frame: its tracks, what rides on where they are lost, what is repainted."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats, Mask
from engine.motion.layers import (
    LayeredFrame,
    Steps,
    advance_layers,
    begin_layers,
    joined,
    repainted_within,
    ridden_within,
)
from engine.motion.repaint import Repainted, nothing_repainted, repaint_frame
from engine.motion.riding import Ridden, nothing_ridden, ride
from engine.motion.track import Track

__all__ = ["Followed", "begin_following", "follow"]


@dataclass(frozen=True)
class Followed:
    """A keyframe as seen from one frame."""

    tracks: tuple[Track, ...]
    """Of each layer."""
    ridden: Ridden
    repainted: Repainted
    track: Track
    """One for the frame, ridden on where it is lost."""
    rode: Mask
    """(H, W): where it is."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        height, width = self.rode.shape
        return height, width

    def places(self) -> tuple[Floats, Floats, Mask]:
        """Flow to the keyframe (H, W, 2), its confidence (H, W), and where no match proves it, (H, W)."""
        flow, confidence, elsewhere = self.repainted.joined(self.track)
        return flow, confidence, elsewhere | self.rode

    def saved(self) -> dict[str, npt.NDArray[Any]]:
        """What :meth:`restored` needs to go on from this frame."""
        return {
            "to_key": np.stack([track.to_key for track in self.tracks]),
            "from_key": np.stack([track.from_key for track in self.tracks]),
            "ridden": self.ridden.flow,
            "kept": self.ridden.kept,
            "repainted": self.repainted.flow,
            "found": self.repainted.found,
        }

    @classmethod
    def restored(cls, saved: Mapping[str, npt.NDArray[Any]], layers: int) -> Followed:
        """One that was saved, to go on from and no more: confidences are not kept.

        Raises:
            KeyError: an array is missing.
            ValueError: they are not of one size, or of another number of layers.
        """
        to_key, from_key, ridden, kept, repainted, found = (saved[name] for name in _SAVED)
        field = (*found.shape, 2)
        if found.ndim != 2 or not to_key.shape == from_key.shape == (layers, *field):
            raise ValueError("tracks of another size")
        if not ridden.shape == repainted.shape == field or kept.shape != found.shape:
            raise ValueError("what rides is of another size")
        nothing = np.zeros(found.shape, np.float32)
        tracks = tuple(Track(to, back, nothing) for to, back in zip(to_key, from_key, strict=True))
        return cls(tracks, Ridden(ridden, kept, nothing), Repainted(repainted, found, nothing), tracks[0], found)


_SAVED = ("to_key", "from_key", "ridden", "kept", "repainted", "found")


def begin_following(key: LayeredFrame) -> Followed:
    """The keyframe itself."""
    tracks, shape = begin_layers(key), key.whole.gray.shape
    nothing = np.zeros(shape, bool)
    return Followed(tracks, nothing_ridden(*shape), nothing_repainted(*shape), joined(tracks, key, key), nothing)


def follow(
    previous: Followed,
    steps: Steps,
    frame: LayeredFrame,
    key: LayeredFrame,
    *,
    marks: Mask | None = None,
    repaint: bool = True,
    pool: Executor | None = None,
) -> Followed:
    """From one frame to its neighbor that is farther from the keyframe.

    Args:
        previous: the neighbor's.
        steps: flow from the new frame to the neighbor and the other way, of each layer.
        frame, key: the new frame and the keyframe.
        marks: (H, W), places of the keyframe that must not be shown a second time; None for none.
        repaint: whether strokes ride on where the match is lost, and what nothing reaches gets places that look alike.
        pool: where a part may be computed meanwhile.
    """
    before = previous.tracks
    if len(before) == 1:
        before = (previous.ridden.begun(before[0]),)
    tracks = advance_layers(before, steps, frame, key, pool)
    own = joined(tracks, frame, key)
    back, forth = (frame.choose(tuple(step[way] for step in steps)) for way in (0, 1))
    ridden = ridden_within(ride(previous.ridden, (back, forth), own, frame.whole, key.whole), frame, key)
    if not repaint:
        return replace(previous, tracks=tracks, ridden=ridden, track=own)
    track, rode = ridden.joined(own)
    repainted = repaint_frame(previous.repainted, (back, forth), track, frame.whole, key.whole, marks)
    return Followed(tracks, ridden, repainted_within(repainted, frame, key), track, rode)
