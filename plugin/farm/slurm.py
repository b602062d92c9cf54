"""SLURM: every step a job script, every chunk a task of a job array, dependencies that never leave work pending.

::

    train ---.
              >--afterok--> render --afterany--> verify
    prepare -'                                     ^
         `------------------afterok----------------'

Rendering starts when training and preparing have succeeded, verifying when rendering has *ended*, because a gap is what
it is there to find. ``--kill-on-invalid-dep=yes`` cancels what can no longer start. A lost machine requeues its tasks;
a command that may succeed later (exit code 1, or ended by a signal of its own) requeues itself, which SLURM holds back
for two minutes; what cannot succeed is not tried again. A task does nothing twice: whole frames are skipped.

Scripts lie in ``WORK/farm/slurm`` with ``submit.sh``, which submits them from any machine that has ``sbatch``.
"""

from __future__ import annotations

import math
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.base.errors import InputError, PaintoverError
from engine.base.frames import FrameRange
from plugin.arguments.dialects import format_slurm
from plugin.arguments.farm_options import SHARD
from plugin.arguments.options import Options
from plugin.arguments.table import FRAMES
from plugin.farm import job_files
from plugin.farm.plan import FarmPlan, FarmStep
from plugin.farm.program import program_from
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = [
    "DEFAULT_ARRAY_SIZE",
    "MAX_CHUNKS",
    "SUMMARY",
    "SlurmJob",
    "jobs_from",
    "max_array_size",
    "script",
    "submit",
    "submit_script",
]

SUMMARY = "SLURM: job scripts and arrays, submitted with sbatch"
MAX_CHUNKS = 5000
"""Half of SLURM's usual MaxJobCount, so that a shot leaves room for others."""

DEFAULT_ARRAY_SIZE = 1001
"""MaxArraySize where nobody set it; the highest array index is one less."""

_COMMAND_S = 60
_SUBMIT = "submit.sh"
_TASK = "SLURM_ARRAY_TASK_ID"


@dataclass(frozen=True)
class SlurmJob:
    """One call of sbatch: a step, or as much of one as an array holds."""

    name: str
    """Of the step, with a number where it takes several arrays: a name of a variable in a shell."""
    step: FarmStep
    """What its tasks run."""
    first: int
    """The step's task that the array's index 0 is."""
    count: int
    """Tasks of the array; 1 where the step is a single job."""
    options: tuple[str, ...]
    """For sbatch, but for dependencies and the script."""
    after_ok: tuple[str, ...] = ()
    """Names of the jobs that must have succeeded."""
    after_any: tuple[str, ...] = ()
    """Names of the jobs that must have ended."""

    @property
    def file(self) -> str:
        """Name of the script."""
        return f"{self.name}.sh"

    def command(self, ids: Mapping[str, str]) -> list[str]:
        """The call of sbatch from within the folder of the scripts; ``ids`` are those of the jobs before it."""
        parts = [":".join([kind, *(ids[name] for name in names)])
                 for kind, names in (("afterok", self.after_ok), ("afterany", self.after_any)) if names]  # fmt: skip
        dependency = [f"--dependency={','.join(parts)}", "--kill-on-invalid-dep=yes"] if parts else []
        return ["sbatch", "--parsable", *self.options, *dependency, self.file]


def submit(plan: FarmPlan, options: Options, progress: Progress, stop: StopRequest) -> int:
    """Write the scripts and submit them; returns 0 when every job is queued.

    Raises:
        InputError: no sbatch on this machine, or sbatch refuses; what was submitted before is cancelled.
        OutputError: the scripts cannot be written.
        Interrupted: a stop was asked for; what was submitted is cancelled.
    """
    jobs = jobs_from(plan, options, max_array_size())
    folder, calls = plan.work / "farm" / "slurm", program_from(options)
    files = {folder / job.file: script(plan, job, calls) for job in jobs}
    files[folder / _SUBMIT] = submit_script(jobs)
    if options.dry_run:
        job_files.show(files)
        return 0
    job_files.write(files)
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    by_hand = f"bash {shlex.quote(str(folder / _SUBMIT))}"
    if options.write_only:
        progress.note(f"scripts written; submit them with: {by_hand}", {"submit": str(folder / _SUBMIT)})
        return 0
    if shutil.which("sbatch") is None:
        why = "there is no sbatch on this machine"
        raise InputError(why, path=folder / _SUBMIT, remedy=f"the scripts are written; where there is one: {by_hand}")
    ids: dict[str, str] = {}
    try:
        for job in jobs:
            stop.check()
            ids[job.name] = _sbatch(job.command(ids), folder)
            tasks = f", {job.count} tasks" if job.count > 1 else ""
            progress.note(f"{job.name}: job {ids[job.name]}{tasks}", {"job": ids[job.name], "step": job.step.name})
    except BaseException:
        if ids:
            subprocess.run(["scancel", *ids.values()], capture_output=True, timeout=_COMMAND_S, check=False)
        raise
    progress.note(f"logs: {folder / 'logs'}; cancel with: scancel {' '.join(ids.values())}", {"jobs": [*ids.values()]})
    return 0


def max_array_size() -> int:
    """The cluster's MaxArraySize, by ``scontrol show config``; 1001 where it cannot be asked."""
    try:
        said = subprocess.run(
            ["scontrol", "show", "config"], capture_output=True, text=True, timeout=_COMMAND_S, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return DEFAULT_ARRAY_SIZE
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE)
    return int(match[1]) if match else DEFAULT_ARRAY_SIZE


