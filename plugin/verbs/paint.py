"""``paintover paint``: a painted frame for people who have no painting yet."""

from __future__ import annotations

from engine.color.config import ColorConfig
from engine.paint.painter import PRESETS, paint_file
from plugin.arguments.options import Options, Parser, add_color, add_painting_out, add_plate, add_reporting
from plugin.arguments.preflight import check_out, check_paintings_kept, check_plate, check_spaces
from plugin.arguments.request import out_from, plate_from
from plugin.arguments.verb_options import add_paint_style
from plugin.phases.color import say_color
from plugin.progress.stop import StopRequest
from plugin.progress.terminals import Phase, Progress, counted_frames

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover paint``."""
    made = Parser(
        "paint",
        "Paints frames of the plate with layered brush strokes: a keyframe to try Paintover with before an artist has\n"
        "painted one, or an underpainting to start from. Writes 8 bits, seen as key shows frames.",
        examples=[
            "paintover paint --plate plate.%04d.jpg --frame 0 --out painted.%04d.png",
            f"paintover paint --plate plate.%04d.exr --frame 1001 --style {next(iter(PRESETS))} --out painted.%04d.png",
        ],
    )
    add_plate(made)
    add_painting_out(made, "painted images: painted.%%04d.png or .jpg")
    add_paint_style(made, tuple(PRESETS))
    add_color(made)
    add_reporting(made)
    return made


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Paint every frame of the range."""
    plate = plate_from(options, None)
    out = out_from(options, None)
    config = ColorConfig.active(options.ocio)
    check_spaces(config, [options.colorspace])
    check_plate(plate)
    check_out(out, plate)
    if not options.overwrite:
        check_paintings_kept([out.path(frame) for frame in plate.frames])
    style = options.style or next(iter(PRESETS))
    progress.plan([Phase("paint", f"Painting {counted_frames(len(plate.frames))}, style {style}")])
    progress.begin("paint")
    say_color(progress, config, plate)
    for count, frame in enumerate(plate.frames, 1):
        stop.check()
        path = out.path(frame)
        paint_file(plate.path.path(frame), path, style, options.seed or 0, frame, options.colorspace)
        progress.update(count / len(plate.frames), f"frame {frame}", {"frame": frame, "path": str(path)})
        progress.note(f"{path}: frame {frame} painted; train on it with --keyframe {frame}={path}")
    progress.finish()
    return 0
