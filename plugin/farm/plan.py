"""What a shot takes, as data: the verbs to call, in which order, and how their frames are cut into chunks.

The plan knows no engine. Its paths are absolute, its words are what follows ``paintover`` on a command line, and its
frames are in our own dialect. Every step is one command that may run any number of times: what is done stays done.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.base.errors import InputError
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.color.paintings import check_painting_space
from engine.images.provenance import file_sha256
from engine.rendering.render import read_card
from engine.shot.shot import Shot
from plugin.arguments.command_line import command_line
from plugin.arguments.farm_options import SHARD
from plugin.arguments.image_limit import active_limit
from plugin.arguments.ocio_variable import active_config
from plugin.arguments.options import Options
from plugin.arguments.preflight import (
    check_keyframes,
    check_look_output,
    check_mattes,
    check_out,
    check_painting_sizes,
    check_plate,
    check_spaces,
    prepare_folder,
)
from plugin.arguments.request import (
    carried_from,
    encoding_from,
    look_from,
    out_from,
    painted_from,
    shot_from,
    work_from,
)
from plugin.arguments.table import FRAMES
from plugin.phases.sidecars import chains
from plugin.phases.training import check_asked_recipe, job_from
from plugin.training.record import fingerprint, is_current

__all__ = ["DEFAULT_FRAME_S", "START_S", "FarmPlan", "FarmStep", "chunked", "frames_per_chunk", "plan_from", "program"]

START_S = 4.3
"""Seconds that a renderer takes before its first frame, as measured on two cores."""
DEFAULT_FRAME_S = 5.0
"""Seconds that a frame is taken to need where nobody has measured it."""

_START_SHARE = 0.05
"""Of a chunk's time, the most that starting may take."""
_LONGEST_CHUNK_S = 900.0
"""What a lost machine may cost."""
_CHUNKS_PER_WORKER = 4
"""So many, so that slow machines leave work to fast ones, unless"""
_SHARING_SHARE = 0.2
"""starting them takes more than this of a worker's time; then fewer."""
_TRAINING_SLACK_S = 900.0
"""For loading, export and its self-check, beside the budget."""
_RETRIES = 2
_PROGRESS = "lines"
"""An engine that wants another protocol adds --progress once more: the last one counts."""
_VERIFY_FRAMES = 250
"""Of a task, where there are more than twice as many."""
_DENOISE_FRAMES, _DENOISE_SHARDS = 10, 32
"""Frames that are worth a task of their own, and the most such tasks; STMaps are one task for each keyframe and way."""


@dataclass(frozen=True)
class FarmStep:
    """One verb, run as one task or as many side by side.

    Raises:
        InputError: chunks and shards both, a negative number of retries, or a time that is no time.
    """

    name: str
    """train, prepare, render or verify."""
    command: tuple[str, ...]
    """The words after ``paintover``, the verb first, without frames and without a placeholder of any engine."""
    frames: str
    """All frames of the step, in our dialect."""
    chunks: tuple[str, ...] = ()
    """What each task's ``--frames`` says, in our dialect; empty where every task gets ``frames``."""
    shards: int = 1
    """Tasks that all get ``frames`` and ``--shard=1/N`` to ``--shard=N/N``, where there are no chunks."""
    needs: tuple[str, ...] = ()
    """Names of the steps that must have succeeded, all their tasks, before one of these starts."""
    needs_gpu: bool = False
    """Whether a task wants a GPU for itself."""
    timeout_s: float | None = None
    """Seconds after which a task may be ended; None for no limit."""
    retries: int = _RETRIES
    """How often a task that failed with exit code 1, or lost its machine, is tried again. Code 2 never helps."""

    def __post_init__(self) -> None:
        if self.shards < 1 or (self.chunks and self.shards > 1):
            raise InputError(f"step {self.name}: {self.shards} shards of {len(self.chunks)} chunks cannot be")
        if self.retries < 0 or (self.timeout_s is not None and not 0 < self.timeout_s < math.inf):
            raise InputError(f"step {self.name}: {self.retries} retries within {self.timeout_s} s cannot be")

    @property
    def tasks(self) -> int:
        """How many tasks the step is."""
        return len(self.chunks) or self.shards

    def words(self, task: int) -> tuple[str, ...]:
        """The words after ``paintover`` of one task, counted from 0.

        ``--frames=`` is one word: a negative range would be taken for an option.
        """
        if not 0 <= task < self.tasks:
            raise IndexError(f"step {self.name} has {self.tasks} tasks, no task {task}")
        if self.chunks:
            return (*self.command, FRAMES.word(self.chunks[task]))
        shard = (SHARD.word(f"{task + 1}/{self.shards}"),) if self.shards > 1 else ()
        return (*self.command, FRAMES.word(self.frames), *shard)


