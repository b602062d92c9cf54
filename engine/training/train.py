"""``python -m engine.training.train --job JOB.json``: keyframes in, a look out, one JSON event a line on stdout.

Stopping: the first Ctrl-C or SIGTERM finishes the step, saves a checkpoint, exports the best look so far and exits
with 130 or 143; the second exits at once. Every file is replaced atomically, so a kill at any moment loses at most the
time since the last checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.base.errors import Interrupted, PaintoverError
from engine.base.events import Emit, failed_event, open_events
from engine.base.frames import FrameRange
from engine.base.temporaries import clean_temporaries
from engine.color.config import ColorConfig
from engine.motion.stmap import find_sidecars, read_sidecars
from engine.training.checkpoint import damaged, load_checkpoint, save_checkpoint
from engine.training.data.keyframes import LoadedKeyframe, load_guide, load_keyframes, load_plate
from engine.training.export.look import write_look
from engine.training.job.job import Settings, TrainingJob
from engine.training.job.limits import OWN_RECIPE
from engine.training.job.recipe_settings import REVISION
from engine.training.machine import Machine
from engine.training.model.features import load_features
from engine.training.model.losses import WashoutGuard, texture_energy
from engine.training.model.texler import DEEP_LAYERS
from engine.training.preview import Preview
from engine.training.recipes import PaintoverRecipe, Recipe, TexlerRecipe

__all__ = ["Emit", "Trained", "main", "train"]

log = logging.getLogger(__name__)

PADDING = 8
"""Keyframes are padded to multiples of this; it serves every recipe."""
REPORT_EVERY_S = 0.5
PREVIEW_EVERY_S = 8.0
CHECKPOINT_EVERY_S = 20.0
PREVIEW_SHARE = 0.05
"""Largest share of the time that previews may take."""
GUARD_FROM = 0.5
"""Share of the run after which fading texture can stop it."""
GUARD_CHECKS = 12
"""Looks at the texture over the rest of the run."""
GUARD_FROM_STEP = 300
"""Before this many steps a run is still finding its texture."""


@dataclass(frozen=True)
class Trained:
    """What a run reached."""

    look: Path
    steps: int
    seconds: float
    loss: float
    check_error: float
    """Largest difference between the look and the network, working encoding."""
    stopped: str
    """``done``, ``washout`` or ``interrupted``."""


class StopFlag:
    """Set by the first Ctrl-C or SIGTERM; the second ends the process at once."""

    def __init__(self) -> None:
        self.exit_code = 0

    def install(self) -> None:
        """Take over the signals that this platform has."""
        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None:
                signal.signal(number, self._on_signal)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        code = 143 if signum == signal.SIGTERM else 130
        if self.exit_code:
            os._exit(code)
        self.exit_code = code


class Clock:
    """Elapsed seconds and steps against the budget, across resumed runs."""

    def __init__(self, job: TrainingJob) -> None:
        self.budget_s, self.steps = job.budget_s, job.steps
        self.step, self.spent_s = 0, 0.0
        self._started = time.perf_counter()
        self._first_step = 0

    def resume(self, step: int, spent_s: float) -> None:
        self.step = self._first_step = step
        self.spent_s = spent_s

    @property
    def elapsed_s(self) -> float:
        return self.spent_s + time.perf_counter() - self._started

    @property
    def progress(self) -> float:
        done = self.step / self.steps if self.steps is not None else self.elapsed_s / (self.budget_s or 1.0)
        return min(done, 1.0)

    @property
    def steps_per_s(self) -> float:
        return (self.step - self._first_step) / max(time.perf_counter() - self._started, 1e-6)

    @property
    def left_s(self) -> float | None:
        if self.budget_s is not None:
            return max(self.budget_s - self.elapsed_s, 0.0)
        return (self.steps - self.step) / self.steps_per_s if self.steps and self.steps_per_s > 0 else None


def train(job: TrainingJob, emit: Emit, stop: StopFlag | None = None, settings: Settings | None = None) -> Trained:
    """Train a look and write it.

    Args:
        job: what to train from and where to write.
        emit: receives one dict per event, see :mod:`engine.base.events`: phase, progress, note, warning.
        stop: polled every step.
        settings: our recipe's settings, for experiments; else the recipe's own with the job's values.

    Raises:
        InputError, ImageError, ColorError, DeviceError: wrong input; nothing was written.
        ExportError: the look failed its check; the checkpoint remains.
        OutputError: disk full or no permission.
    """
    stop = stop or StopFlag()
    settings = settings or Settings().with_values(job.settings or {})
    settings = replace(settings, crisp=settings.crisp or job.crisp)
    config = ColorConfig.active(job.ocio)
    machine = Machine.choose(job.device, job.threads)
    keyframes = load_keyframes(job, config)
    torch.manual_seed(job.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    rng = np.random.default_rng(job.seed)
    recipe = build_recipe(job, settings, keyframes, machine, rng, emit)
    folder = job.checkpoint.parent
    inputs_sha256 = digest_inputs(job, settings, keyframes)
    for place in (folder, job.work, job.look.parent):
        clean_temporaries(place)
    clock = Clock(job)
    state: dict[str, Any] | None = None
    if job.resume:
        state = load_checkpoint(folder, recipe, inputs_sha256)
        if state is None:
            emit({"event": "note", "text": "no checkpoint to resume from; training starts afresh"})
        else:
            try:
                rng.bit_generator.state = state["random"]
                clock.resume(int(state["step"]), float(state["elapsed_s"]))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise damaged(folder, f"{type(error).__name__} in its state") from error
            emit({"event": "note", "text": f"resumed at step {clock.step}, after {clock.spent_s:.0f} s"})
    probe_frame = unpainted_frame(job)
    probe = keyframes[0].plate if probe_frame is None else load_plate(job, probe_frame, config)[0]
    emit({"event": "phase", "phase": "train", "steps": job.steps, "budget_s": job.budget_s, "look": str(job.look)})
    maps = carried_to(job, keyframes, probe_frame, probe.shape[:2])
    guide = keyframes[0].guide if probe_frame is None else load_guide(job, probe_frame, probe.shape[:2])
    run = _Run(job, recipe, machine, keyframes, probe, maps, guide, config, emit, clock, folder, inputs_sha256, rng)
    if state is not None:
        run.restore(state)
    stopped = run.loop(stop)
    seconds = clock.elapsed_s
    run.checkpoint()
    card = {
        "name": job.look.stem,
        "working_colorspace": config.working,
        "ocio_config": config.name,
        "keyframes": [
            {"frame": k.frame, "exemplar_sha256": k.sha256, "width": k.weight.shape[1], "height": k.weight.shape[0]}
            for k in keyframes
        ],
        "trained": {
            "recipe": job.recipe,
            "steps": clock.step,
            "seconds": round(seconds, 3) if job.steps is None else 0.0,
            "seed": job.seed,
            "loss": run.losses.get("loss", 0.0),
            "losses": {k: v for k, v in run.losses.items() if k != "loss"},
        },
        "plate_colorspace": keyframes[0].plate_colorspace,
        "paint_colorspace": keyframes[0].paint_colorspace,
        **{name: value for name, value in (("guide_kind", job.guides), ("denoise", job.denoise)) if value is not None},
    }
    net = run.best_network()
    exemplars, first = [k.exemplar for k in keyframes], keyframes[0]
    difference = write_look(job.look, net, exemplars, card, first.plate, first.guide)
    if stopped != "interrupted":
        run.refresh_preview(net)
    loss = run.losses.get("loss", 0.0)
    return Trained(job.look, clock.step, seconds, loss, difference, stopped)


def build_recipe(
    job: TrainingJob,
    settings: Settings,
    keyframes: list[LoadedKeyframe],
    machine: Machine,
    rng: np.random.Generator,
    emit: Emit,
) -> Recipe:
    """The recipe that a job names, with its keyframes on the device."""
    pairs = [k.pair(machine.device, PADDING) for k in keyframes]
    deep = load_features(job.features, DEEP_LAYERS) if job.features else None
    if job.recipe == OWN_RECIPE:
        if deep is None:
            note = "trained without deep features: they sharpen fine texture a little; give --features to use a VGG"
            emit({"event": "note", "text": note})
        elif not settings.deep:
            settings = replace(settings, deep=2.0)
        return PaintoverRecipe(pairs, settings, machine, rng, deep)
    if deep is None:
        lacking = f"{job.recipe} without --features lacks its deep-feature loss and is not the published configuration"
        emit({"event": "warning", "text": lacking})
    return TexlerRecipe(pairs, machine, rng, deep, full_frame=job.recipe.endswith("fullframe"))


def digest_inputs(job: TrainingJob, settings: Settings, keyframes: list[LoadedKeyframe]) -> str:
    """SHA-256 over what makes two runs the same training, the length of the run aside."""
    digest = hashlib.sha256()
    facts = {"recipe": job.recipe, "seed": job.seed, "features": job.features, "settings": asdict(settings)}
    if job.recipe == OWN_RECIPE:
        facts["network"] = REVISION
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for keyframe in keyframes:
        digest.update(f"{keyframe.frame}".encode())
        for array in (keyframe.plate, keyframe.painting, keyframe.weight, keyframe.guide):
            if array is None:
                continue
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def unpainted_frame(job: TrainingJob) -> int | None:
    """The frame farthest from every keyframe; None where all are painted."""
    painted = [k.frame for k in job.keyframes]
    frames = [f for f in FrameRange.parse(job.frames) if f not in painted]
    return max(frames, key=lambda f: min(abs(f - p) for p in painted)) if frames else None


def carried_to(
    job: TrainingJob, keyframes: list[LoadedKeyframe], frame: int | None, size: tuple[int, ...]
) -> np.ndarray | None:
    """The STMaps (H, W, 3K) of an unpainted frame, as rendering would read them; None where there are none."""
    if frame is None:
        return None
    sidecars = find_sidecars(job.work, [k.frame for k in keyframes], frame)
    return read_sidecars(sidecars, size[0], size[1], frame=frame)


@dataclass
class _Run:
    """The loop's state."""

    job: TrainingJob
    recipe: Recipe
    machine: Machine
    keyframes: list[LoadedKeyframe]
    probe: np.ndarray
    probe_stmap: np.ndarray | None
    probe_guide: np.ndarray | None
    config: ColorConfig
    emit: Emit
    clock: Clock
    folder: Path
    inputs_sha256: str
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.losses: dict[str, float] = {}
        exemplars = [k.exemplar for k in self.keyframes]
        path = self.job.work / "preview.png"
        self.preview = Preview(
            path, self.keyframes[0], self.probe, self.config, exemplars, self.probe_stmap, self.probe_guide
        )
        self.guard = WashoutGuard()
        self.kept: dict[str, Tensor] | None = None
        first = self.keyframes[0].pair(torch.device("cpu"), PADDING)
        self.exemplar_energy = texture_energy(first.painting[None], first.weight[None])
        self._next_guard = GUARD_FROM

    def loop(self, stop: StopFlag) -> str:
        now = time.perf_counter()
        next_report, next_checkpoint = now, now + CHECKPOINT_EVERY_S
        next_preview = now + PREVIEW_EVERY_S / 4
        losses: Mapping[str, Tensor] = {}
        stopped = "washout" if self.guard.stop else "done"
        while self.clock.progress < 1.0 and stopped == "done":
            if stop.exit_code:
                stopped = "interrupted"
                break
            losses = self.recipe.step(self.clock.progress)
            self.clock.step += 1
            now = time.perf_counter()
            if now >= next_report:
                self._report(losses)  # a sync point
                next_report = now + REPORT_EVERY_S
            if self.job.preview and now >= next_preview:
                cost_s = self.refresh_preview(self.recipe.result())
                next_preview = time.perf_counter() + max(PREVIEW_EVERY_S, cost_s / PREVIEW_SHARE)
            if now >= next_checkpoint:
                self.checkpoint()
                next_checkpoint = time.perf_counter() + CHECKPOINT_EVERY_S
            settled = self.clock.step >= GUARD_FROM_STEP and self.clock.progress >= self._next_guard
            if settled and self._texture_faded():
                stopped = "washout"
                break
        if losses:
            self._report(losses)
        return stopped

    def _report(self, losses: Mapping[str, Tensor]) -> None:
        names = list(losses)
        values = torch.stack([losses[n].float() for n in names]).tolist()  # a sync point
        self.losses = dict(zip(names, values, strict=True))
        clock = self.clock
        left_s = clock.left_s
        self.emit(
            {
                "event": "progress",
                "fraction": round(clock.progress, 4),
                "step": clock.step,
                "steps": self.job.steps,
                "loss": round(self.losses["loss"], 5),
                "steps_per_s": round(clock.steps_per_s, 2),
                "elapsed_s": round(clock.elapsed_s, 2),
                "left_s": None if left_s is None else round(left_s, 1),
            }
        )

    def refresh_preview(self, net: nn.Module) -> float:
        """Write the preview strip; returns its cost in seconds."""
        began = time.perf_counter()
        net.eval()
        self.preview.write(net)
        self._tell(preview=str(self.preview.path))
        return time.perf_counter() - began

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.losses = {str(name): float(loss) for name, loss in state["losses"].items()}
        self.guard.restore(state["guard"])
        self._next_guard = float(state["next_guard"])
        self.kept = state["kept"]

    def checkpoint(self) -> None:
        state = {
            "inputs_sha256": self.inputs_sha256,
            "step": self.clock.step,
            "elapsed_s": self.clock.elapsed_s,
            "recipe": self.job.recipe,
            "random": self.rng.bit_generator.state,
            "losses": self.losses,
            "guard": self.guard.state(),
            "next_guard": self._next_guard,
        }
        path = save_checkpoint(self.folder, self.recipe, state, self.kept if self.guard.faded else None)
        self._tell(checkpoint=str(path))

    def _tell(self, **facts: str) -> None:
        self.emit({"event": "progress", "fraction": round(self.clock.progress, 4), **facts})

    def _texture_faded(self) -> bool:
        """Look at the texture on an unpainted frame; remember the weights while it lasts."""
        self._next_guard = self.clock.progress + (1 - GUARD_FROM) / GUARD_CHECKS
        net = self.recipe.result()
        shown = torch.from_numpy(self.preview.probe_result(net)).permute(2, 0, 1)[None]
        ratio = texture_energy(shown) / max(self.exemplar_energy, 1e-6)
        if self.guard.observe(ratio):
            self.kept = {k: v.detach().clone() for k, v in net.state_dict().items()}
        if self.guard.stop:
            note = "stopped early: the texture began to wash out; the best look is kept"
            self.emit({"event": "note", "text": note})
            return True
        return False

    def best_network(self) -> nn.Module:
        """The network to export: the current one, or the one from before its texture faded."""
        net = self.recipe.result().eval()
        if self.guard.faded and self.kept is not None:
            net.load_state_dict(self.kept)
        return net


