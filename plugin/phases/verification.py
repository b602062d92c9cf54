"""Verification of rendered frames as a phase of a job."""

from __future__ import annotations

from pathlib import Path

from engine.base.frames import FrameRange, SequencePath
from engine.rendering.render import RenderSettings, verify
from engine.shot.shot import Plate
from plugin.progress.protocol import Phase, Progress, counted_frames
from plugin.progress.stop import StopRequest

__all__ = ["verify_frames", "verify_phase"]


def verify_phase(frames: FrameRange) -> Phase:
    """The part that verifying has in a plan."""
    return Phase("verify", "Verifying", 0.5 + 0.05 * len(frames))


def verify_frames(
    look: Path,
    frames: FrameRange,
    out: SequencePath,
    settings: RenderSettings,
    plate: Plate | None,
    work: Path | None,
    progress: Progress,
    stop: StopRequest,
    *,
    prepared: Path,
) -> None:
    """Verify in the phase ``verify`` of the plan.

    Raises:
        VerifyError: names what is missing, damaged and foreign.
        Interrupted: a stop was asked for.
    """
    progress.begin("verify")

    def count(done: int, total: int) -> None:
        progress.update(done / total, f"{done} of {total}", {"count": done, "total": total})

    with stop.cooperative():
        verify(look, frames, out, settings, plate=plate, work=work, prepared=prepared, progress=count, stop=stop)
    progress.note(f"{out}: {counted_frames(len(frames))} verified", {"verified": len(frames)})
