"""The command line: finds the verb, runs it, and turns errors into one line and an exit code.

Exit codes: 0 done; 1 failed, a retry may help; 2 wrong usage or input; 3 ``verify`` found missing or damaged frames;
130 after Ctrl-C; 143 after SIGTERM.
"""

from __future__ import annotations

import difflib
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from engine import __version__
from engine.base.errors import FrameFailures, InputError, Interrupted, PaintoverError
from engine.base.system_errors import system_error
from plugin.arguments.image_limit import image_limit
from plugin.arguments.ocio_variable import color_config
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.settle import settle
from plugin.progress.hints import is_new_hint
from plugin.progress.protocol import NoProgress, Progress, open_progress, quiet_errors, visible
from plugin.progress.stop import StopRequest

__all__ = ["VERBS", "main"]

VERBS = {
    "run": "the whole job on one machine: prepare, train, render, verify, report",
    "desk": "a page in the browser to paint on a shot and see it change",
    "live": "a camera, a movie or a stream, stylized as it plays",
    "prepare": "follows painted frames through the shot, so that strokes are carried along",
    "train": "painted keyframes -> one look (.onnx)",
    "tune": "which settings come closest to a reference sequence in a fixed time",
    "render": "look + plate -> frames; skips what is already valid",
    "submit": "the whole job on a farm: Dask, SLURM, Open Job Description, OpenCue, Deadline",
    "verify": "every expected frame is there, whole, and made by this look",
    "inspect": "what a look or a rendered frame says about itself",
    "key": "exports frames through the display view, for painting",
    "paint": "paints a frame itself, for people who have no painting yet",
    "sequence": "paints a shot from style images, steady in time, without a look",
    "suggest": "which frames to paint, by how much of the shot each would carry",
    "report": "one HTML page: what rides on a painting, what flickers, what to paint next",
    "clean": "what can be made again, and how much it takes; removes it when told to",
    "export": "a look for Nuke's Inference node, or for Flame's",
    "worker": "the resident process behind a host: keeps looks loaded, renders on request",
    "install": "Paintover's part of Nuke or DaVinci Resolve, put where the host looks for it",
    "uninstall": "takes that away again",
    "doctor": "versions, GPU, color, codecs: the first line of every bug report",
}

_SHORT_HELP = """\
Paintover {version}: paint one frame, get the shot.
Paint over one frame of a shot in any program, then:

  paintover run --plate plate.%04d.jpg --frames 0-10 --keyframe 0=painted.0000.jpg \\
      --budget 60s --work work --out out.%04d.png

{verbs}

paintover VERB --help tells more about each; paintover doctor checks this machine.
"""

_FAILURES_SHOWN = 10


