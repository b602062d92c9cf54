"""``paintover report``: one HTML page about a rendered shot."""

from __future__ import annotations

import json
from pathlib import Path

from engine.base.errors import InputError
from engine.base.frames import FrameRange
from engine.base.shell_words import shell_word
from engine.color.config import ColorConfig
from engine.rendering.settings import RenderSettings
from engine.shot.shot import refuse_overwriting
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import check_spaces, prepare_folder
from plugin.arguments.request import (
    denoise_from,
    encoding_from,
    look_from,
    matte_from,
    out_from,
    painted_so_far,
    sidecars_from,
    stylized_by,
    work_from,
)
from plugin.phases.color import say_color
from plugin.progress.protocol import NoProgress, Phase, Progress
from plugin.progress.stop import StopRequest
from plugin.report.page import write_report

__all__ = ["parser", "report_phase", "run"]

_PAGE = "report.html"


def parser() -> Parser:
    """The options of ``paintover report``."""
    return Parser(COMMANDS["report"])


def report_phase(frames: FrameRange) -> Phase:
    """The part that the report has in a plan."""
    return Phase("report", "Measuring frames", 2.0 + 0.5 * len(frames))


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Measure, and write the page; frames that are not right are warnings."""
    file, plate, keyframes = painted_so_far(options)
    out = out_from(options, file)
    matte = matte_from(options, file)
    refuse_overwriting(out, plate, matte=None if matte is None else matte.path)
    config = ColorConfig.active(options.ocio)
    depth, compression = encoding_from(options, file, out)
    settings = RenderSettings(
        tile=file.tile if file and options.tile is None else options.tile,
        out_colorspace=options.out_colorspace or (file.out_colorspace if file else None),
        bit_depth=depth,
        compression=compression,
        softness=options.softness or 0.0,
        tensorrt=options.tensorrt,
        denoise=denoise_from(options, file),
        matte=stylized_by(matte),
    )
    check_spaces(config, [plate.colorspace, settings.out_colorspace])
    look: Path | None = look_from(options, file)
    if options.look is None and look is not None and not look.is_file():
        look = None
    page = work_from(options, file) / _PAGE if options.page is None else Path(options.page)
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(
            f'"{page}" does not end in .html', remedy=f"write --page {shell_word(page.with_suffix('.html'))}"
        )
    if page.is_dir():
        raise InputError("a folder stands where the page should go", path=page, remedy="choose another --page")
    prepare_folder(page.parent)
    shown = NoProgress() if options.json else progress
    phase = report_phase(plate.frames)
    shown.plan([phase])
    shown.begin(phase.name)
    say_color(shown, config, plate, keyframes, matte)
    work = sidecars_from(options, file)
    prepared = work_from(options, file)
    summary = write_report(
        page, plate, out, look, keyframes, work, config, shown,
        settings=settings, matte=matte, prepared=prepared, stop=stop,
    )  # fmt: skip
    for warning in summary.warnings:
        progress.warn(warning)
    if options.json:
        print(json.dumps(summary.facts(), indent=2))
        return 0
    advice = summary.advice
    progress.note(advice.reason if advice.frame is None else f"paint frame {advice.frame} next: {advice.reason}")
    progress.note(f"{page}: open it in a browser", {"page": str(page), "paint_next": advice.frame})
    progress.finish()
    return 0