@dataclass(frozen=True)
class FarmPlan:
    """A shot as steps; see :func:`plan_from`."""

    name: str
    """For people and for job names: letters, digits, dots, dashes and underscores."""
    steps: tuple[FarmStep, ...]
    """In an order in which they may run one after the other."""
    frames: FrameRange
    """Those to render."""
    work: Path
    """The work folder."""
    look: Path
    """The look, which the step train writes where there is one."""
    out: SequencePath
    """Where frames go."""
    inputs: tuple[str, ...]
    """Files and patterns that must be there before: plate, paintings, mattes, and the look where none is trained."""

    def step(self, name: str) -> FarmStep | None:
        """The step of that name, if the shot needs it."""
        return next((step for step in self.steps if step.name == name), None)


def program() -> tuple[str, ...]:
    """What calls ``paintover`` on this machine and on those that share its environment."""
    return (sys.executable, "-m", "plugin")


def frames_per_chunk(
    frames: int, frame_s: float, *, start_s: float = START_S, workers: int | None = None, most: int | None = None
) -> int:
    """How many frames a chunk should have.

    Enough that starting takes at most a twentieth of its time, few enough that a lost machine costs at most a quarter
    of an hour and that every worker gets several if starting them pays, but never more chunks than the engine takes.

    Args:
        frames: of the whole job.
        frame_s: seconds that one frame takes on one machine.
        start_s: seconds that a renderer takes before its first frame.
        workers: machines, where known.
        most: chunks that the engine takes.

    Raises:
        InputError: not a time.
    """
    if not 0 < frame_s < math.inf:
        raise InputError(f"a frame of {frame_s} s cannot be planned for", remedy="give --frame-time in seconds")
    size = math.ceil(start_s / (_START_SHARE * frame_s))
    if workers:
        each = frames / workers
        rounds = min(_CHUNKS_PER_WORKER, int(_SHARING_SHARE * each * frame_s / start_s)) if start_s else 1
        size = min(size, math.ceil(each / max(1, rounds)))
    size = min(size, int(_LONGEST_CHUNK_S / frame_s), frames)
    return max(1, size, math.ceil(frames / most) if most else 1)


def chunked(frames: FrameRange, size: int) -> tuple[str, ...]:
    """Frame ranges of ``size`` frames each, in order; the last may be shorter."""
    numbers = frames.frames
    return tuple(str(FrameRange(numbers[start : start + size])) for start in range(0, len(numbers), size))


