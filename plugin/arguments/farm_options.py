"""The options by which a farm calls the verbs, and by which ``submit`` plans them."""

from __future__ import annotations

from plugin.arguments import values
from plugin.arguments.dialects import DIALECTS
from plugin.arguments.option import SWITCH, TEXT, Option, one_of

__all__ = [
    "CHUNK",
    "EXPECT_LOOK",
    "EXPECT_PREPARED",
    "EXPECT_STMAPS",
    "FRAMES_DIALECT",
    "FRAME_TIME",
    "GPU",
    "PATH_MAPPING",
    "RESIDENT",
    "RETRIES",
    "SHARD",
    "TIMEOUT",
    "WORKERS_ENGINE",
    "WORKERS_ENGINES",
]

WORKERS_ENGINES = ("crew", "dask")
"""What starts the processes of ``run --workers``; the first one unless said otherwise."""

# What a verb that a farm calls takes beside its own

SHARD = Option(
    "shard",
    ("--shard",),
    values.SHARD,
    "on a farm",
    "only the I-th of N equal parts, for farms with no engine",
    metavar="I/N",
)
TIMEOUT = Option(
    "timeout",
    ("--timeout",),
    values.SECONDS,
    "on a farm",
    "a frame that takes longer fails, and the others go on",
    metavar="SECONDS",
    default="no limit",
)
FRAMES_DIALECT = Option(
    "frames_dialect",
    ("--frames-dialect",),
    one_of(*DIALECTS),
    "on a farm",
    f"who wrote --frames: {', '.join(DIALECTS)}",
    metavar="NAME",
    default="fileseq",
)
PATH_MAPPING = Option(
    "path_mapping",
    ("--path-mapping",),
    TEXT,
    "on a farm",
    "rules from the submitting machine's paths to this one's",
    metavar="FILE",
    default="$PAINTOVER_PATH_MAPPING",
)

# What must be there before a frame is rendered

EXPECT_LOOK = Option(
    "expect_look",
    ("--expect-look",),
    TEXT,
    "what must be there",
    "refuse any other look; trained: the one that training recorded in the work folder",
    metavar="SHA256",
)
EXPECT_STMAPS = Option(
    "expect_stmaps",
    ("--expect-stmaps",),
    SWITCH,
    "what must be there",
    "refuse frames that lack the STMap of a keyframe of the look",
)
EXPECT_PREPARED = Option(
    "expect_prepared",
    ("--expect-prepared",),
    SWITCH,
    "what must be there",
    "refuse STMaps, guide images and denoised frames that are not, by hash, what prepare left",
)
RESIDENT = Option(
    "resident",
    ("--resident",),
    TEXT,
    "a resident worker",
    "let the worker at this --socket render, which keeps the look loaded; started where none answers",
    metavar="FILE",
)

# How submit cuts a shot into tasks, and who runs the workers of run

CHUNK = Option(
    "chunk",
    ("--chunk",),
    values.counted("--chunk", 1, "give 1 or more"),
    "tasks",
    "frames in one task",
    metavar="N",
    default="from --frame-time",
)
FRAME_TIME = Option(
    "frame_time",
    ("--frame-time",),
    values.SECONDS,
    "tasks",
    "what a frame takes on one machine",
    metavar="SECONDS",
    default="measured where the engine can, else 5",
)
RETRIES = Option(
    "retries",
    ("--retries",),
    values.counted("--retries", 0, "give 0 or more"),
    "tasks",
    "how often a task that may succeed later is tried again",
    metavar="N",
    default="2",
)
GPU = Option("gpu", ("--gpu",), SWITCH, "tasks", "training and rendering ask the engine for a GPU each")
WORKERS_ENGINE = Option(
    "engine",
    ("--engine",),
    one_of(*WORKERS_ENGINES),
    "several workers",
    f"what runs --workers: {' or '.join(WORKERS_ENGINES)}",
    metavar="NAME",
    default=f"{WORKERS_ENGINES[0]}, which is faster on one machine",
)
