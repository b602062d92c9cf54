"""``paintover run``: the whole job on one machine."""

from __future__ import annotations

from copy import copy

from engine import __version__
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.images.provenance import file_sha256
from engine.motion.stmap import sidecar_path
from engine.rendering.render import read_card
from engine.shot.shot import Shot
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import check_out
from plugin.arguments.request import look_from, out_from, shot_from, sidecars_from, work_from
from plugin.farm import dask
from plugin.farm.plan import plan_from
from plugin.phases.color import say_color, say_losses
from plugin.phases.prepared_files import Extras, check_prepared, extra_phases, prepare_extras
from plugin.phases.rendering import render_frames, render_phase, settings_of
from plugin.phases.sidecars import prepare_frames, prepare_phase, vectors_from
from plugin.phases.training import check_training, job_from, make_look, training_phases
from plugin.phases.verification import verify_frames, verify_phase
from plugin.progress.protocol import Phase, Progress
from plugin.progress.stop import StopRequest
from plugin.report import current
from plugin.report.contact_sheet import write_sheet
from plugin.report.page import shot_name, write_report
from plugin.training.record import fingerprint, is_current
from plugin.verbs.report import report_phase

__all__ = ["parser", "run"]

_SHEET_PHASE = Phase("sheet", "Making the contact sheet", 2.5)
_SHEET = "sheet.png"
_PAGE = "report.html"


def parser() -> Parser:
    """The options of ``paintover run``."""
    return Parser(COMMANDS["run"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Prepare and train unless that is done, render what is missing, verify, and show."""
    through_dask = options.engine == "dask"
    if through_dask:
        dask.check_installed()
    shot = shot_from(options, paintings=True)
    out = out_from(options, shot)
    config = check_training(shot, options)
    check_out(out, shot.plate, shot.keyframes, shot.matte)
    settings = settings_of(shot, options)
    job = job_from(shot, options)
    trained = not options.fresh and not options.resume and is_current(job, fingerprint(job))
    work, folder = sidecars_from(options, shot), work_from(options, shot)
    keys = [keyframe.frame for keyframe in shot.keyframes]
    vectors = None if work is None else vectors_from(options, shot.plate.frames)
    frames = shot.plate.frames
    phases = [render_phase(shot, options), verify_phase(frames), _SHEET_PHASE, report_phase(frames)]
    phases = phases if trained else [*training_phases(job), *phases]
    extras = Extras.of(options, shot)
    phases = [*extra_phases(shot.plate, extras), *phases]
    progress.plan(phases if work is None else [prepare_phase(shot.plate, keys), *phases])
    say_color(progress, config, shot.plate, shot.keyframes, shot.matte)
    say_losses(progress, shot.plate, out, settings.bit_depth)
    look = look_from(options, shot)
    if work is not None:
        prepare_frames(
            shot.plate, shot.keyframes, work, vectors, progress, stop,
            threads=options.threads, repaint=shot.repaint, matte=shot.matte,
        )  # fmt: skip
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
    _show(shot, options, fingerprint(job), progress, stop)
    progress.finish()
    return 0


def _show(shot: Shot, options: Options, inputs: str, progress: Progress, stop: StopRequest) -> None:
    """Contact sheet and report of frames that were just verified, unless nothing has changed since they were made.

    Args:
        inputs: of the look, as :func:`plugin.training.record.fingerprint` has them.

    Raises:
        PaintoverError: a frame cannot be read, or they cannot be written.
        Interrupted: a stop was asked for.
    """
    out, look, folder = out_from(options, shot), look_from(options, shot), work_from(options, shot)
    settings, work, frames = settings_of(shot, options), sidecars_from(options, shot), shot.plate.frames
    config = ColorConfig.active(options.ocio)
    sheet, page = folder / _SHEET, folder / _PAGE
    carried = [] if work is None else [sidecar_path(work, k.frame, frame) for k in shot.keyframes for frame in frames]
    facts = (__version__, inputs, file_sha256(look), settings, shot, config.name)
    shown = current.made_from(facts, [*(out.path(frame) for frame in frames), *carried])
    progress.begin("sheet")
    if not options.fresh and current.are_current(folder, (sheet, page), shown):
        progress.note(f"{sheet}, {page}: nothing has changed since they were made", {"sheet": str(sheet)})
        progress.begin("report")
        return
    showing = Showing.of(read_card(look).paint_colorspace, config)
    write_sheet(
        sheet,
        shot.plate,
        out,
        shot.keyframes,
        config,
        out_colorspace=shot.out_colorspace,
        showing=showing,
        title=shot_name(shot.plate, look),
    )
    progress.note(f"{sheet}: plate and result side by side", {"sheet": str(sheet)})
    progress.begin("report")
    # Every frame was verified right before.
    states = dict.fromkeys(frames, "whole")
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
        matte=shot.matte,
        states=states,
        prepared=folder,
        stop=stop,
    )
    current.remember(folder, (sheet, page), shown)
    progress.note(f"{page}: what rides on a painting, what flickers, what to paint next", {"page": str(page)})


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
