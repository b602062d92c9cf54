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
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from engine.base.errors import Interrupted, PaintoverError
from engine.base.events import Emit, fail, leave, open_events
from engine.base.frames import FrameRange
from engine.base.stop_flag import StopFlag
from engine.base.temporaries import clean_temporaries
from engine.color.config import ColorConfig
from engine.motion.stmap import find_sidecars, read_sidecars
from engine.training.checkpoint import damaged, load_checkpoint, save_checkpoint
from engine.training.clock import FEW_STEPS, Clock
from engine.training.data.keyframes import LoadedKeyframe, load_guide, load_keyframes, load_plate
from engine.training.export.look import CHECK_PIXELS, QUICK_CHECK_PIXELS, write_look
from engine.training.job.job import Settings, TrainingJob
from engine.training.job.limits import FULL_FRAME, OWN_RECIPE
from engine.training.job.recipe_settings import REVISION
from engine.training.machine import Machine
from engine.training.model.features import load_features
from engine.training.model.losses import WashoutGuard, texture_energy
from engine.training.model.texler import DEEP_LAYERS
from engine.training.preview import LARGEST, Preview
from engine.training.recipes import PaintoverRecipe, Recipe, TexlerRecipe
from engine.training.start import GOES_ON_FROM, start_from

__all__ = ["Emit", "Trained", "answer", "main", "next_preview_s", "train"]

log = logging.getLogger(__name__)

PADDING = 8
"""Keyframes are padded to multiples of this; it serves every recipe."""
REPORT_EVERY_S = 0.5
CHECKPOINT_EVERY_S = 20.0
PREVIEWS = ((15.0, 2.0, 0.2), (math.inf, 8.0, 0.05))
"""Up to so many seconds of training: seconds between previews, and the largest share of the time that they may take."""
_WRITING_S = 0.5
"""For checkpoint, look and loading it into onnxruntime."""
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


def next_preview_s(trained_s: float, cost_s: float) -> float:
    """Seconds until the next preview, after so many of training and a last preview that cost so many."""
    return next(max(every_s, cost_s / share) for until_s, every_s, share in PREVIEWS if trained_s < until_s)


def train(
    job: TrainingJob,
    emit: Emit,
    stop: StopFlag | None = None,
    settings: Settings | None = None,
    began_s: float | None = None,
) -> Trained:
    """Train a look and write it.

    Args:
        job: what to train from and where to write.
        emit: receives one dict per event, see :mod:`engine.base.events`: phase, progress, note, warning.
        stop: polled every step.
        settings: our recipe's settings, for experiments; else the recipe's own with the job's values.
        began_s: when the budget began to run, by ``time.perf_counter``; None for now.

    Raises:
        Interrupted: a stop was asked for before the first step; nothing was written.
        InputError, ImageError, ColorError, DeviceError: wrong input; nothing was written.
        ExportError: the look failed its check; the checkpoint remains.
        OutputError: disk full or no permission.
    """
    stop = stop or StopFlag()
    clock = Clock(job, began_s)
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
    if job.start is not None and state is None:
        emit({"event": "note", "text": start_from(job.start, recipe, keyframes)})
    probe_frame = unpainted_frame(job)
    probe = keyframes[0].plate if probe_frame is None else load_plate(job, probe_frame, config)[0]
    emit({"event": "phase", "phase": "train", "steps": job.steps, "budget_s": job.budget_s, "look": str(job.look)})
    exemplars, first = [k.exemplar for k in keyframes], keyframes[0]
    preview = Preview(
        job.work / "preview.png",
        first,
        probe,
        config,
        exemplars,
        carried_to(job, keyframes, probe_frame, probe.shape[:2]),
        first.guide if probe_frame is None else load_guide(job, probe_frame, probe.shape[:2]),
        probe_frame=probe_frame,
        keyframe_stmap=carried_to(job, keyframes, first.frame, first.plate.shape[:2]),
    )
    run = _Run(job, recipe, machine, keyframes, preview, emit, clock, folder, inputs_sha256, rng)
    if state is not None:
        run.restore(state)
    stopped = run.loop(stop)
    seconds = clock.elapsed_s
    if stopped == "interrupted" and not run.has_stepped:
        raise Interrupted("training was stopped before its first step", exit_code=stop.exit_code)
    emit({"event": "phase", "phase": "export"})
    run.checkpoint()
    card = look_card(job, config, keyframes, clock.step, seconds, run.losses)
    net = run.best_network()
    check_px = QUICK_CHECK_PIXELS if stop.exit_code else CHECK_PIXELS
    difference = write_look(job.look, net, exemplars, card, first.plate, first.guide, check_px=check_px)
    if job.preview and not stop.exit_code:
        run.refresh_preview(net)
    if job.budget_s is not None and stopped == "done" and clock.step < FEW_STEPS:
        emit({"event": "warning", "text": clock.few_steps()})
    loss = run.losses.get("loss", 0.0)
    return Trained(job.look, clock.step, seconds, loss, difference, stopped)