def plan_from(options: Options, *, max_chunks: int | None = None, workers: int | None = None) -> FarmPlan:
    """Check a shot and plan it.

    Without keyframes nothing is trained or carried, and the look must be there. With them, training is left out where
    the look on disk is already the one that it would give.

    Args:
        max_chunks: the most tasks of one step that the engine takes.
        workers: machines, where known.

    Raises:
        PaintoverError: what ``paintover run`` would refuse on this machine, but for its devices, which are not the
            farm's; or more chunks than the engine takes.
    """
    file = None if options.shot is None else Shot.load(options.shot)
    painted = bool(painted_from(options, file))
    shot = shot_from(options, paintings=painted)
    out, work, look = out_from(options, shot), work_from(options, shot), look_from(options, shot)
    config = ColorConfig.active(options.ocio)
    check_spaces(config, [shot.plate.colorspace, shot.out_colorspace])
    for keyframe in shot.keyframes:
        if keyframe.colorspace is not None:
            check_painting_space(config, keyframe.colorspace)
    check_plate(shot.plate)
    check_keyframes(shot.keyframes)
    check_painting_sizes(shot.plate, shot.keyframes, fit=options.fit_paintings)
    check_mattes(shot.matte, shot.plate)
    prepare_folder(work)
    check_out(out, shot.plate, shot.keyframes, shot.matte)
    carried_from(options, out)
    encoding_from(options, shot, out)
    inputs = [_absolute(shot.plate.path.text)]
    inputs += [] if shot.matte is None else [_absolute(shot.matte.path.text)]
    steps: list[FarmStep] = []
    gpu = bool(options.gpu) or shot.device.startswith("cuda")
    if shot.guides and not painted:
        remedy = "add --keyframe FRAME=PAINTING, as the look was trained, or drop --guides"
        raise InputError("guide images follow keyframes, and no keyframe is given", remedy=remedy)
    if painted:
        check_asked_recipe(shot, options)
        inputs += [_absolute(path) for key in shot.keyframes for path in (key.painting, key.matte) if path]
        job = job_from(shot, options)
        if options.fresh or options.resume or not is_current(job, fingerprint(job)):
            check_look_output(look)
            steps.append(_train(shot, options, look, work, gpu))
    if (painted and shot.stmaps) or shot.denoise or shot.guides:
        prepare = _prepare(shot, options, work)
        # Training looks at denoised frames and guide images, but not at STMaps.
        first = bool(shot.denoise or shot.guides)
        steps = [prepare, *(replace(step, needs=("prepare",)) for step in steps)] if first else [*steps, prepare]
    if not any(step.name == "train" for step in steps):
        read_card(look)
        inputs.append(_absolute(look))
    chunks = _chunks(shot, options, max_chunks, workers)
    rendered_with = _rendered_with(shot, options, look, work, out)
    seconds = None if options.timeout is None else options.timeout * _longest(chunks) + _TRAINING_SLACK_S
    render = _command(
        "render",
        **rendered_with,
        **_machine(shot, options),
        timeout=options.timeout,
        expect_look="trained" if painted else file_sha256(look),
        expect_stmaps=painted and shot.stmaps,
        expect_prepared=any(step.name == "prepare" for step in steps),
        overwrite=options.overwrite,
    )
    all_frames = str(shot.plate.frames)
    retries = _RETRIES if options.retries is None else options.retries
    before = tuple(step.name for step in steps)
    steps.append(FarmStep("render", render, all_frames, chunks, needs=before, needs_gpu=gpu, timeout_s=seconds))
    verify = _command("verify", **rendered_with, progress=_PROGRESS)
    # Verifying reads all that rendering read: one machine would take longer for it than many for the frames.
    parts = chunked(shot.plate.frames, _VERIFY_FRAMES) if len(shot.plate.frames) > 2 * _VERIFY_FRAMES else ()
    steps.append(FarmStep("verify", verify, all_frames, parts, needs=("render",)))
    steps = [replace(step, retries=retries) for step in steps]
    return FarmPlan(
        name=_name(options, look),
        steps=tuple(steps),
        frames=shot.plate.frames,
        work=Path(_absolute(work)),
        look=Path(_absolute(look)),
        out=SequencePath.parse(_absolute(out.text)),
        inputs=tuple(inputs),
    )


def _command(verb: str, **values: object) -> tuple[str, ...]:
    return tuple(command_line(verb, values))


def _train(shot: Shot, options: Options, look: Path, work: Path, gpu: bool) -> FarmStep:
    words = _command(
        "train",
        **_plate(shot, options),
        keyframes=[keyframe.with_paths(_absolute) for keyframe in shot.keyframes],
        look=_absolute(look),
        work=_absolute(work),
        budget=shot.budget_s,
        steps=shot.steps,
        seed=shot.seed,
        denoise=shot.denoise,
        guides=shot.guides,
        recipe=options.recipe,
        augment=options.augment,
        settings=options.settings and _absolute(options.settings),
        crisp=options.crisp,
        features=options.features and _file(options.features),
        fit_paintings=options.fit_paintings,
        unpainted=shot.unpainted,
        resume=options.resume,
        **_machine(shot, options),
    )
    limit_s = None if shot.budget_s is None else shot.budget_s + _TRAINING_SLACK_S
    return FarmStep("train", words, str(shot.plate.frames), needs_gpu=gpu, timeout_s=limit_s)


