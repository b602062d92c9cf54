"""``paintover tune``: which setting of the recipe comes closest to a reference sequence in a fixed time."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from engine.base.errors import InputError, Interrupted
from engine.base.frames import SequencePath
from engine.base.shell_words import shell_line, shell_word
from engine.training.job.job import TrainingJob
from engine.training.job.search import Search
from plugin.arguments.command_line import command_line
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import prepare_folder
from plugin.arguments.request import shot_from, work_from
from plugin.arguments.verb_options import TUNE_SECONDS
from plugin.phases.color import say_color, say_reference
from plugin.phases.training import check_training, job_from
from plugin.progress.child import follow
from plugin.progress.protocol import Phase, Progress, counted_frames, duration, visible
from plugin.progress.stop import StopRequest

__all__ = ["COMMAND", "parser", "run"]

COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine.training.tune.search")
"""What is started, before ``--job FILE --search FILE``."""

_FOR_PEOPLE = ("auto", "bar", "lines")
"""Progress modes beside which a table stands on stdout; the others are read by machines."""
_LONGER_S = 300.0
"""What the best settings are then trained for, as the last line proposes."""
_COLUMNS = ("batch", "patch", "blocks", "learning_rate")


def parser() -> Parser:
    """The options of ``paintover tune``."""
    return Parser(COMMANDS["tune"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Search; the table, the picture and the best look are there when this returns."""
    if options.reference is None:
        remedy = "name frames to come close to, of `paintover sequence` or EbSynth: --reference look.%04d.png"
        raise InputError("--reference is missing", remedy=remedy)
    reference = SequencePath.parse(options.reference)
    if reference.is_movie:
        raise InputError(f'"{reference}" is a movie', remedy="extract its frames, and name them like ref.%04d.png")
    if options.grid is not None and not Path(options.grid).is_file():
        raise InputError("the settings file is missing", path=options.grid, remedy="check --settings")
    shot = shot_from(options, paintings=True, frames_out=False)
    config = check_training(shot, options)
    seconds = float(options.seconds or TUNE_SECONDS)
    # Settings are compared on the plate alone, whatever the shot file says of denoising and guides.
    plain = replace(shot, denoise=None, guides=None)
    job = msgspec.structs.replace(job_from(plain, options), budget_s=seconds, steps=None, preview=False, resume=False)
    search = Search(
        reference=os.path.abspath(reference.text),  # noqa: PTH100
        reference_colorspace=options.reference_colorspace,
        grid=None if options.grid is None else os.path.abspath(options.grid),  # noqa: PTH100
        full=options.full_grid,
        guides=shot.stmaps,
    )
    progress.plan([Phase("tune", f"Searching, {duration(seconds)} a setting")])
    say_color(progress, config, shot.plate, shot.keyframes)
    say_reference(progress, config, shot.plate, reference, options.reference_colorspace)
    done = _search(job, search, progress, stop, debug=options.debug)
    best = done["best"]
    facts = {name: done[name] for name in ("best", "results", "failed", "look", "plot", "settings_file")}
    progress.note(f"best of {len(done['results'])}: {_words(best)}, loss {best['loss']:.4f}", facts)
    progress.finish()
    progress.close()
    if options.progress in _FOR_PEOPLE:
        print("\n".join(_table(done["results"], best)))
        # As the user named the work folder: the process was given absolute paths.
        folder = work_from(options, shot) / "tune"
        plot, look, file = (str(folder / Path(done[name]).name) for name in ("plot", "look", "settings_file"))
        print(f"\n{visible(str(plot))}: loss against each parameter")
        print(visible(f"next: paintover render --look {shell_word(look)}, the best look as it is;"))
        print("      or train with its settings, longer:")
        print(visible(f"      {shell_line(_training(options, file))}"))
    return 0


def _training(options: Options, settings: str) -> list[str]:
    """The command that trains a look of this shot with settings, as the search was called."""
    values = {
        "shot": options.shot,
        "plate": options.plate,
        "frames": options.frames,
        "layer": options.layer,
        "keyframes": options.keyframes,
        "fit_paintings": options.fit_paintings,
        "work": options.work,
        "colorspace": options.colorspace,
        "paint_colorspace": options.paint_colorspace,
        "ocio": options.ocio,
        "features": options.features,
        "settings": settings,
        "budget": _LONGER_S,
    }
    return ["paintover", *command_line("train", values)]


def _search(
    job: TrainingJob, search: Search, progress: Progress, stop: StopRequest, *, debug: bool
) -> Mapping[str, Any]:
    """Run the search's process to its end; returns its last event.

    Raises:
        ChildFailed: it reported an error, crashed, or could not be started.
        Interrupted: it was stopped; finished settings are kept.
    """
    folder = job.work / "tune"
    prepare_folder(folder)
    job_path, search_path = folder / "job.json", folder / "search.json"
    job.save(job_path)
    search.save(search_path)
    progress.begin("tune")
    finished, total, name = 0, 0, ""

    def on_event(event: Mapping[str, Any]) -> None:
        nonlocal finished, total, name
        if event["event"] == "phase":
            total = int(event["settings"])
            progress.note(f"{total} settings, scored on {counted_frames(len(event['frames']))} of the reference")
        elif "state" in event:
            finished, name = int(event["index"]), str(event["setting"])
            if event["state"] != "started":
                finished += 1
                known = ", kept from before" if event["state"] == "kept" else ""
                progress.note(f"{finished} of {total}: {name}, loss {event['loss']:.4f}{known}", event)
                progress.update(finished / total, f"{finished} of {total}")
        elif event["event"] == "progress":
            progress.update(float(event["fraction"]), f"{finished + 1} of {total}, {name}", {"setting": name})

    command = [*COMMAND, "--job", str(job_path), "--search", str(search_path)]
    done = follow(command, progress, stop, on_event, called="the search", debug=debug)
    if stop():
        kept = f"{finished} of {total} settings are done and kept" if total else "nothing was trained yet"
        remedy = "run the same command again to continue"
        raise Interrupted(f"the search was stopped, {kept}", exit_code=stop.exit_code, remedy=remedy)
    return done


def _table(results: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> list[str]:
    """The results, the best first."""
    deep = any(result["deep"] is not None for result in results)
    lines = [f"{'batch':>6}{'patch':>7}{'blocks':>8}{'rate':>9}{'steps':>8}{'mae':>9}" + ("     deep" if deep else "")]
    for result in sorted(results, key=lambda one: float(one["loss"])):
        values = result["setting"]
        line = f"{values['batch']:>6}{values['patch']:>7}{values['blocks']:>8}{values['learning_rate']:>9.2g}"
        line += f"{result['steps']:>8}{result['mae']:>9.4f}"
        line += f"{result['deep']:>9.4f}" if result["deep"] is not None else ""
        lines.append(line + ("  best" if result["setting"] == best["setting"] else ""))
    return lines


def _words(result: Mapping[str, Any]) -> str:
    values = result["setting"]
    return ", ".join(f"{name.replace('_', ' ')} {values[name]:g}" for name in _COLUMNS)
