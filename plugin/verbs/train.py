"""``paintover train``: painted keyframes to a look."""

from __future__ import annotations

from plugin.arguments.farm_options import add_task
from plugin.arguments.options import (
    Options,
    Parser,
    add_color,
    add_keyframes,
    add_look,
    add_machine,
    add_plate,
    add_reporting,
    add_training,
    add_work,
)
from plugin.arguments.prepare_options import add_denoise, add_guides
from plugin.arguments.request import shot_from, work_from
from plugin.phases.color import say_color
from plugin.phases.prepared_files import Extras, check_prepared
from plugin.phases.training import check_training, job_from, make_look, training_phase
from plugin.progress.stop import StopRequest
from plugin.progress.terminals import Progress

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover train``."""
    made = Parser(
        "train",
        "Trains a look from painted keyframes. Ctrl-C stops with the best look so far; --resume continues.\n"
        "While it trains, a preview strip in the work folder shows plate, painting and current result.",
        examples=[
            "paintover train --plate plate.%04d.exr --frames 1001-1100 --keyframe 1001=p1001.png \\",
            "    --keyframe 1080=p1080.png --work work --look hero.onnx",
            "paintover train shot.toml --budget 5m",
            "paintover train shot.toml --steps 2000 --seed 7 --resume",
            "paintover train shot.toml --settings work/tune/best.toml --budget 5m",
        ],
        shot_file=True,
    )
    add_plate(made)
    add_keyframes(made)
    add_look(made, "look.onnx in the work folder")
    add_work(made)
    add_training(made)
    add_denoise(made, "train on the denoised plate that prepare --denoise made; render then takes it too")
    add_guides(made, "train with the guide images that prepare --guides made; render then needs them too")
    add_color(made, paintings=True)
    add_machine(made)
    add_task(made, shard=False)
    add_reporting(made)
    return made


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Train; the look is written when this returns."""
    shot = shot_from(options, paintings=True, frames_out=False)
    config = check_training(shot, options)
    keys = [keyframe.frame for keyframe in shot.keyframes]
    check_prepared(shot.plate, keys, work_from(options, shot), Extras.of(options, shot))
    job = job_from(shot, options)
    progress.plan([training_phase(job)])
    say_color(progress, config, shot.plate, shot.keyframes)
    make_look(job, progress, stop, debug=options.debug)
    progress.finish()
    return 0