class Verb(Protocol):
    """What a verb's module offers."""

    def parser(self) -> Parser:
        """The verb's options."""

    def run(self, options: Options, progress: Progress, stop: StopRequest) -> int:
        """Do it; returns the exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. ``--help`` leaves through SystemExit, as argparse has it."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _tolerate_narrow_encodings()
    try:
        code = _main(words, debug="--debug" in words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of a listing (head, less) has seen enough; nothing may be written while Python shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _main(words: Sequence[str], *, debug: bool) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        if len(words) > 1 and words[0] == "help":
            return _main([words[1], "--help"], debug=debug)
        listed = "\n".join(f"  {name:<10}{summary}" for name, summary in VERBS.items())
        print(_SHORT_HELP.format(version=__version__, verbs=listed), end="")
        return 0
    if words[0] in ("--version", "-V"):
        print(f"paintover {__version__}")
        return 0
    progress: Progress = NoProgress()
    stop = StopRequest()
    try:
        with stop:
            verb = _verb(words[0])
            options = settle(verb.parser().read(words[1:]))
            progress = open_progress(options.progress)
            with _logging(progress, debug=debug), color_config(options.ocio), image_limit(options.max_image_gib):
                try:
                    return verb.run(options, progress, stop)
                finally:
                    progress.close()
    except KeyboardInterrupt:
        return _failed(Interrupted("stopped on request"), progress, debug=debug)
    except PaintoverError as error:
        if isinstance(error, Interrupted) and stop():
            # Whoever noticed the request does not know the signal.
            error.exit_code = stop.exit_code
        return _failed(error, progress, debug=debug)
    except BrokenPipeError:
        raise
    except MemoryError:
        remedy = "give fewer --workers or a smaller --tile"
        return _failed(PaintoverError("memory ran out", remedy=remedy), progress, debug=debug)
    except OSError as fault:
        return _failed(system_error(fault), progress, debug=debug)
    except Exception as fault:  # A fault of ours: still one line and an exit code.
        first = quiet_errors(str(fault)) or "no message"
        remedy = "run again with --debug and send it with the output of paintover doctor"
        what = f"internal fault: {type(fault).__name__}, {first}"
        return _failed(PaintoverError(what, remedy=remedy), progress, debug=debug)


def _verb(name: str) -> Verb:
    # Each import where it is needed: `paintover inspect` should not wait for what only training needs.
    if name == "run":
        from plugin.verbs import run as run_verb

        return run_verb
    if name == "desk":
        from plugin.verbs import desk as desk_verb

        return desk_verb
    if name == "live":
        from plugin.verbs import live as live_verb

        return live_verb
    if name == "prepare":
        from plugin.verbs import prepare as prepare_verb

        return prepare_verb
    if name == "train":
        from plugin.verbs import train as train_verb

        return train_verb
    if name == "tune":
        from plugin.verbs import tune as tune_verb

        return tune_verb
    if name == "render":
        from plugin.verbs import render as render_verb

        return render_verb
    if name == "submit":
        from plugin.verbs import submit as submit_verb

        return submit_verb
    if name == "verify":
        from plugin.verbs import verify as verify_verb

        return verify_verb
    if name == "inspect":
        from plugin.verbs import inspect as inspect_verb

        return inspect_verb
    if name == "key":
        from plugin.verbs import key as key_verb

        return key_verb
    if name == "paint":
        from plugin.verbs import paint as paint_verb

        return paint_verb
    if name == "sequence":
        from plugin.verbs import sequence as sequence_verb

        return sequence_verb
    if name == "suggest":
        from plugin.verbs import suggest as suggest_verb

        return suggest_verb
    if name == "report":
        from plugin.verbs import report as report_verb

        return report_verb
    if name == "clean":
        from plugin.verbs import clean as clean_verb

        return clean_verb
    if name == "export":
        from plugin.verbs import export as export_verb

        return export_verb
    if name == "worker":
        from plugin.verbs import worker as worker_verb

        return worker_verb
    if name == "install":
        from plugin.verbs import install as install_verb

        return install_verb
    if name == "uninstall":
        from plugin.verbs import uninstall as uninstall_verb

        return uninstall_verb
    if name == "doctor":
        from plugin.verbs import doctor

        return doctor
    if name.startswith("-"):
        raise InputError(f"{name} needs a verb before it", remedy="paintover --help lists the verbs")
    close = difflib.get_close_matches(name, VERBS, n=1, cutoff=0.5)
    if close:
        raise InputError(f"there is no verb {name!r}", remedy=f"did you mean {close[0]}?")
    raise InputError(f"there is no verb {name!r}", remedy=f"the verbs are {', '.join(VERBS)}")


def _failed(error: PaintoverError, progress: Progress, *, debug: bool) -> int:
    """One line on stderr; a list of failed frames adds one line each, up to a page."""
    if debug:
        traceback.print_exc()
    progress.fail(error)
    lines = [f"paintover: {error}"]
    if isinstance(error, FrameFailures):
        # The message has the first already.
        rest = [" ".join(why.split()) for _, why in sorted(error.failures.items())][1:]
        lines += [f"paintover: {why}" for why in rest[:_FAILURES_SHOWN]]
        if len(rest) > _FAILURES_SHOWN:
            lines.append(f"paintover: and {len(rest) - _FAILURES_SHOWN} frames more")
    try:
        sys.stderr.write("\n".join(map(visible, lines)) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
    return error.exit_code


class _Handler(logging.Handler):
    """Log records as the command line's own one-line messages."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        """Warnings go where the progress protocol wants them, the rest to stderr; what is a hint comes once."""
        hint = getattr(record, "hint", None)
        if hint is not None and not is_new_hint(str(hint)):
            return
        try:
            if record.levelno >= logging.WARNING:
                self._progress.warn(record.getMessage())
            else:
                sys.stderr.write(f"paintover: {record.name}: {quiet_errors(record.getMessage())}\n")
        except (OSError, ValueError):
            self.handleError(record)


@contextmanager
def _logging(progress: Progress, *, debug: bool) -> Iterator[None]:
    handler = _Handler(progress)
    loggers = [logging.getLogger(name) for name in ("engine", "plugin")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Other people's deprecations are noise on a farm.
            warnings.simplefilter("default" if debug else "ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


def _tolerate_narrow_encodings() -> None:
    """A path with an accent must not end a job whose console knows only ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
