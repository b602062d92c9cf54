"""``paintover suggest``: which frames to paint, by how much of the shot each would carry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from engine import images
from engine.base.arrays import Bytes
from engine.base.errors import InputError
from engine.color.config import ColorConfig
from engine.review.coverage import LEAST_GAIN, Plan, Suggestion
from engine.shot.paintings import painted_coverage
from engine.shot.shot import Keyframe, Plate
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import check_keyframes, check_plate, check_spaces, prepare_folder
from plugin.arguments.request import painted_so_far, work_from
from plugin.phases.color import say_color
from plugin.progress.protocol import NoProgress, Phase, Progress, counted_frames, visible
from plugin.progress.stop import StopRequest
from plugin.report.advice import key_command, luma_of, percent, plan_paintings
from plugin.report.stills import STILL_PX, Stills
from plugin.report.suggestion_sheet import draw_plan

__all__ = ["parser", "run"]

_PICTURE = "suggest.png"
_COUNT = 3
_FOR_PEOPLE = ("auto", "bar", "lines", "none")
"""Progress modes beside which a table may stand on stdout; the others are read by machines, which take ``--json``."""


def parser() -> Parser:
    """The options of ``paintover suggest``."""
    return Parser(COMMANDS["suggest"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Choose the frames, draw them, and say so."""
    file, plate, keyframes = painted_so_far(options)
    work = work_from(options, file)
    config = ColorConfig.active(options.ocio)
    check_spaces(config, [plate.colorspace])
    check_plate(plate)
    check_keyframes(keyframes)
    picture = work / _PICTURE if options.out is None else Path(options.out)
    if picture.suffix.lower() not in (".png", ".jpg", ".tif"):
        raise InputError(f'"{picture}" is no .png, .jpg or .tif', remedy="name the picture like --out suggest.png")
    if picture in [plate.path.path(frame) for frame in plate.frames]:
        raise InputError("the picture would replace a frame of the plate", path=picture, remedy="choose another --out")
    if picture in [keyframe.painting for keyframe in keyframes]:
        raise InputError("the picture would replace a painting", path=picture, remedy="choose another --out")
    prepare_folder(picture.parent)
    shown = NoProgress() if options.json else progress
    shown.plan([Phase("read", f"Reading {counted_frames(len(plate.frames))}"), Phase("suggest", "Following motion")])
    say_color(shown, config, plate, keyframes)
    plan, measured = _plan(plate, keyframes, work, options.count or _COUNT, config, shown, stop)
    stills = Stills(plate.path, plate.colorspace, config, STILL_PX)
    drawn = draw_plan(plan, lambda frame: stills(frame).rgb, title=f"Frames to paint of {_name(plate)}")
    images.write(picture, drawn.astype(np.float32) / np.float32(255), bit_depth="uint8")
    command = key_command(plate, [one.frame for one in plan.chosen]) if plan.chosen else ""
    if options.json:
        print(json.dumps(_facts(plan, measured, picture, command), indent=2))
        return 0
    facts = {"picture": str(picture), "next": command, "frames": [one.frame for one in plan.chosen]}
    progress.note(f"{picture}: where each painting carries, and what is left", facts)
    progress.finish()
    if options.progress in _FOR_PEOPLE:
        print("\n".join([*_table(plan, measured), *([f"\nnext: {visible(command)}"] if command else [])]))
    return 0


def _plan(
    plate: Plate,
    keyframes: tuple[Keyframe, ...],
    work: Path,
    count: int,
    config: ColorConfig,
    progress: Progress,
    stop: StopRequest,
) -> tuple[Plan, frozenset[int]]:
    """The plan, and the keyframes whose share comes from their sidecars."""
    progress.begin("read")
    stills = Stills(plate.path, plate.colorspace, config, STILL_PX)
    luma: dict[int, Bytes] = {}
    size = (0, 0)
    for number, frame in enumerate(plate.frames, 1):
        stop.check()
        still = stills(frame)
        if luma and still.size != size:
            wrong, right = (f"{w}x{h}" for h, w in (still.size, size))
            raise InputError(
                f"the plate is {wrong} here and {right} before",
                frame=frame,
                path=plate.path.path(frame),
                remedy="give frames of one size",
            )
        size = still.size
        luma[frame] = luma_of(still.rgb)
        progress.update(number / len(plate.frames), f"frame {frame}", {"frame": frame})
    coverage = {keyframe.frame: painted_coverage(keyframe, plate) for keyframe in keyframes}
    progress.begin("suggest")

    def tick(fraction: float) -> None:
        stop.check()
        progress.update(fraction)

    return plan_paintings(luma, size, coverage, work, count, tick)


def _table(plan: Plan, measured: frozenset[int]) -> list[str]:
    lines = [f"{'frame':>8}  {'carries':>8}  {'adds':>6}  {'total':>6}"]
    for one in (*plan.painted, *plan.chosen):
        note = ""
        if one in plan.painted:
            note = "  painted, by its STMaps" if one.frame in measured else "  painted"
        lines.append(f"{one.frame:>8}  {percent(one.alone):>8}  {percent(one.gain):>6}  {percent(one.total):>6}{note}")
    lines.append(_ending(plan))
    return lines


def _ending(plan: Plan) -> str:
    left = percent(1.0 - plan.total)
    if not plan.chosen:
        return (
            f"no other frame would carry {percent(LEAST_GAIN)} of the shot more: "
            f"the paintings carry {percent(plan.total)}"
        )
    if plan.next_gain < LEAST_GAIN:
        return f"{left} of the shot rides on none of them, and no other frame would carry {percent(LEAST_GAIN)} more"
    return f"{left} of the shot rides on none of them; one painting more would carry {percent(plan.next_gain)}"


def _facts(plan: Plan, measured: frozenset[int], picture: Path, command: str) -> dict[str, object]:
    def row(one: Suggestion) -> dict[str, object]:
        shares = {"alone": one.alone, "gain": one.gain, "total": one.total}
        return {"frame": one.frame, **{name: round(share, 4) for name, share in shares.items()}}

    return {
        "frames": list(plan.frames),
        "painted": [{**row(one), "from_sidecars": one.frame in measured} for one in plan.painted],
        "suggested": [row(one) for one in plan.chosen],
        "carried": round(plan.total, 4),
        "carried_by_frame": {str(frame): round(share, 4) for frame, share in zip(plan.frames, plan.curve, strict=True)},
        "next_gain": round(plan.next_gain, 4),
        "picture": str(picture),
        "next": command,
    }


def _name(plate: Plate) -> str:
    return Path(plate.path.text).name