def jobs_from(plan: FarmPlan, options: Options, array_size: int) -> tuple[SlurmJob, ...]:
    """The plan's steps as jobs, each after those that it depends on; more tasks than an array holds take several.

    Args:
        array_size: MaxArraySize of the cluster.

    Raises:
        InputError: the cluster has no arrays.
    """
    made: dict[str, list[SlurmJob]] = {}
    for step in plan.steps:
        if step.tasks > 1 and array_size < 2:
            raise InputError("this cluster has no job arrays (MaxArraySize)", remedy="raise it, or use another engine")
        starts = range(0, step.tasks, array_size) if step.tasks > 1 else range(1)
        needed = [job for name in step.needs for job in made.get(name, ())]
        # Verifying names the gap that a failed chunk leaves; without a look there is nothing to verify.
        whatever = [job for job in needed if step.name == "verify"]
        ok = [job for job in needed if step.name != "verify"]
        before = [name for job in whatever for name in job.after_ok]
        made[step.name] = [
            SlurmJob(
                name=step.name if len(starts) == 1 else f"{step.name}_{number}",
                step=step,
                first=start,
                count=min(array_size, step.tasks - start),
                options=_options(plan, step, min(array_size, step.tasks - start), options),
                after_ok=tuple(dict.fromkeys([job.name for job in ok] + before)),
                after_any=tuple(job.name for job in whatever),
            )
            for number, start in enumerate(starts, 1)
        ]
    return tuple(job for jobs in made.values() for job in jobs)


def script(plan: FarmPlan, job: SlurmJob, calls: Sequence[str]) -> str:
    """The job script, for bash, with line feeds alone.

    Args:
        calls: the words that call ``paintover``.
    """
    step = job.step
    lines = ["#!/bin/bash", f"# Paintover, {plan.name}: {step.name}.", "set -u"]
    words = [shlex.quote(word) for word in (*calls, *step.command)]
    if step.chunks:
        lines += ["frames=(", *(f"  {shlex.quote(chunk)}" for chunk in step.chunks[job.first :][: job.count]), ")"]
        words.append(f'"{FRAMES.word(f"${{frames[${{{_TASK}:-0}}]}}")}"')
    else:
        words.append(shlex.quote(FRAMES.word(step.frames)))
        if step.shards > 1:
            words.append(f'"{SHARD.word(f"$((${{{_TASK}:-0}} + {job.first + 1}))/{step.shards}")}"')
    lines += [
        f'echo "paintover: {step.name} on $(hostname), start ${{SLURM_RESTART_COUNT:-0}}"',
        " ".join(words),
        "code=$?",
        # 1 says that a retry may help; a renderer ended by a signal has run out of memory, or lost its GPU.
        "case $code in",
        f'  1|134|137|139) if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {step.retries} ]; then',
        '    echo "paintover: exit code $code, to be tried again"',
        # The last task's own id is the array's, and would put back all of it. SLURM ends this script once it is done.
        f'    scontrol requeue "${{SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}${{{_TASK}:+_${_TASK}}}" && sleep 60',
        "  fi ;;",
        "esac",
        "exit $code",
    ]
    return "\n".join(lines) + "\n"


def submit_script(jobs: Sequence[SlurmJob]) -> str:
    """What submits the scripts beside it."""
    lines = [
        "#!/bin/bash",
        "# Submits the scripts beside it; prints the ids of the jobs.",
        "set -euo pipefail",
        'cd "$(dirname "${BASH_SOURCE[0]}")"',
        "mkdir -p logs",
        "ids=()",
        """trap '[ ${#ids[@]} -eq 0 ] || scancel "${ids[@]}"' ERR""",
    ]
    for job in jobs:
        words = job.command({name: f"${{{name}}}" for name in (*job.after_ok, *job.after_any)})
        # Ids are the shell's variables, nothing else in a command is the shell's.
        text = " ".join(f'"{word}"' if word.startswith("--dependency=") else shlex.quote(word) for word in words)
        lines += [f"{job.name}=$({text})", f"{job.name}=${{{job.name}%%;*}}", f'ids+=("${job.name}")']
        lines.append(f'echo "{job.name}: job ${job.name}"')
    lines.append('echo "cancel with: scancel ${ids[*]}"')
    return "\n".join(lines) + "\n"


def _options(plan: FarmPlan, step: FarmStep, count: int, options: Options) -> tuple[str, ...]:
    array = step.tasks > 1 or bool(step.chunks)
    at_once = options.at_once if step.name == "render" else None
    gres = (options.gres or ("gpu:1" if step.needs_gpu else None)) if step.name in ("train", "render") else None
    given = (
        ("--partition", options.partition),
        ("--account", options.account),
        ("--qos", options.qos),
        ("--gres", gres),
        ("--cpus-per-task", options.cpus),
        ("--mem", options.task_memory),
        ("--time", None if step.timeout_s is None else str(math.ceil(step.timeout_s / 60))),
        ("--array", format_slurm(FrameRange(tuple(range(count))), at_once) if array else None),
    )
    return (
        f"--job-name={plan.name}.{step.name}",
        f"--output=logs/{step.name}-{'%A_%a' if array else '%j'}.log",
        # A task that starts again goes on in its log, and on another machine if its own is gone.
        "--open-mode=append",
        "--requeue",
        *(f"{name}={value}" for name, value in given if value is not None),
        *(options.sbatch or ()),
    )


def _sbatch(command: Sequence[str], folder: Path) -> str:
    """The id of the submitted job."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_COMMAND_S, check=False)
    except subprocess.TimeoutExpired:
        why = f"sbatch did not answer within {_COMMAND_S} s"
        raise PaintoverError(why, remedy="check the cluster, then submit again") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split()).removeprefix("sbatch: ").removeprefix("error: ") or "no reason given"
        raise InputError(f"sbatch refuses {command[-1]}: {said}", remedy="check --partition, --account and --gres")
    return done.stdout.strip().partition(";")[0]
