"""Frames of a report: what is known of each, whether it is right, and how far paintings carry it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from engine.base.arrays import Floats
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.look.card import open_look
from engine.motion.stmap import find_sidecars, read_sidecars
from engine.rendering.expected_provenance import ExpectedProvenance
from engine.rendering.settings import RenderSettings
from engine.rendering.verify import state_of
from engine.review.painted import painted_confidence
from engine.shot.shot import Plate
from plugin.report.stills import Still, Stills

__all__ = ["FrameChecker", "FrameReader", "FrameRow", "counts", "prepared_keys"]


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
            ExpectedProvenance.of(file, replace(settings, carried_layer=layer), plate, work, prepared, config)
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
        color = plain.color(frame)
        state = state_of(path, facts, color)
        if state == "foreign" and state_of(path, facts | layered.common, color) == "whole":
            return "whole"
        return state


class FrameReader:
    """Reads what belongs to a frame: plate, result, and how far paintings carry it."""

    def __init__(
        self,
        plate: Plate,
        out: SequencePath,
        out_colorspace: str | None,
        coverage: Mapping[int, Floats | None],
        work: Path | None,
        config: ColorConfig,
        width_px: int,
        showing: Showing | None = None,
    ) -> None:
        """Pictures are at most ``width_px`` wide.

        Args:
            coverage: what is painted: for each keyframe (H, W) in 0..1, or None where it is painted wholly.
            work: folder with STMap sidecars; None for frames that were rendered without.
            showing: how scene-linear frames are shown; None for the config's default view.
        """
        self.plate = Stills(plate.path, plate.colorspace, config, width_px, showing)
        self.result = Stills(out, out_colorspace, config, width_px, showing, plate.path)
        self.keys = tuple(coverage)
        self._coverage = coverage
        self._work = work
        self.prepared = any(self.has_sidecars(frame) for frame in plate.frames)
        """Whether any frame of the range has a sidecar."""
        self.most = max((1.0 if part is None else float(part.mean()) for part in coverage.values()), default=1.0)
        """Share of its frame that the fullest painting covers, 0..1."""

    def has_sidecars(self, frame: int) -> bool:
        """Whether any keyframe has an STMap sidecar for the frame."""
        return any(find_sidecars(self._work, self.keys, frame))

    def carried(self, frame: int, result: Still | None, size: tuple[int, int] | None) -> tuple[Floats | None, str]:
        """How far each pixel rides on a painting, (H, W) in 0..1, and where that is from: layer, sidecars or none.

        Strokes borrowed from another surface do not count, nor does what a painting leaves out: more painting would
        serve there.

        Raises:
            ImageError: a sidecar is damaged or of another size than the plate.
        """
        tracked: Floats | None = None
        if size is not None:
            planes = read_sidecars(find_sidecars(self._work, self.keys, frame), *size, frame=frame, tracked=True)
            if planes is not None:
                tracked = painted_confidence(planes, list(self._coverage.values())).max(axis=2)
            elif frame in self._coverage and self.prepared:
                # The look shows a keyframe's own painting.
                painted = self._coverage[frame]
                tracked = np.ones(size, np.float32) if painted is None else painted
        if result is not None and result.carried is not None:
            layer = result.carried
            if tracked is not None:
                layer = layer * (cv2.resize(tracked, layer.shape[::-1], interpolation=cv2.INTER_AREA) > 0)
            return np.asarray(layer, np.float32), "layer"
        return tracked, "none" if tracked is None else "sidecars"


def prepared_keys(work: Path | None) -> list[int]:
    """Keyframes that have STMap sidecars in the work folder, ascending."""
    folder = None if work is None else work / "stmap"
    if folder is None or not folder.is_dir():
        return []
    found = (re.fullmatch(r"key_(-?\d+)", one.name, re.ASCII) for one in folder.iterdir())
    return sorted(int(match[1]) for match in found if match)


def counts(rows: Sequence[FrameRow]) -> Mapping[str, int]:
    """How many frames are in each state."""
    found: dict[str, int] = {}
    for row in rows:
        found[row.state] = found.get(row.state, 0) + 1
    return found
