"""``paintover train``: painted keyframes, or style images, to a look."""

from __future__ import annotations

from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.request import shot_from, work_from
from plugin.phases.color import say_color
from plugin.phases.prepared_files import Extras, check_prepared
from plugin.phases.style_looks import asks_for_style, check_style_training, make_style_look, style_look_job
from plugin.phases.training import check_training, job_from, make_look, training_phases
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover train``."""
    return Parser(COMMANDS["train"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Train; the look is written when this returns."""
    if asks_for_style(options):
        _run_style(options, progress, stop)
        return 0
    shot = shot_from(options, paintings=True, frames_out=False)
    config = check_training(shot, options)
    keys = [keyframe.frame for keyframe in shot.keyframes]
    check_prepared(shot.plate, keys, work_from(options, shot), Extras.of(options, shot))
    job = job_from(shot, options)
    progress.plan(training_phases(job))
    say_color(progress, config, shot.plate, shot.keyframes)
    make_look(job, progress, stop, debug=options.debug)
    progress.finish()
    return 0


def _run_style(options: Options, progress: Progress, stop: StopRequest) -> None:
    """Train from style images, on the frames of the plate."""
    plate, config = check_style_training(options)
    job = style_look_job(options, plate)
    progress.plan(training_phases(job))
    say_color(progress, config, plate)
    make_style_look(job, progress, stop, debug=options.debug)
    progress.finish()