def main(arguments: list[str] | None = None) -> int:
    """Run a job file; events go to stdout, one JSON object a line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.training.train", description="Train a look from a job.")
    parser.add_argument("--job", required=True, type=Path, help="the job, JSON")
    options = parser.parse_args(arguments)
    emit = open_events()
    stop = StopFlag()
    stop.install()
    try:
        done = train(TrainingJob.load(options.job), emit, stop)
        emit(
            {
                "event": "finished",
                "look": str(done.look),
                "steps": done.steps,
                "seconds": round(done.seconds, 2),
                "loss": done.loss,
                "check_error": done.check_error,
                "interrupted": done.stopped == "interrupted",
            }
        )
        if done.stopped == "interrupted":
            raise Interrupted("training was stopped; the best look so far is kept", exit_code=stop.exit_code)
    except Interrupted as error:
        return error.exit_code
    except PaintoverError as error:
        return _fail(emit, error)
    except (RuntimeError, MemoryError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
            message = f"out of memory on {TrainingJob.load(options.job).device}; use --device cpu or a smaller plate"
        return _fail(emit, PaintoverError(message))
    return 0


def _fail(emit: Emit, error: PaintoverError) -> int:
    if os.environ.get("PAINTOVER_DEBUG") == "1":
        traceback.print_exc(file=sys.stderr)
    emit(failed_event(error))
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
