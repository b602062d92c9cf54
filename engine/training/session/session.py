"""Training session: steps while somebody paints, the frame in view rendered again and again; begin with ``run``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.base.errors import InputError, PaintoverError
from engine.base.events import Emit
from engine.base.frames import FrameRange
from engine.base.temporaries import clean_temporaries
from engine.color.config import ColorConfig
from engine.training.checkpoint import load_checkpoint, save_checkpoint
from engine.training.data.keyframes import LoadedKeyframe, load_keyframe
from engine.training.data.patches import Pair
from engine.training.export.look import QUICK_CHECK_PIXELS, write_look
from engine.training.job.job import PaintedFrame, Settings, TrainingJob
from engine.training.job.limits import OWN_RECIPE
from engine.training.job.session import (
    SESSION_FOLDER,
    Attend,
    Export,
    GoOn,
    Leave,
    LookAt,
    Paint,
    Pause,
    SessionCommand,
    TrainAgain,
)
from engine.training.machine import Machine
from engine.training.recipes import PaintoverRecipe
from engine.training.session.commands import CommandQueue
from engine.training.session.denoiser import Denoiser
from engine.training.session.frames import GivenUp, SessionFrames
from engine.training.session.sampler import FreshPatches, changed_cells
from engine.training.session.schedule import Schedule
from engine.training.train import PADDING, build_recipe, look_card

__all__ = ["TrainingSession"]

CHECKPOINT_EVERY_S = 15.0
REPORT_EVERY_S = 0.5
VIEW_EVERY_S = 1.0
"""Between two renderings of the frame in view while training changes it, and no more than :data:`VIEW_SHARE`."""
VIEW_SHARE = 0.3
"""Largest share of the time that goes into them."""
IDLE_WAIT_S = 1.0
LOOK_QUIET_S = 0.3
"""After another frame came into view nobody trains for so long: most who scrub go on to the next one."""
ATTEND_QUIET_S = 1.5
"""Likewise while a stroke is painted, unless it is heard of again."""
MOST_QUIET_S = 6.0
"""So long at most: then a step is made, whatever goes on."""


class TrainingSession:
    """A network, its optimizers, paintings and tracks, kept in memory between commands."""

    def __init__(self, job: TrainingJob, emit: Emit, commands: CommandQueue, settings: Settings | None = None) -> None:
        """
        Args:
            job: its keyframes are the first :class:`Paint`; ``resume`` goes on from the session's checkpoint.
            settings: our recipe's, for tests; else as the job says.

        Raises:
            InputError: a recipe that a session cannot train.
        """
        if job.recipe != OWN_RECIPE:
            raise InputError(f"a session trains the recipe {OWN_RECIPE} only", remedy="drop --recipe")
        settings = settings or Settings().with_values(job.settings or {})
        self.settings = replace(settings, crisp=settings.crisp or job.crisp)
        self.job, self.emit, self.commands = job, emit, commands
        self.config = ColorConfig.active(job.ocio)
        self.machine = Machine.choose(job.device, job.threads)
        self.denoiser = Denoiser(job)
        self.frames = SessionFrames(job, self.config, self.machine, self.denoiser.has)
        self.plate_frames = FrameRange.parse(job.frames)
        self.folder = job.work / SESSION_FOLDER
        self.schedule = Schedule(job)
        self.recipe: PaintoverRecipe | None = None
        self.revision = 0
        self._loaded: dict[int, tuple[tuple[object, ...], LoadedKeyframe, Pair]] = {}
        self._asked: Paint | None = None
        self._rng = np.random.default_rng(job.seed)
        self._paused = False
        self._view: int | None = None
        self._shown: dict[int, tuple[int, int, bool]] = {}
        """By frame: step and revision of what was written last, and whether it is at half size."""
        self._failed: dict[int, tuple[int, int]] = {}
        self._left = False
        self._losses: dict[str, float] = {}
        self._quiet_until = self._last_step = 0.0
        self._fresh: dict[int, NDArray[np.int64]] = {}
        self._repainted = False
        """Whether the sampler has yet to hear of the paintings."""
        self._next_report = self._next_checkpoint = self._next_view = 0.0
        self._view_s = 0.0

    def run(self) -> None:
        """Until somebody says leave."""
        for place in (self.folder, self.job.work / "desk" / "results"):
            clean_temporaries(place)
        self._do(Paint(self.job.keyframes, unpainted=self.job.unpainted))
        while not self._left:
            self._hear()
            if self._left:
                break
            self._take_denoised()
            now = time.perf_counter()
            if self._render_next(now):
                continue
            if self._trains and not self._is_quiet(now):
                self._step()
        self.denoiser.close()
        self.checkpoint()

    @property
    def keyframes(self) -> list[LoadedKeyframe]:
        """In the order of their numbers."""
        return [self._loaded[frame][1] for frame in sorted(self._loaded)]

    @property
    def _trains(self) -> bool:
        return self.recipe is not None and bool(self._loaded) and not self._paused and not self.schedule.is_over

    @property
    def _state(self) -> str:
        if not self._loaded:
            return "unpainted"
        if self.schedule.is_over:
            return "trained"
        return "paused" if self._paused else "training"

    # Commands

    def _is_quiet(self, now: float) -> bool:
        """Whether somebody paints or scrubs at this moment, and steps wait."""
        return now < self._quiet_until and now - self._last_step < MOST_QUIET_S

    def _hear(self) -> None:
        now = time.perf_counter()
        if self._to_render(now) is not None:
            wait_s = 0.0
        elif self._trains:
            wait_s = max(0.0, self._quiet_until - now) if self._is_quiet(now) else 0.0
        else:
            wait_s = IDLE_WAIT_S
        for command in self.commands.take(wait_s):
            try:
                if isinstance(command, InputError):
                    raise command
                self._do(command)
            except PaintoverError as error:
                self.emit({"event": "warning", "text": str(error)})

    def _do(self, command: SessionCommand) -> None:
        if isinstance(command, LookAt):
            if command.frame not in self.plate_frames:
                raise InputError(f"frame {command.frame} is outside the frame range {self.plate_frames}")
            if command.frame != self._view:
                self._view, self._next_view = command.frame, 0.0
                self._quiet_until = time.perf_counter() + LOOK_QUIET_S
                self._want_denoised()
        elif isinstance(command, Attend):
            self._quiet_until = time.perf_counter() + ATTEND_QUIET_S
        elif isinstance(command, Paint):
            self._paint(command)
        elif isinstance(command, Pause):
            self._paused = True
        elif isinstance(command, GoOn):
            self._paused = False
            if self.schedule.is_over:
                self.schedule.reopen()
        elif isinstance(command, TrainAgain):
            self.schedule, self._paused, self.recipe = Schedule(self.job), False, None
            self._start(fresh=True)
        elif isinstance(command, Export):
            self._export(command.look)
        elif isinstance(command, Leave):
            self._left = True
        self._report()

    def _paint(self, asked: Paint) -> None:
        """Take the paintings as they are now; those that cannot be read are told and left out."""
        self.job, self._asked = msgspec.structs.replace(self.job, unpainted=asked.unpainted), asked
        known, self._loaded = self._loaded, {}
        fresh = {}
        for keyframe in asked.keyframes:
            before = known.get(keyframe.frame)
            try:
                if keyframe.frame not in self.plate_frames:
                    raise InputError(f"keyframe {keyframe.frame} is outside the frame range {self.plate_frames}")
                has_grain = not self.denoiser.has(keyframe.frame)
                stamp = (asked.unpainted, has_grain, *_stamp(keyframe))
                if before is None or before[0] != stamp:
                    # Nobody waits for a denoised plate: it takes the place of the plate when it is there.
                    job = msgspec.structs.replace(self.job, denoise=None) if has_grain else self.job
                    loaded = load_keyframe(job, keyframe, self.config)
                    pair = loaded.pair(self.machine.device, PADDING)
                    fresh[keyframe.frame] = changed_cells(None if before is None else before[2], pair)
                    before = (stamp, loaded, pair)
            except (PaintoverError, OSError) as error:
                self.emit({"event": "warning", "text": str(error), "frame": keyframe.frame})
                continue
            self._loaded[keyframe.frame] = before
        self.revision = asked.revision
        self._next_view = 0.0
        self._want_denoised()
        if not self._loaded:
            return
        if self.recipe is None:
            self._start(fresh=not self.job.resume)
            return
        if self._loaded.keys() == known.keys() and not fresh:
            return
        for frame, cells in fresh.items():
            known_cells = self._fresh.get(frame)
            self._fresh[frame] = (
                cells if known_cells is None else np.unique(np.concatenate([known_cells, cells]), axis=0)
            )
        # Also where nothing was added: what was erased must not be learnt any longer. The sampler hears of it with the
        # next step: first the frame in view is shown.
        self._repainted = True
        self.schedule.reopen()

    def _want_denoised(self) -> None:
        """The keyframes are trained from, and the frame in view is looked at."""
        self.denoiser.want([*sorted(self._loaded), *([] if self._view is None else [self._view])])

    def _take_denoised(self) -> None:
        """Show and learn from what was denoised meanwhile."""
        made = []
        for frame, why in self.denoiser.news():
            if why:
                self.emit({"event": "warning", "text": f"shown with its grain: {why}", "frame": frame})
                continue
            made.append(frame)
            self._shown.pop(frame, None)
            self._failed.pop(frame, None)
        if self._asked is not None and not self._loaded.keys().isdisjoint(made):
            self._paint(self._asked)

    def _take_repainted(self) -> None:
        """Learn from the paintings as they are now."""
        if self._repainted:
            recipe = self._learning()
            self._sampler(recipe).replace(self._pairs(), self._fresh)
            recipe.average_anew()
            self._fresh, self._repainted = {}, False

    def _pairs(self) -> list[Pair]:
        return [self._loaded[frame][2] for frame in sorted(self._loaded)]

    def _start(self, *, fresh: bool) -> None:
        """A network for the paintings there are: from the session's checkpoint where it has one that fits."""
        if not self._loaded:
            return
        torch.manual_seed(self.job.seed)
        recipe = build_recipe(self.job, self.settings, self.keyframes, self.machine, self._rng, self.emit)
        if not isinstance(recipe, PaintoverRecipe):
            raise InputError(f"a session trains the recipe {OWN_RECIPE} only", remedy="drop --recipe")
        recipe.sampler = FreshPatches.of(recipe.sampler)
        self.recipe, self._fresh, self._repainted = recipe, {}, False
        if fresh:
            return
        try:
            state = load_checkpoint(self.folder, recipe, None)
            if state is not None:
                self.schedule.restore(state["schedule"])
                recipe.set_steps(self.schedule.step)
                self.emit({"event": "note", "text": f"goes on at step {self.schedule.step}"})
                if state.get("paintings") != self._paintings():
                    self.schedule.reopen()
        except (PaintoverError, KeyError, TypeError, ValueError) as error:
            self.emit({"event": "warning", "text": f"the session's checkpoint is not gone on with: {error}"})
            self.schedule = Schedule(self.job)
            self.recipe = None
            self._start(fresh=True)

    def _paintings(self) -> dict[str, str]:
        return {str(keyframe.frame): keyframe.sha256 for keyframe in self.keyframes}

    # Training

    def _step(self) -> None:
        began = time.perf_counter()
        self._take_repainted()
        losses = self._learning().step(self.schedule.progress)
        now = self._last_step = time.perf_counter()
        self.schedule.count(now - began)
        if now >= self._next_report or self.schedule.is_over:
            self._take_losses(losses)
            self._report()
            self._next_report = now + REPORT_EVERY_S
        if now >= self._next_checkpoint or self.schedule.is_over:
            if self._next_checkpoint:
                self.checkpoint()
            self._next_checkpoint = time.perf_counter() + CHECKPOINT_EVERY_S

    def _take_losses(self, losses: Mapping[str, Tensor]) -> None:
        values = torch.stack([value.float() for value in losses.values()]).tolist()  # a sync point
        self._losses = dict(zip(losses, values, strict=True))

    def _report(self) -> None:
        schedule = self.schedule
        rate = schedule.step / schedule.trained_s if schedule.trained_s else None
        left_s = schedule.left_s
        self.emit(
            {
                "event": "progress",
                "fraction": round(schedule.progress, 4),
                "state": self._state,
                "step": schedule.step,
                "loss": round(self._losses["loss"], 5) if self._losses else None,
                "steps_per_s": None if rate is None else round(rate, 2),
                "elapsed_s": round(schedule.trained_s, 1),
                "left_s": None if left_s is None else round(left_s, 1),
                "revision": self.revision,
            }
        )

    def checkpoint(self) -> None:
        """Save what a killed process would lose."""
        if self.recipe is None or not self.schedule.step:
            return
        state: dict[str, Any] = {
            "inputs_sha256": "",
            "step": self.schedule.step,
            "elapsed_s": self.schedule.trained_s,
            "recipe": self.job.recipe,
            "losses": self._losses,
            "schedule": self.schedule.state(),
            "paintings": self._paintings(),
        }
        save_checkpoint(self.folder, self.recipe, state)

    # What is shown

    def _to_render(self, now: float) -> tuple[int, bool] | None:
        """The frame to render next, and whether at half size: the one in view, else, at rest, the next one to it."""
        if self.recipe is None or not self._loaded:
            return None
        state = (self.schedule.step, self.revision)
        if self._view is not None and self._failed.get(self._view) != state:
            shown = self._shown.get(self._view)
            if shown is None or shown[1] != self.revision:
                return self._view, True
            if shown[2] or (shown[:2] != state and (now >= self._next_view or not self._trains)):
                return self._view, False
        if self._trains:
            return None
        around = self._view or self.plate_frames.first
        for frame in sorted(self.plate_frames, key=lambda each: abs(each - around)):
            shown = self._shown.get(frame)
            if (shown is None or shown[:2] != state) and self._failed.get(frame) != state:
                return frame, True
        return None

    def _render_next(self, now: float) -> bool:
        found = self._to_render(now)
        if found is None:
            return False
        frame, proxy = found
        state = (self.schedule.step, self.revision)
        began = time.perf_counter()
        try:
            give_up = self.commands.has_any
            path = self.frames.render(self._network(), self.keyframes, frame, proxy=proxy, give_up=give_up)
        except GivenUp:
            return True
        except (PaintoverError, OSError) as error:
            self._failed[frame] = state
            self.emit({"event": "warning", "text": str(error), "frame": frame})
            return True
        cost_s = time.perf_counter() - began
        self._shown[frame] = (*state, proxy)
        if frame == self._view:
            self._next_view = time.perf_counter() + max(VIEW_EVERY_S - cost_s, cost_s / VIEW_SHARE)
        facts = {"frame": frame, "proxy": proxy, "step": state[0], "revision": state[1], "cost_s": round(cost_s, 3)}
        fraction = round(self.schedule.progress, 4)
        self.emit({"event": "progress", "fraction": fraction, "shown": {**facts, "path": str(path)}})
        return True

    def _network(self) -> nn.Module:
        """The network to show: the averaged one, which is a plain copy until it has averaged anything."""
        return self._learning().result().eval()

    def _learning(self) -> PaintoverRecipe:
        if self.recipe is None:
            raise RuntimeError("there is no network while nothing is painted")
        return self.recipe

    @staticmethod
    def _sampler(recipe: PaintoverRecipe) -> FreshPatches:
        if not isinstance(recipe.sampler, FreshPatches):
            raise RuntimeError("a session's sampler takes other paintings")
        return recipe.sampler

    def _export(self, look: Path) -> None:
        if self.recipe is None or not self._loaded or not self.schedule.step:
            raise InputError("there is nothing to export yet", remedy="paint a frame and let it train")
        # Its keyframes are in the look as rendering will see them.
        self.denoiser.wait_for(sorted(self._loaded))
        self._take_denoised()
        self.checkpoint()
        card = look_card(
            self.job, self.config, self.keyframes, self.schedule.step, self.schedule.trained_s, self._losses
        )
        card["name"] = look.stem
        first = self.keyframes[0]
        exemplars = [keyframe.exemplar for keyframe in self.keyframes]
        error = write_look(look, self._network(), exemplars, card, first.plate, check_px=16 * QUICK_CHECK_PIXELS)
        fraction = round(self.schedule.progress, 4)
        self.emit({"event": "progress", "fraction": fraction, "exported": str(look), "check_error": error})


def _stamp(keyframe: PaintedFrame) -> tuple[object, ...]:
    """Changes when a painting or its matte was written."""
    stamps: list[object] = [keyframe]
    for path in (keyframe.painting, keyframe.matte):
        with contextlib.suppress(FileNotFoundError):
            status = None if path is None else path.stat()
            stamps.append(status and (status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(stamps)
