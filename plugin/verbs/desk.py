"""``paintover desk``: a page in the browser to paint on a shot and see it change."""

from __future__ import annotations

import contextlib
import math
import sys
import time
import webbrowser
from dataclasses import replace
from pathlib import Path

from engine.base.errors import InputError, PaintoverError
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.color.paintings import check_painting_space
from engine.shot.shot import Shot
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import (
    check_device,
    check_keyframes,
    check_look_output,
    check_mattes,
    check_out,
    check_plate,
    check_spaces,
    prepare_folder,
)
from plugin.arguments.request import look_from, painted_from, shot_from, work_from
from plugin.phases.color import say_color
from plugin.phases.training import check_asked_recipe
from plugin.progress.protocol import LineStream, NoProgress, Progress
from plugin.progress.stop import StopRequest
from plugin.training.process import require_training

__all__ = ["parser", "run"]

_POLL_S = 0.2


def parser() -> Parser:
    """The options of ``paintover desk``."""
    return Parser(COMMANDS["desk"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Serve the page until Ctrl-C."""
    try:
        # Here, because --help should not wait for it, and a farm's machine need not have it.
        from plugin.desk.access import Access
        from plugin.desk.desk import ShotDesk
        from plugin.desk.port import listen_again
        from plugin.desk.server import DeskServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "websockets", "anyio"):
            raise
        raise InputError("the desk needs its server", remedy='pip install "paintover[desk]"') from error
    shot, out, config = _checked(options, progress)
    bound = listen_again(options.port, work_from(options, shot))
    with contextlib.closing(bound):
        desk = ShotDesk(shot, options, config, out)
        # Its doubts go to stderr; stdout is for the address.
        say_color(NoProgress(), config, shot.plate, shot.keyframes, shot.matte)
        access = Access(bound.getsockname()[1])
        server = DeskServer(desk, bound, access)
        with stop.cooperative():
            server.start()
            desk.open()
            try:
                if options.progress == "json":
                    progress.note(access.address, {"address": access.address})
                else:
                    print(access.address, flush=True)
                if not options.no_browser:
                    webbrowser.open(access.address)
                idle_s = math.inf if options.idle is None else options.idle
                while not stop() and server.is_alive and desk.alone_s < idle_s:
                    time.sleep(_POLL_S)
                ended = not server.is_alive
            finally:
                desk.leave()
                server.close()
                desk.close()
    if ended:
        raise PaintoverError("the desk's server ended by itself", remedy="run it again; nothing is lost")
    LineStream(sys.stderr).line("paintover: the desk is closed; the same command opens it again")
    # Ctrl-C is how it is closed; a scheduler's SIGTERM is told as such.
    return stop.exit_code if stop() and stop.exit_code != 130 else 0


def _checked(options: Options, progress: Progress) -> tuple[Shot, SequencePath, ColorConfig]:
    """The shot, where its frames go, and the color config.

    Raises:
        PaintoverError: see :mod:`plugin.arguments.preflight`; each case has its own message.
    """
    file = None if options.shot is None else Shot.load(options.shot)
    shot = shot_from(options, paintings=bool(painted_from(options, file)), frames_out=False)
    out = _out(options, file, shot)
    if shot.guides is not None:
        progress.warn("the desk works without guide images; paintover run takes them")
    if not shot.stmaps:
        progress.warn("the desk follows keyframes also where the shot asks for no STMaps")
    shot = replace(shot, out=out, guides=None, stmaps=True)
    config = ColorConfig.active(options.ocio)
    check_asked_recipe(shot, options)
    check_spaces(config, [shot.plate.colorspace])
    for keyframe in shot.keyframes:
        if keyframe.colorspace is not None:
            check_painting_space(config, keyframe.colorspace)
    check_keyframes(shot.keyframes)
    check_plate(shot.plate)
    check_mattes(shot.matte, shot.plate)
    check_look_output(look_from(options, shot))
    prepare_folder(work_from(options, shot))
    check_out(out, shot.plate, shot.keyframes, shot.matte)
    check_device(shot.device)
    require_training()
    return shot, out, config


def _out(options: Options, file: Shot | None, shot: Shot) -> SequencePath:
    if options.out is not None:
        return SequencePath.parse(options.out)
    if file is not None and file.out is not None:
        return file.out
    keeps_light = Path(shot.plate.path.text).suffix.lower() in (".exr", ".dpx")
    frame = "frame.%04d.exr" if keeps_light else "frame.%04d.png"
    return SequencePath.parse(work_from(options, shot) / "frames" / frame)
