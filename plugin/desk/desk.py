"""Desk: the state of one shot at work, and what pages may ask of it; pages come and go, this stays.

What pages see is :meth:`ShotDesk.state`; what changes is told to every listener as it happens.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from engine.base.errors import InputError, PaintoverError
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.shot.shot import Shot
from engine.training.job.job import TrainingJob
from engine.training.job.session import Attend, GoOn, LookAt, Paint, Pause, TrainAgain, result_path
from plugin.arguments.options import Options
from plugin.arguments.request import look_from, work_from
from plugin.desk.advice import Adviser
from plugin.desk.command_lines import DeskVerbs
from plugin.desk.commit import COMMIT, Commit
from plugin.desk.listeners import Listeners
from plugin.desk.paintings import DESK_FOLDER, DeskKeyframe, Paintings
from plugin.desk.pictures import Pictures
from plugin.desk.program import open_in_program
from plugin.desk.tasks import Tasks
from plugin.desk.tracks import Tracks
from plugin.desk.trainer import Trainer
from plugin.desk.watch import FileWatch
from plugin.phases.training import job_from

__all__ = ["ShotDesk"]


@dataclass(frozen=True)
class _ShownResult:
    """What the trainer last rendered of a frame."""

    stamp: int
    proxy: bool
    step: int
    revision: int


class ShotDesk:
    """One shot: paintings, trainer, tracks, results; safe to use from several threads."""

    def __init__(self, shot: Shot, options: Options, config: ColorConfig, out: SequencePath) -> None:
        """
        Args:
            shot: its keyframes are those of the command line.
            out: where committed frames go.

        Raises:
            PaintoverError: the plate cannot be read, or the work folder not written.
        """
        self.shot, self.options, self.out = shot, options, out
        self.work, self.look = work_from(options, shot), look_from(options, shot)
        verbs = DeskVerbs(shot, options, self.work, self.look, out)
        self.pictures = Pictures(shot.plate, config, self.work, shot.matte)
        self.paintings = Paintings(self.work, self.pictures, shot.keyframes)
        self.listeners = Listeners()
        self.tasks = Tasks(self.listeners)
        self._lock = threading.RLock()
        self._run = secrets.token_hex(8)
        """Other than that of a desk that was open here before: pages must not take its numbers for this one's."""
        self._report = self.work / "report.html"
        self._training: dict[str, Any] = {"state": "unpainted"}
        self._results = self._found_results()
        self._stamp = max((each.stamp for each in self._results.values()), default=0)
        self._view = shot.plate.frames.first
        self._revision = 0
        self._trainer = Trainer(self._on_training, self._on_trainer_start)
        self._watch = FileWatch(self._on_file)
        self._adviser = Adviser(shot.plate, config, self.paintings, self.work, self._changed, self.listeners.say)
        self._tracks = Tracks(
            self.paintings, verbs, self.tasks, self.work,
            frame_in_view=lambda: self._view, on_more=self._tell_paintings, on_end=self._tracked,
        )  # fmt: skip
        self._commit = Commit(
            self.paintings, verbs, self.tasks, self._trainer, self.listeners,
            is_training=lambda: self.is_training, on_tracks=self._tracked, on_end=self._changed,
        )  # fmt: skip

    def open(self) -> None:
        """Begin the work: tracks, training, advice."""
        self._tracks.start()
        self._watch.start()
        self._adviser.start()
        for each in self.paintings.all():
            self._watch_painting(each)
        self._painted()

    def leave(self) -> None:
        """Ask everything to end; :meth:`close` waits for it."""
        self._tracks.close()
        self._commit.close()
        self._trainer.leave()
        self._watch.close()
        self._adviser.close()

    def close(self) -> None:
        """End the children in good order, within seconds; everything is on disk."""
        self.leave()
        self.tasks.close()
        self._trainer.close()

    # What pages see

    @property
    def alone_s(self) -> float:
        """For how long nobody has looked at it and nothing was committed; 0 while somebody does."""
        return 0.0 if self.tasks.is_running(COMMIT) else self.listeners.alone_s

    def state(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        with self._lock:
            plan = self._adviser.found
            return {
                "type": "state",
                "run": self._run,
                "name": Path(self.shot.plate.path.text).name,
                "frames": list(self.shot.plate.frames),
                "width": self.pictures.width,
                "height": self.pictures.height,
                "shown_as": self.pictures.shown_as,
                "working": self.pictures.config.working,
                "look": str(self.look),
                "out": str(self.out),
                "view": self._view,
                "keyframes": [each.facts for each in self.paintings.all()],
                "removed": [{"id": each.id, "frame": each.frame} for each in self.paintings.removed],
                "training": self._training,
                "results": {str(frame): _result_facts(each) for frame, each in self._results.items()},
                "report": self._report.is_file(),
                "tasks": self.tasks.facts,
                "messages": self.listeners.messages,
                "carried": plan.carried,
                "suggested": plan.suggested,
                "advice": plan.advice,
            }

    # What pages may ask

    def look_at(self, frame: int) -> None:
        """The frame in view; raises InputError where it is not the plate's."""
        self.check_frame(frame)
        with self._lock:
            self._view = frame
        self._trainer.tell(LookAt(frame))

    def attend(self) -> None:
        """A stroke is being painted: the trainer waits for it."""
        self._trainer.tell(Attend())

    def check_frame(self, frame: int) -> None:
        """The frame is one of the plate's.

        Raises:
            InputError: it is not.
        """
        if frame not in self.shot.plate.frames:
            raise InputError(f"frame {frame} is outside the frame range {self.shot.plate.frames}")

    def add(self, frame: int) -> None:
        """A keyframe to paint on; raises InputError."""
        self.paintings.add(frame)
        self._tracks.follow()
        self._changed()

    def remove(self, number: int) -> None:
        """Take a keyframe away; raises InputError."""
        held = self.paintings.find(number)
        self.paintings.remove(number)
        if held.painting is not None:
            self._watch.forget(held.painting)
        self._painted()

    def restore(self, number: int) -> None:
        """Bring back a keyframe that was removed; raises InputError."""
        self.paintings.restore(number)
        self._watch_painting(self.paintings.find(number))
        self._painted()

    def switch(self, number: int, *, on: bool) -> None:
        """Whether a keyframe is trained from; raises InputError."""
        self.paintings.switch(number, on=on)
        self._painted()

    def paint(self, number: int, png: bytes, by: str, *, matte: bool) -> dict[str, int]:
        """Take a layer from a page; raises PaintoverError.

        Returns:
            The keyframe's ``revision``, and the one of ``results`` from which on they have this layer.
        """
        take = self.paintings.paint_matte if matte else self.paintings.paint
        made = take(number, png, by)
        self._painted()
        return {"revision": made.revision, "results": self._revision}

    def open_program(self, number: int) -> None:
        """Open a keyframe in the painting program of this machine, and take what it saves; raises PaintoverError."""
        path = self.paintings.open_file(number)
        self._watch.add(path, number)
        opened = open_in_program(path)
        text = f"{path} is open in your painting program: save it there, and it is taken here"
        self.listeners.say(
            "note", text if opened else f"open {path} in your painting program: what you save is taken here"
        )

    def open_report(self) -> None:
        """Open the report of the last commit in the browser of this machine; raises InputError where there is none."""
        if not self._report.is_file():
            raise InputError("there is no report yet", remedy="render all frames")
        if not open_in_program(self._report):
            self.listeners.say("note", f"open {self._report} in a browser")

    def pause(self) -> None:
        """No more steps for now."""
        self._trainer.tell(Pause())

    def go_on(self) -> None:
        """Train on; where the trainer is gone, start it."""
        self._trainer.tell(GoOn())
        self._train()

    def again(self) -> None:
        """Forget what was learnt, and train from nothing."""
        self._trainer.tell(TrainAgain())
        self._train()

    def commit(self, *, render: bool) -> None:
        """Export the look, and render every frame and write the report where asked to; raises InputError."""
        if not self._trainer.is_running or not self._training.get("step"):
            raise InputError("there is nothing to commit yet", remedy="paint a frame and let it train")
        self._commit.begin(render=render)

    def live_look(self) -> Path:
        """The look to stylize a camera with: as it is trained so far, else the one that is there; raises InputError."""
        made = self.work / DESK_FOLDER / "live.onnx"
        if self._trainer.is_running and self._training.get("step") and self._commit.export(made):
            return made
        if not self.look.is_file():
            raise InputError("there is no look yet", remedy="paint a frame and let it train")
        return self.look

    @property
    def is_training(self) -> bool:
        """Whether steps are being made."""
        return self._training.get("state") == "training"

    def cancel(self, task: str) -> None:
        """End a task; what it has done stays."""
        self.tasks.cancel(task)

    def follow_again(self) -> None:
        """Follow the keyframes again, where that was canceled or failed."""
        self._tracks.again()

    # Training

    def _painted(self) -> None:
        """The paintings changed: everyone is told, the trainer first."""
        self._tell_paintings()
        self._train()
        self._tracks.follow()
        self._changed()
        self._adviser.renew()

    def _tell_paintings(self) -> None:
        """Paintings or their tracks changed; in one order for the trainer, whoever changed them."""
        with self._lock:
            self._revision += 1
            job = self._job()
            self._trainer.tell(Paint(job.keyframes, job.unpainted, self._revision) if job else Paint(()))

    def _tracked(self) -> None:
        """There are more tracks than before."""
        self._tell_paintings()
        self._adviser.renew()

    def _job(self) -> TrainingJob | None:
        keyframes = tuple(self.paintings.trained_from())
        if not keyframes:
            return None
        unpainted = self.shot.unpainted or self.paintings.unpainted
        job = job_from(replace(self.shot, keyframes=keyframes, unpainted=unpainted), self.options)
        return msgspec.structs.replace(job, resume=True, preview=False)

    def _train(self) -> None:
        def make_job() -> TrainingJob:
            job = self._job()
            if job is None:
                raise InputError("nothing is painted")
            return job

        if not self._trainer.is_running and self.paintings.trained_from():
            with self._lock:
                self._training = {"state": "starting"}
            try:
                self._trainer.start(make_job)
            except PaintoverError as error:
                self.listeners.say("error", str(error))

    def _on_trainer_start(self) -> None:
        # Its results are its own: what an earlier one showed may be of other paintings.
        self._tell_paintings()
        self._trainer.tell(LookAt(self._view))

    def _on_training(self, event: Mapping[str, Any]) -> None:
        kind = event.get("event")
        if kind in ("note", "warning"):
            if "hint" not in event:
                self.listeners.say(str(kind), str(event.get("text", "")))
        elif kind == "failed":
            with self._lock:
                self._training = {**self._training, "state": "failed"}
            self.listeners.say("error", str(event.get("message", "")))
            self._changed()
        elif isinstance(event.get("shown"), dict):
            self._on_shown(event["shown"])
        elif "exported" in event:
            self._commit.on_exported()
        elif "state" in event:
            with self._lock:
                self._training = {name: value for name, value in event.items() if name != "event"}
            self.listeners.tell({"type": "training", **self._training})

    def _on_shown(self, shown: Mapping[str, Any]) -> None:
        frame = int(shown["frame"])
        with self._lock:
            self._stamp += 1
            found = _ShownResult(self._stamp, bool(shown["proxy"]), int(shown["step"]), int(shown["revision"]))
            self._results[frame] = found
        self.listeners.tell({"type": "result", "frame": frame, **_result_facts(found)})

    def _found_results(self) -> dict[int, _ShownResult]:
        """What an earlier visit left, until it is rendered again."""
        frames = [frame for frame in self.shot.plate.frames if result_path(self.work, frame).is_file()]
        return {frame: _ShownResult(index, True, 0, 0) for index, frame in enumerate(frames, 1)}

    # Files that painting programs save

    def _watch_painting(self, keyframe: DeskKeyframe) -> None:
        if keyframe.painting is not None and self.paintings.folder / "paint" not in keyframe.painting.parents:
            self._watch.add(keyframe.painting, keyframe.id)

    def _on_file(self, path: Path, number: int) -> None:
        try:
            self.paintings.take_file(number, path)
        except PaintoverError as error:
            self.listeners.say("warning", str(error))
            return
        self.listeners.say("note", f"{path.name} was saved: it is the painting now")
        self._painted()

    def _changed(self) -> None:
        self.listeners.tell(self.state())


def _result_facts(result: _ShownResult) -> dict[str, Any]:
    return {"stamp": result.stamp, "proxy": result.proxy, "step": result.step, "revision": result.revision}
