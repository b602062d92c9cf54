"""Deadline 10: each step a job of the CommandLine plugin, as two key=value files. Emitted, not executed.

``STEP.job`` and ``STEP.plugin`` are what ``deadlinecommand`` takes. A job knows those before it by ids that only the
repository gives, so files carry ``@STEP@`` in their place, and submitting fills them in. Deadline cuts the frames
itself: ``<STARTFRAME>-<ENDFRAME>`` says which a task has. Frames with gaps go one to a task, because a task's ends
would name what lies between as well.

Source: Deadline 10.1 user manual, Manual Job Submission; Command Line plug-in.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.base.errors import InputError, PaintoverError
from engine.base.frames import FrameRange
from plugin.arguments.dialects import format_deadline
from plugin.arguments.farm_options import SHARD
from plugin.arguments.options import Options
from plugin.arguments.table import FRAMES
from plugin.farm import job_files
from plugin.farm.plain_text import plain
from plugin.farm.plan import FarmPlan, FarmStep
from plugin.farm.program import program_from
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["MAX_CHUNKS", "SUMMARY", "job_info", "plugin_info", "submit"]

SUMMARY = "Deadline 10: job and plugin files, submitted with deadlinecommand (emitted, not executed)"
MAX_CHUNKS = 5000
"""What a repository allows in one job where nobody changed it."""

_COMMAND = "deadlinecommand"
_COMMAND_S = 120
_MARK = re.compile(r"@(\w+)@")


def submit(plan: FarmPlan, options: Options, progress: Progress, stop: StopRequest) -> int:
    """Write the files to ``farm/deadline10`` in the work folder and submit them, one job after the other; returns 0.

    Raises:
        InputError: no deadlinecommand on this machine, it refuses, or a word that its files cannot hold. Jobs that were
            submitted before stay, and are named.
        OutputError: the files cannot be written.
        Interrupted: a stop was asked for; jobs that were submitted stay.
    """
    folder = plan.work / "farm" / "deadline10"
    calls = program_from(options)
    files: dict[Path, str] = {}
    for step in plan.steps:
        files[folder / f"{step.name}.job"] = job_info(plan, step, options)
        files[folder / f"{step.name}.plugin"] = plugin_info(step, calls)
    if options.dry_run:
        job_files.show(files)
        return 0
    job_files.write(files)
    progress.note(f"{folder}: Deadline 10 jobs, emitted, not executed", {"folder": str(folder)})
    if options.write_only:
        progress.note("submit them in the order of their dependencies, with ids in place of @STEP@")
        return 0
    command = shutil.which(_COMMAND)
    if command is None:
        why = f"there is no {_COMMAND} on this machine"
        raise InputError(why, path=folder, remedy="the files are written; submit where there is one")
    ids: dict[str, str] = {}
    for step in plan.steps:
        stop.check()
        job = folder / f"{step.name}.job"
        job_files.write({job: _filled(job_info(plan, step, options), ids)})
        ids[step.name] = _submitted(command, job, folder / f"{step.name}.plugin", ids)
        progress.note(f"{step.name}: job {ids[step.name]}", {"job": ids[step.name], "step": step.name})
    return 0


def job_info(plan: FarmPlan, step: FarmStep, options: Options) -> str:
    """The job info file of a step, with ``@STEP@`` where the ids of others go."""
    frames, size = "0", 1
    if step.chunks:
        wanted = FrameRange.parse(step.frames)
        frames = format_deadline(wanted)
        size = len(FrameRange.parse(step.chunks[0])) if _gapless(wanted) else 1
    elif step.shards > 1:
        frames = f"1-{step.shards}"
    pairs: dict[str, object | None] = {
        "Plugin": "CommandLine",
        "Name": f"{plan.name} {step.name}",
        "BatchName": f"Paintover {plan.name}",
        "Frames": frames,
        "ChunkSize": size,
        "Pool": options.pool,
        "Group": options.group,
        "Priority": options.priority,
        "TaskTimeoutMinutes": None if step.timeout_s is None else math.ceil(step.timeout_s / 60),
        "OnTaskTimeout": None if step.timeout_s is None else "Error",
        "OverrideTaskFailureDetection": "true",
        "FailureDetectionTaskErrors": step.retries + 1,
        "JobDependencies": ",".join(f"@{name}@" for name in step.needs) or None,
        # Verifying names the gap that a failed frame leaves.
        "ResumeOnFailedDependencies": "true" if step.name == "verify" else None,
    }
    if step.name == "render":
        pairs["OutputDirectory0"] = str(Path(plan.out.text).parent)
    return _pairs(pairs)


def plugin_info(step: FarmStep, calls: Sequence[str]) -> str:
    """The plugin info file of a step.

    Args:
        calls: the words that call ``paintover`` on a worker.

    Raises:
        InputError: a quotation mark, or one of Deadline's own words, in a path.
    """
    words = [*calls[1:], *step.command]
    if step.chunks:
        words.append(FRAMES.word("<STARTFRAME>-<ENDFRAME>"))
    else:
        words.append(FRAMES.word(step.frames))
        if step.shards > 1:
            words.append(SHARD.word(f"<STARTFRAME>/{step.shards}"))
    for word in (*calls, *step.command):
        # Deadline finds its own words whatever their case.
        if '"' in word or re.search(r"<\w+(%\d+)?>", word):
            raise InputError(f"Deadline's files cannot hold {word}", remedy="rename the file")
    pairs: dict[str, object | None] = {
        "Executable": calls[0],
        "Arguments": " ".join(map(_quoted, words)),
        "ShellExecute": "false",
        "SingleFramesOnly": "false",
    }
    return _pairs(pairs)


def _gapless(frames: FrameRange) -> bool:
    return frames.last - frames.first + 1 == len(frames)


def _pairs(pairs: Mapping[str, object | None]) -> str:
    """Every value is one line, so none can begin a key of its own."""
    given = {name: str(value) for name, value in pairs.items() if value is not None}
    return "".join(f"{name}={plain(value, 'a Deadline file')}\n" for name, value in given.items())


def _quoted(word: str) -> str:
    """A word of a command line, for Windows as for the shell that Deadline splits it like elsewhere."""
    if re.fullmatch(r"[\w./:=,+@%<>-]+", word):
        return word
    # A backslash before the closing quotation mark would be taken for that mark's.
    ends = len(word) - len(word.rstrip("\\"))
    return f'"{word}{ends * chr(92)}"'


def _filled(text: str, ids: Mapping[str, str]) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(
        _MARK.sub(lambda mark: ids[mark[1]], line) if line.startswith("JobDependencies=") else line for line in lines
    )


def _submitted(command: str, job: Path, plugin: Path, before: Mapping[str, str]) -> str:
    """The id of the submitted job."""
    there = f"; already there: {', '.join(before.values())}" if before else ""
    try:
        done = subprocess.run([command, str(job), str(plugin)], capture_output=True, text=True, timeout=_COMMAND_S)
    except subprocess.TimeoutExpired:
        raise PaintoverError(f"{_COMMAND} did not answer within {_COMMAND_S} s{there}", path=job) from None
    match = re.search(r"^JobID=(\S+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or match is None:
        said = " ".join((done.stderr or done.stdout).split()) or "no reason given"
        raise InputError(f"{_COMMAND} refuses {job.name}: {said}{there}", path=job, remedy="check --pool and --group")
    return match[1]