def _prepare(shot: Shot, options: Options, work: Path) -> FarmStep:
    words = _command(
        "prepare",
        **_plate(shot, options),
        keyframe_numbers=[keyframe.frame for keyframe in shot.keyframes],
        work=_absolute(work),
        **_matte(shot),
        vectors=options.vectors and _absolute(options.vectors),
        backward_vectors=options.backward_vectors and _absolute(options.backward_vectors),
        no_repaint=not shot.repaint,
        denoise=shot.denoise,
        guides=shot.guides,
        threads=options.threads,
        progress=_PROGRESS,
    )
    frames = shot.plate.frames
    parts = len(chains(frames, [keyframe.frame for keyframe in shot.keyframes]))
    if shot.denoise:
        parts = max(parts, min(_DENOISE_SHARDS, math.ceil(len(frames) / _DENOISE_FRAMES)))
    return FarmStep("prepare", words, str(frames), shards=max(1, parts))


def _chunks(shot: Shot, options: Options, most: int | None, workers: int | None) -> tuple[str, ...]:
    frames = shot.plate.frames
    if options.chunk is None:
        seconds = DEFAULT_FRAME_S if options.frame_time is None else options.frame_time
        return chunked(frames, frames_per_chunk(len(frames), seconds, workers=workers, most=most))
    chunks = chunked(frames, options.chunk)
    if most is not None and len(chunks) > most:
        least = math.ceil(len(frames) / most)
        why = f"{len(frames)} frames in chunks of {options.chunk} are {len(chunks)} tasks, and {most} is the limit here"
        raise InputError(why, remedy=f"give --chunk {least} or more")
    return chunks


def _longest(chunks: Sequence[str]) -> int:
    return max(len(FrameRange.parse(chunk)) for chunk in (chunks[0], chunks[-1]))


def _rendered_with(shot: Shot, options: Options, look: Path, work: Path, out: SequencePath) -> dict[str, object]:
    return {
        **_plate(shot, options),
        "look": _absolute(look),
        "out": _absolute(out.text),
        "work": _absolute(work),
        **_matte(shot),
        "tile": shot.tile,
        "out_colorspace": shot.out_colorspace,
        "depth": shot.depth,
        "compression": shot.compression,
        "tensorrt": options.tensorrt,
        "no_stmaps": not shot.stmaps,
        "denoise": shot.denoise,
        "carried": options.carried,
        "softness": options.softness or None,
    }


def _plate(shot: Shot, options: Options) -> dict[str, object]:
    return {
        "plate": _absolute(shot.plate.path.text),
        "colorspace": shot.plate.colorspace,
        "layer": shot.plate.path.layer or None,
        "ocio": active_config(options.ocio),
        "max_image_gib": active_limit(options.max_image_gib),
    }


def _matte(shot: Shot) -> dict[str, object]:
    if shot.matte is None:
        return {}
    return {"matte": _absolute(shot.matte.path.text), "matte_use": shot.matte.use}


def _machine(shot: Shot, options: Options) -> dict[str, object]:
    device = None if shot.device == "auto" else shot.device
    return {"device": device, "threads": options.threads, "progress": _PROGRESS}


def _file(text: str) -> str:
    return _absolute(text) if Path(text).exists() else text


def _name(options: Options, look: Path) -> str:
    stem = Path(options.shot).stem if options.shot else look.stem
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-") or "paintover"


def _absolute(path: Path | str) -> str:
    # Not resolve(): a link in a path is the artist's choice, and a pattern is no file.
    return os.path.abspath(path)  # noqa: PTH100
