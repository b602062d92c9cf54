"""Frames asked of a resident worker, which keeps the look loaded between the tasks of a session.

Everything that a farm checks before a frame is rendered is checked here, by the task's own process; the worker only
loads and renders. Where none answers one is started, and where one has died it is started anew.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.base.errors import FrameFailures, ImageError, InputError, Interrupted, PaintoverError
from engine.base.frames import FrameRange, SequencePath
from engine.look.card import Card
from engine.rendering.frame_inputs import FrameInputs
from engine.rendering.render import RenderEvent, RenderReport, RenderSettings
from engine.shot.plate import plate_sha256
from engine.shot.shot import Plate
from plugin.client.errors import HostError, RequestCancelled, RequestFailed
from plugin.client.job import FARM, Job
from plugin.client.worker_request import ask
from plugin.progress.child import child_environment

__all__ = ["render_resident"]


def render_resident(
    address: Path,
    look: Path,
    card: Card,
    plate: Plate,
    out: SequencePath,
    settings: RenderSettings,
    *,
    ocio: str | None,
    max_image_gib: float | None,
    work: Path | None,
    prepared: Path,
    recorded: bool,
    overwrite: bool,
    progress: Callable[[RenderEvent], None],
) -> RenderReport:
    """Render as :func:`engine.rendering.render.render` does, by the worker that ``address`` tells of.

    Args:
        address: where ``paintover worker --socket`` writes.
        card: of the look.
        ocio: the OCIO config; None for $OCIO.
        max_image_gib: GiB that one decoded image may need; None for what the worker takes.
        recorded: see there. The hashes are compared before the worker is asked, which takes them once more.

    Raises:
        InputError: settings that a resident worker does not take.
        FrameFailures: some frames failed; the others are done.
        Interrupted: the worker was asked to stop.
        PaintoverError: what else the worker failed of, or there is none to be had.
    """
    other_denoise = settings.without_own_denoise(card.denoise).denoise is not None
    if settings.tensorrt or settings.threads is not None or other_denoise:
        what = "a resident worker takes no --tensorrt, no --threads, and no --denoise but the look's own"
        raise InputError(what, remedy="leave them out, or render without --resident")
    started = time.monotonic()
    wrong = _wrong(FrameInputs.of(card, plate.path, work, prepared, settings.denoise, recorded=recorded), plate)
    total = len(plate.frames)
    for count, (frame, error) in enumerate(wrong.items(), 1):
        progress(RenderEvent("failed", frame, str(error), out.path(frame), count, total))
    left = tuple(frame for frame in plate.frames if frame not in wrong)

    def hear(event: Mapping[str, Any]) -> None:
        kind = "warning" if event["event"] == "warning" else str(event.get("state"))
        frame, message = event.get("frame"), str(event.get("message") or "")
        path = None if frame is None else out.path(frame)
        progress(RenderEvent(kind, frame, message, path, len(wrong) + int(event.get("count", 0)), total))

    report = RenderReport("", "")
    failed = {frame: (str(error), error.exit_code) for frame, error in wrong.items()}
    if left:
        job = Job(
            plate=_absolute(plate.path.text),
            frames=str(FrameRange(left)),
            work=_absolute(str(prepared)),
            colorspace=plate.colorspace,
            layer=plate.path.layer or None,
            out=_absolute(out.text),
            look=_absolute(str(look)),
            out_colorspace=settings.out_colorspace,
            ocio=ocio if ocio is None or "://" in ocio else _absolute(ocio),
            max_image_gib=max_image_gib,
            depth=settings.bit_depth,
            compression=settings.compression,
            device=settings.device,
            tile=settings.tile,
            carried=settings.carried_layer,
            softness=settings.softness,
            matte=None if settings.matte is None else _absolute(settings.matte),
            guides=work is not None,
            host=FARM,
        )
        request = {"op": "render", "job": job, "overwrite": overwrite}
        failed |= _asked(address, request, hear, report)
    report.wall_s = time.monotonic() - started
    if failed:
        frames = FrameRange(tuple(failed))
        text = f"{len(failed)} of {total} frames failed ({frames}); {failed[frames.first][0]}"
        code = 2 if all(each == 2 for _, each in failed.values()) else 1
        raise FrameFailures(text, {frame: failed[frame][0] for frame in frames}, exit_code=code)
    return report


def _asked(
    address: Path, request: Mapping[str, Any], hear: Callable[[Mapping[str, Any]], None], report: RenderReport
) -> dict[int, tuple[str, int]]:
    """The frames that failed, and why, with the exit code; the report is filled in."""
    command = [sys.executable, "-m", "plugin"]
    try:
        answer = ask(address, request, on_event=hear, command=command, environment=child_environment())
    except RequestFailed as error:
        if error.frames:
            return {frame: (why, error.exit_code) for frame, why in error.frames.items()}
        raise _translated(error) from error
    except RequestCancelled as error:
        raise Interrupted(error.message, remedy="run again to render the rest") from error
    except HostError as error:
        raise _translated(error) from error
    report.done += answer["done"]
    report.skipped += answer["skipped"]
    report.look_sha256, report.settings_hash = answer["look_sha256"], answer["settings_hash"]
    return {}


def _wrong(inputs: FrameInputs, plate: Plate) -> dict[int, PaintoverError]:
    """The frames whose inputs are not what was prepared, where that is asked for."""
    found: dict[int, PaintoverError] = {}
    for frame in plate.frames if inputs.recorded else ():
        try:
            inputs.facts(frame, plate_sha256(plate.path, frame))
        except ImageError as error:
            error.frame = frame if error.frame is None else error.frame
            found[frame] = error
    return found


def _translated(error: HostError) -> PaintoverError:
    made = PaintoverError(error.message, remedy=error.remedy)
    made.exit_code = error.exit_code
    return made


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (a pattern is no file)
