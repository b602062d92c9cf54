"""``paintover key``: frames out through the display view, for painting."""

from __future__ import annotations

from engine.color.config import ColorConfig
from engine.color.keys import check_exposure, check_key_output, export_key, is_untouched_export
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import check_out, check_paintings_kept, check_plate, check_spaces, check_view
from plugin.arguments.request import out_from, plate_from
from plugin.phases.color import say_color, say_losses
from plugin.progress.protocol import Phase, Progress, counted_frames
from plugin.progress.stop import StopRequest

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover key``."""
    return Parser(COMMANDS["key"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Export every frame of the range."""
    plate = plate_from(options, None)
    out = out_from(options, None)
    config = ColorConfig.active(options.ocio)
    exposure = options.exposure or 0.0
    check_spaces(config, [options.colorspace])
    if options.display is not None or options.view is not None:
        check_view(config, options.display, options.view, exposure)
    check_exposure(exposure)
    check_plate(plate)
    check_key_output(out.text, options.display, options.view, exposure)
    check_out(out, plate)
    if not options.overwrite:
        check_paintings_kept([path for path in map(out.path, plate.frames) if not is_untouched_export(path)])
    progress.plan([Phase("key", f"Exporting {counted_frames(len(plate.frames))} for painting")])
    progress.begin("key")
    say_color(progress, config, plate)
    say_losses(progress, plate, out, for_painting=True)
    for count, frame in enumerate(plate.frames, 1):
        stop.check()
        path = out.path(frame)
        key = export_key(
            plate.path.path(frame),
            frame,
            path,
            config,
            options.colorspace,
            display=options.display,
            view=options.view,
            exposure=exposure,
            layer=plate.path.layer,
        )
        progress.update(count / len(plate.frames), f"frame {frame}", {"frame": frame, "path": str(path)})
        through = f" through {key.display}, {key.view}" if key.view else " as it is"
        through = f" as light of {key.space}" if key.space else through
        progress.note(f"{path}: frame {frame}, {key.colorspace}{through}")
    progress.finish()
    return 0
