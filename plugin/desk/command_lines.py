"""Command lines of the verbs that the desk has done: tracks, all frames, the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.base.frames import SequencePath
from engine.shot.keyframes import Keyframe
from engine.shot.shot import Shot
from plugin.arguments.command_line import command_line
from plugin.arguments.options import Options

__all__ = ["DeskVerbs"]


@dataclass(frozen=True)
class DeskVerbs:
    """What all of them are told of a shot."""

    shot: Shot
    options: Options
    work: Path
    look: Path
    out: SequencePath

    def prepare(self, keys: Sequence[int], *, all_frames: bool = False) -> list[str]:
        """Follow these keyframes through the shot.

        Args:
            all_frames: also make what rendering needs of every frame: its denoised one, where the shot asks for that.
        """
        denoise = self.shot.denoise if all_frames else None
        followed = {"denoise": denoise, "keyframe_numbers": list(keys), "no_repaint": not self.shot.repaint}
        return command_line("prepare", {**self._plate(), **followed, "threads": self.options.threads})

    def render(self) -> list[str]:
        """Render every frame through the look."""
        shot = self.shot
        machine = {"device": shot.device, "threads": self.options.threads, "tile": shot.tile, "workers": shot.workers}
        return command_line("render", {**self._plate(), **self._rendered(), **machine})

    def report(self, keyframes: Sequence[Keyframe]) -> list[str]:
        """Write the report about the rendered frames."""
        return command_line("report", {**self._plate(), **self._rendered(), "keyframes": list(keyframes)})

    def _plate(self) -> dict[str, Any]:
        plate, matte = self.shot.plate, self.shot.matte
        return {
            "plate": plate.path.text,
            "frames": str(plate.frames),
            "layer": plate.path.layer or None,
            "colorspace": plate.colorspace,
            "ocio": self.options.ocio,
            "matte": None if matte is None else matte.path.text,
            "matte_use": None if matte is None else matte.use,
            "work": str(self.work),
            "progress": "json",
        }

    def _rendered(self) -> dict[str, Any]:
        shot = self.shot
        return {
            "look": str(self.look),
            "out": str(self.out),
            "depth": shot.depth,
            "compression": shot.compression,
            "out_colorspace": shot.out_colorspace,
        }
