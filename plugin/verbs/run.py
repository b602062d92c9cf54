"""``paintover run``: the whole job on one machine."""

from __future__ import annotations

from copy import copy

from engine.color.showing import Showing
from engine.rendering.render import read_card
from engine.shot.shot import Shot
from plugin.arguments.farm_options import add_workers_engine
from plugin.arguments.options import Options, Parser, add_color, add_machine, add_rendering, add_reporting
from plugin.arguments.preflight import check_out
from plugin.arguments.request import look_from, out_from, shot_from, sidecars_from, work_from
from plugin.arguments.shot_options import add_whole_shot
from plugin.farm import dask
from plugin.farm.plan import plan_from
from plugin.phases.color import say_color, say_losses
from plugin.phases.prepared_files import Extras, check_prepared, extra_phases, prepare_extras
from plugin.phases.rendering import render_frames, render_phase, settings_of
from plugin.phases.sidecars import prepare_frames, prepare_phase, vectors_from
from plugin.phases.training import check_training, job_from, make_look, training_phase
from plugin.phases.verification import VERIFY_PHASE, verify_frames
from plugin.progress.stop import StopRequest
from plugin.progress.terminals import Phase, Progress
from plugin.report.contact_sheet import write_sheet
from plugin.report.page import write_report
from plugin.training.record import fingerprint, is_current
from plugin.verbs.report import REPORT_PHASE

__all__ = ["parser", "run"]

WORKERS_ENGINES = ("crew", "dask")
"""What starts the processes of ``--workers``; the first one unless said otherwise."""
_SHEET_PHASE = Phase("sheet", "Making the contact sheet", 0.1)
_SHEET = "sheet.png"
_PAGE = "report.html"


def parser() -> Parser:
    """The options of ``paintover run``."""
    made = Parser(
        "run",
        "The whole job on one machine: follows the painted keyframes through the shot, trains a look from them,\n"
        "renders every frame, verifies them, and ends with a contact sheet and a report in the work folder. Run it\n"
        "again after a stop: what is done stays done.",
        examples=[
            "paintover run --plate plate.%04d.jpg --frames 0-10 --keyframe 0=painted.0000.jpg \\",
            "    --budget 60s --work work --out out.%04d.png",
            "paintover run shot.toml",
            "paintover run shot.toml --budget 10m --fresh",
        ],
        shot_file=True,
    )
    add_whole_shot(made)
    add_rendering(made)
    add_workers_engine(made, WORKERS_ENGINES)
    add_color(made, paintings=True)
    add_machine(made)
    add_reporting(made)
    return made


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Prepare and train unless that is done, render what is missing, verify, and show."""
    through_dask = options.engine == "dask"
    if through_dask:
        dask.check_installed()
    shot = shot_from(options, paintings=True)
    out = out_from(options, shot)
    config = check_training(shot, options)
    check_out(out, shot.plate, shot.keyframes)
    settings = settings_of(shot, options)
    job = job_from(shot, options)
    trained = not options.fresh and not options.resume and is_current(job, fingerprint(job))
    work, folder = sidecars_from(options, shot), work_from(options, shot)
    keys = [keyframe.frame for keyframe in shot.keyframes]
    vectors = None if work is None else vectors_from(options, shot.plate.frames)
    phases = [render_phase(shot, options), VERIFY_PHASE, _SHEET_PHASE, REPORT_PHASE]
    phases = phases if trained else [training_phase(job), *phases]
    extras = Extras.of(options, shot)
    phases = [*extra_phases(shot.plate, extras), *phases]
    progress.plan(phases if work is None else [prepare_phase(shot.plate, keys), *phases])
    say_color(progress, config, shot.plate, shot.keyframes)
    say_losses(progress, shot.plate, out, settings.bit_depth)
    look = look_from(options, shot)
    if work is not None:
        prepare_frames(shot.plate, keys, work, vectors, progress, stop, threads=options.threads)
    prepare_extras(shot.plate, keys, folder, extras, progress, stop, threads=options.threads)
    if trained:
        progress.note(f"{look}: already trained from these inputs; --fresh trains again")
    else:
        check_prepared(shot.plate, keys, folder, extras)
        make_look(job, progress, stop, debug=options.debug)
    stop.check()
    if through_dask:
        _render_through_dask(shot, options, progress, stop)
    else:
        render_frames(shot, options, progress, stop)
    verify_frames(look, shot.plate.frames, out, settings, shot.plate, work, progress, stop, prepared=folder)
    progress.begin("sheet")
    sheet = folder / _SHEET
    showing = Showing.of(read_card(look).paint_colorspace, config)
    write_sheet(
        sheet,
        shot.plate,
        out,
        shot.keyframes,
        config,
        out_colorspace=shot.out_colorspace,
        showing=showing,
        title=look.stem,
    )
    progress.note(f"{sheet}: plate and result side by side", {"sheet": str(sheet)})
    progress.begin(REPORT_PHASE.name)
    page = folder / _PAGE
    # Every frame was verified right before.
    states = dict.fromkeys(shot.plate.frames, "whole")
    write_report(
        page,
        shot.plate,
        out,
        look,
        shot.keyframes,
        work,
        config,
        progress,
        settings=settings,
        states=states,
        prepared=folder,
        stop=stop,
    )
    progress.note(f"{page}: what rides on a painting, what flickers, what to paint next", {"page": str(page)})
    progress.finish()
    return 0


def _render_through_dask(shot: Shot, options: Options, progress: Progress, stop: StopRequest) -> None:
    """The frames as chunks on a local cluster, each a ``paintover render`` that checks the look it finds.

    Raises:
        PaintoverError: see :func:`plugin.farm.dask.render_here`.
    """
    planned = copy(options)
    # Workers share the threads: a command must not take all of them.
    planned.threads = None
    plan = plan_from(planned, max_chunks=dask.MAX_CHUNKS)
    # One worker is what a shot has that says nothing; whoever asks for a cluster wants what the machine serves.
    found_out = 0 if shot.workers == 1 else shot.workers
    workers = found_out if options.workers is None else options.workers
    dask.render_here(plan, options, progress, stop, workers=workers)