def look_card(
    job: TrainingJob,
    config: ColorConfig,
    keyframes: list[LoadedKeyframe],
    step: int,
    seconds: float,
    losses: Mapping[str, float],
) -> dict[str, Any]:
    """What a look says of its training; a training of a number of steps says no seconds, so that its bytes stay."""
    return {
        "name": job.look.stem,
        "working_colorspace": config.working,
        "ocio_config": config.name,
        "keyframes": [
            {"frame": k.frame, "exemplar_sha256": k.sha256, "width": k.weight.shape[1], "height": k.weight.shape[0]}
            for k in keyframes
        ],
        "trained": {
            "recipe": job.recipe,
            "steps": step,
            "seconds": round(seconds, 3) if job.steps is None else 0.0,
            "seed": job.seed,
            "loss": losses.get("loss", 0.0),
            "losses": {k: v for k, v in losses.items() if k != "loss"},
        },
        "plate_colorspace": keyframes[0].plate_colorspace,
        "paint_colorspace": keyframes[0].paint_colorspace,
        **{name: value for name, value in (("guide_kind", job.guides), ("denoise", job.denoise)) if value is not None},
    }


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
            emit({"event": "note", "hint": "features", "text": note})
        elif not settings.deep:
            settings = replace(settings, deep=2.0)
        return PaintoverRecipe(pairs, settings, machine, rng, deep)
    if deep is None:
        lacking = f"{job.recipe} without --features lacks its deep-feature loss and is not the published configuration"
        emit({"event": "warning", "text": lacking})
    return TexlerRecipe(pairs, machine, rng, deep, full_frame=job.recipe == FULL_FRAME, augment=job.augment)


def digest_inputs(job: TrainingJob, settings: Settings, keyframes: list[LoadedKeyframe]) -> str:
    """SHA-256 over what makes two runs the same training, the length of the run aside."""
    digest = hashlib.sha256()
    facts = {"recipe": job.recipe, "seed": job.seed, "features": job.features, "settings": asdict(settings)}
    if job.recipe == OWN_RECIPE:
        facts["network"] = REVISION
    if job.augment is not None:
        facts["augment"] = job.augment
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
    """The STMaps (H, W, 3K) of a frame, as rendering would read them; None where there are none."""
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
    preview: Preview
    emit: Emit
    clock: Clock
    folder: Path
    inputs_sha256: str
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.losses: dict[str, float] = {}
        self.guard = WashoutGuard()
        self.kept: dict[str, Tensor] | None = None
        first = self.keyframes[0].pair(torch.device("cpu"), PADDING)
        self.exemplar_energy = texture_energy(first.painting[None], first.weight[None])
        self._next_guard = GUARD_FROM

    def loop(self, stop: StopFlag) -> str:
        self.clock.begin()
        now = began = time.perf_counter()
        next_report, next_checkpoint = now, now + CHECKPOINT_EVERY_S
        # From the first step on: a wrong painting is seen before the wait, and its cost foretells the export's.
        next_preview = now
        began_at = 0.0 if self.job.start is None else GOES_ON_FROM
        losses: Mapping[str, Tensor] = {}
        stopped = "washout" if self.guard.stop else "done"
        while not self.clock.is_over and stopped == "done":
            if stop.exit_code:
                stopped = "interrupted"
                break
            losses = self.recipe.step(began_at + (1 - began_at) * self.clock.progress)
            self.clock.step += 1
            now = time.perf_counter()
            if now >= next_report:
                self._report(losses)  # a sync point
                next_report = now + REPORT_EVERY_S
            if self.job.preview and now >= next_preview and not stop.exit_code:
                cost_s = self.refresh_preview(self.recipe.result())
                self.clock.reserve_s = self._export_s(cost_s)
                now = time.perf_counter()
                next_preview = now + next_preview_s(now - began, cost_s)
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

    @property
    def has_stepped(self) -> bool:
        """Whether there is anything to export."""
        return self.clock.step > 0

    def _export_s(self, preview_s: float) -> float:
        """What export and last preview will take, by what a preview takes: it runs the network over two pictures.

        The export's check runs it over two in torch and over two in onnxruntime.
        """
        height, width = self.keyframes[0].plate.shape[:2]
        shown = min(LARGEST[0], height) * min(LARGEST[1], width)
        return preview_s * (1 + 2 * min(CHECK_PIXELS, height * width) / shown) + _WRITING_S

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
    # Loading torch is a part of what a person waits for.
    began_s = time.perf_counter() - max(0.0, time.time() - psutil.Process().create_time())
    return answer(
        lambda: train(TrainingJob.load(options.job), emit, stop, began_s=began_s),
        emit,
        stop,
        lambda: TrainingJob.load(options.job).device,
    )


def answer(work: Callable[[], Trained], emit: Emit, stop: StopFlag, device: Callable[[], str]) -> int:
    """Train, and say how it ended; returns the exit code."""
    try:
        done = work()
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
        return fail(emit, error)
    except (RuntimeError, MemoryError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
            message = f"out of memory on {device()}; use --device cpu or a smaller plate"
        return fail(emit, PaintoverError(message))
    return 0


if __name__ == "__main__":
    leave(main())
