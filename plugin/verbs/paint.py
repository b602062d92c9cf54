"""``paintover paint``: a painted frame for people who have no painting yet."""

from __future__ import annotations

from pathlib import Path

from engine.base.choices import PAINT_STYLES
from engine.base.shell_words import shell_word
from engine.color.config import ColorConfig
from engine.paint.painter import paint_frame
from engine.shot.keyframes import Keyframe
from engine.shot.plate import PlateReader
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import check_out, check_paintings_fit, check_paintings_kept, check_plate, check_spaces
from plugin.arguments.request import out_from, plate_from
from plugin.phases.color import say_color, say_losses
from plugin.phases.exemplars import assemble_frames, exemplar_job, painted_exemplars
from plugin.phases.strokes import COMMAND as STROKES
from plugin.phases.strokes import refuse_strokes_options, strokes_job
from plugin.phases.style_images import COMMAND, optimize_frames, style_images, style_job
from plugin.progress.protocol import Phase, Progress, counted_frames
from plugin.progress.stop import StopRequest

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover paint``."""
    return Parser(COMMANDS["paint"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Paint every frame of the range."""
    plate = plate_from(options, None)
    out = out_from(options, None)
    config = ColorConfig.active(options.ocio)
    check_spaces(config, [options.colorspace])
    check_plate(plate)
    check_out(out, plate)
    exemplars = painted_exemplars(options, plate)
    assembled = exemplar_job(options, plate, out, exemplars) if exemplars else None
    strokes = strokes_job(options, plate, out) if options.strokes and not exemplars else None
    if strokes is None:
        refuse_strokes_options(options)
    images = () if exemplars else style_images(options) if strokes is None else strokes.styles
    job = strokes or (style_job(options, plate, out, images) if images else None)
    paths = [out.path(frame) for frame in plate.frames]
    paths += [] if strokes is None else [strokes.svg(frame) for frame in plate.frames]
    check_paintings_fit(paths)
    if not options.overwrite and not ((job or assembled) and options.resume):
        check_paintings_kept(paths)
    style = ", ".join(image.path.name for image in images) or (options.style or [PAINT_STYLES[0]])[0]
    manner = f"style {style}" if strokes is None or images else "the plate's own colors"
    manner = f"from {len(exemplars)} exemplars" if exemplars else manner
    title = f"Painting {counted_frames(len(plate.frames))}{'' if strokes is None else ' with strokes'}, {manner}"
    progress.plan([Phase("paint", title)])
    progress.begin("paint")
    say_color(progress, config, plate)
    say_losses(progress, plate, out, for_painting=True)
    if assembled is not None:
        assemble_frames(assembled, progress, stop, debug=options.debug)
        progress.note(f"{assembled.folder}: pictures of which exemplar served where")
    if job is not None:
        optimize_frames(job, progress, stop, debug=options.debug, command=COMMAND if strokes is None else STROKES)
    if job is not None or assembled is not None:
        for frame in plate.frames:
            if strokes is not None:
                progress.note(f"{out.path(frame).with_suffix('.svg')}: the strokes of frame {frame}")
            _say_painted(progress, frame, out.path(frame))
        progress.finish()
        return 0
    reader = PlateReader(plate.path, options.colorspace, config)
    for count, frame in enumerate(plate.frames, 1):
        stop.check()
        path = out.path(frame)
        paint_frame(reader, frame, path, style, options.seed or 0)
        progress.update(count / len(plate.frames), f"frame {frame}", {"frame": frame, "path": str(path)})
        _say_painted(progress, frame, path)
    progress.finish()
    return 0


def _say_painted(progress: Progress, frame: int, path: Path) -> None:
    word = shell_word(Keyframe(frame, path).text)
    progress.note(f"{path}: frame {frame} painted; train on it with --keyframe {word}")
