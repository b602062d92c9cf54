"""The options that each farm engine adds to ``submit``; what they mean is in :mod:`plugin.farm`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from plugin.arguments import values
from plugin.arguments.option import SWITCH, TEXT, Kind, Option, one_of
from plugin.arguments.table import WORKERS

__all__ = ["ENGINE", "ENGINES", "OPTIONS_OF_ENGINE"]

ENGINES = ("dask", "slurm", "openjd", "opencue", "deadline10")

ENGINE = Option("engine", ("--engine",), one_of(*ENGINES), "the engine", ", ".join(ENGINES), metavar="NAME")

_PROGRAM = Option(
    "program",
    ("--program",),
    TEXT,
    "the farm's machines",
    "paintover as it is called there",
    metavar="PATH",
    default="this very installation",
)
_DRY_RUN = Option(
    "dry_run", ("--dry-run",), SWITCH, "", "show what would be written and called; write nothing, submit nothing"
)
_WRITE_ONLY = Option("write_only", ("--write-only",), SWITCH, "", "write the job's files, submit nothing")
_TASK_MEMORY = Option("task_memory", ("--memory",), TEXT, "", "memory of every task", metavar="SIZE")
_PRIORITY = Option("priority", ("--priority",), values.WHOLE_NUMBER, "", "the job's priority", metavar="N")


def _without_submitting(group: str) -> tuple[Option, ...]:
    """What every engine takes, and means the same by."""
    return tuple(option.but(group=group) for option in (_DRY_RUN, _WRITE_ONLY))


_DASK = (
    Option(
        "address",
        ("--address",),
        TEXT,
        "dask",
        "a running scheduler, tcp://host:8786 or tls://host:8786",
        metavar="URL",
        excludes="where",
    ),
    WORKERS.but(
        group="dask",
        help="start that many on this machine, reachable from it alone; auto: one for each GPU",
        default="auto",
        excludes="where",
    ),
    Option(
        "tls_ca",
        ("--tls-ca",),
        TEXT,
        "dask",
        "certificate of the authority that both sides trust (PEM)",
        metavar="FILE",
    ),
    Option("tls_cert", ("--tls-cert",), TEXT, "dask", "this machine's certificate (PEM)", metavar="FILE"),
    Option("tls_key", ("--tls-key",), TEXT, "dask", "and its key, if that lies apart (PEM)", metavar="FILE"),
    Option(
        "worker_path_mapping",
        ("--worker-path-mapping",),
        TEXT,
        "dask",
        "rules from this machine's paths to the workers'; the file as workers see it",
        metavar="FILE",
    ),
    *_without_submitting("dask"),
)

_SLURM = (
    _PROGRAM,
    Option(
        "partition",
        ("--partition",),
        TEXT,
        "SLURM",
        "partition of every job",
        metavar="NAME",
        default="the cluster's",
    ),
    Option("account", ("--account",), TEXT, "SLURM", "account of every job", metavar="NAME", default="yours"),
    Option(
        "qos", ("--qos",), TEXT, "SLURM", "quality of service of every job", metavar="NAME", default="the account's"
    ),
    Option(
        "gres",
        ("--gres",),
        TEXT,
        "SLURM",
        "for training and rendering, such as gpu:a40:1",
        metavar="LIST",
        default="gpu:1 with --gpu",
    ),
    Option(
        "cpus",
        ("--cpus",),
        values.counted("--cpus", 1, "give 1 or more"),
        "SLURM",
        "CPUs of every task",
        metavar="N",
        default="the cluster's",
    ),
    _TASK_MEMORY.but(group="SLURM", help="memory of every task, such as 8G", default="the cluster's"),
    Option(
        "at_once",
        ("--at-once",),
        values.counted("--at-once", 1, "give 1 or more"),
        "SLURM",
        "render no more chunks at the same time",
        metavar="N",
        default="no limit",
    ),
    Option(
        "sbatch",
        ("--sbatch",),
        Kind(takes="many"),
        "SLURM",
        "any other option, as --sbatch=--exclude=n7; repeatable",
        metavar="OPTION",
    ),
    *_without_submitting("SLURM"),
)

_OPENJD = (
    _PROGRAM,
    Option(
        "bundle",
        ("--bundle",),
        TEXT,
        "Open Job Description",
        "where the job bundle goes",
        metavar="DIR",
        default="farm/openjd in the work folder",
    ),
    Option(
        "session",
        ("--session",),
        SWITCH,
        "Open Job Description",
        "a resident worker renders all chunks of a session, with the look loaded once",
    ),
    *_without_submitting("Open Job Description"),
)

_OPENCUE = (
    _PROGRAM,
    Option(
        "show",
        ("--show",),
        TEXT,
        "OpenCue",
        "the show, which Cuebot must know",
        metavar="NAME",
        default="$SHOW, else testing",
    ),
    Option(
        "cue_shot",
        ("--cue-shot",),
        TEXT,
        "OpenCue",
        "the shot's name there",
        metavar="NAME",
        default="$SHOT, else the plan's",
    ),
    Option("user", ("--user",), TEXT, "OpenCue", "who the frames run as, not root", metavar="NAME", default="you"),
    Option("facility", ("--facility",), TEXT, "OpenCue", "the facility", metavar="NAME", default="the show's"),
    Option(
        "service",
        ("--service",),
        TEXT,
        "OpenCue",
        "the service of every layer",
        metavar="NAME",
        default="default",
    ),
    Option(
        "tags",
        ("--tags",),
        TEXT,
        "OpenCue",
        'hosts to run on: "general | gpu"',
        metavar="NAMES",
        default="the service's",
    ),
    _PRIORITY.but(group="OpenCue", default="Cuebot's"),
    _TASK_MEMORY.but(group="OpenCue", help="memory of every frame, such as 8g", default="the service's"),
    *_without_submitting("OpenCue"),
)

_DEADLINE = (
    _PROGRAM,
    Option("pool", ("--pool",), TEXT, "Deadline 10", "pool of every job", metavar="NAME", default="none"),
    Option("group", ("--group",), TEXT, "Deadline 10", "group of every job", metavar="NAME", default="none"),
    _PRIORITY.but(group="Deadline 10", help="0 to 100", default="the repository's"),
    *_without_submitting("Deadline 10"),
)

OPTIONS_OF_ENGINE: Mapping[str, tuple[Option, ...]] = MappingProxyType(
    {"dask": _DASK, "slurm": _SLURM, "openjd": _OPENJD, "opencue": _OPENCUE, "deadline10": _DEADLINE}
)
"""What ``submit --engine NAME`` takes beside its own options."""
