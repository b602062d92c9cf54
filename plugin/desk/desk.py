"""Desk: the state of one shot at work, and what pages may ask of it; pages come and go, this stays.

What pages see is :meth:`ShotDesk.state`; what changes is told to every listener as it happens.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from engine.base.errors import InputError, Interrupted, PaintoverError
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.motion.stmap import find_sidecars
from engine.shot.shot import Shot
from engine.training.job.job import TrainingJob
from engine.training.job.session import Attend, Export, GoOn, LookAt, Paint, Pause, TrainAgain, result_path
from plugin.arguments.options import Options
from plugin.arguments.request import look_from, work_from
from plugin.desk.advice import Adviser
from plugin.desk.command_lines import DeskVerbs
from plugin.desk.paintings import DESK_FOLDER, DeskKeyframe, Paintings
from plugin.desk.pictures import Pictures
from plugin.desk.program import open_in_program
from plugin.desk.tasks import VerbTask
from plugin.desk.trainer import Trainer
from plugin.desk.watch import FileWatch
from plugin.phases.training import job_from

__all__ = ["Listener", "ShotDesk"]

_MESSAGES = 30
_EXPORT_S = 120.0

Listener = Callable[[dict[str, Any]], None]


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
        self._verbs = DeskVerbs(shot, options, self.work, self.look, out)
        self.pictures = Pictures(shot.plate, config, self.work)
        self.paintings = Paintings(self.work, self.pictures, shot.keyframes)
        self._lock = threading.RLock()
        self._listeners: list[Listener] = []
        self._messages: deque[dict[str, str]] = deque(maxlen=_MESSAGES)
        self._training: dict[str, Any] = {"state": "unpainted"}
        self._results = self._found_results()
        self._stamp = max((each.stamp for each in self._results.values()), default=0)
        self._view = shot.plate.frames.first
        self._revision = 0
        self._tasks: dict[str, dict[str, Any]] = {}
        self._running: dict[str, VerbTask] = {}
        self._wanted_keys: tuple[int, ...] = ()
        self._followed_keys: tuple[int, ...] = ()
        self._prepare = threading.Condition(self._lock)
        self._exported, self._exporting = threading.Event(), threading.Lock()
        self._closed = False
        self._alone_since = time.monotonic()
        self._trainer = Trainer(self._on_training, self._on_trainer_start)
        self._watch = FileWatch(self._on_file)
        self._adviser = Adviser(shot.plate, config, self.paintings, self.work, self._changed, self._say)
        self._threads = [threading.Thread(target=self._prepare_loop, name="prepare", daemon=True)]

    def open(self) -> None:
        """Begin the work: tracks, training, advice."""
        for thread in self._threads:
            thread.start()
        self._watch.start()
        self._adviser.start()
        for each in self.paintings.all():
            self._watch_painting(each)
        self._painted()

    def leave(self) -> None:
        """Ask everything to end; :meth:`close` waits for it."""
        with self._lock:
            self._closed = True
            self._prepare.notify_all()
        self._trainer.leave()
        self._watch.close()
        self._adviser.close()

    def close(self) -> None:
        """End the children in good order, within seconds; everything is on disk."""
        self.leave()
        with self._lock:
            running = list(self._running.values())
        for task in running:
            task.cancel(within_s=1.0)
        self._trainer.close()

    # What pages see

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have every change told; returns what ends that."""
        with self._lock:
            self._listeners.append(listener)

        def leave() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._listeners.remove(listener)
                self._alone_since = time.monotonic()

        return leave

    @property
    def alone_s(self) -> float:
        """For how long nobody has looked at it and nothing was committed; 0 while somebody does."""
        with self._lock:
            busy = self._listeners or self._tasks.get("commit", {}).get("state") == "running"
            return 0.0 if busy else time.monotonic() - self._alone_since

    def state(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        with self._lock:
            plan = self._adviser.found
            return {
                "type": "state",
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
                "training": self._training,
                "results": {str(frame): _result_facts(each) for frame, each in self._results.items()},
                "tasks": self._tasks,
                "messages": list(self._messages),
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
        self._track()
        self._changed()

    def remove(self, number: int) -> None:
        """Forget a keyframe; raises InputError."""
        held = self.paintings.find(number)
        self.paintings.remove(number)
        if held.painting is not None:
            self._watch.forget(held.painting)
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
        self._say("note", text if opened else f"open {path} in your painting program: what you save is taken here")

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
        with self._lock:
            if self._tasks.get("commit", {}).get("state") == "running":
                raise InputError("a commit is at work already", remedy="cancel it first")
            if not self._trainer.is_running or not self._training.get("step"):
                raise InputError("there is nothing to commit yet", remedy="paint a frame and let it train")
            self._task("commit", "running", "exporting the look", 0.0)
        threading.Thread(target=self._commit, args=(render,), name="commit", daemon=True).start()

    def live_look(self) -> Path:
        """The look to stylize a camera with: as it is trained so far, else the one that is there; raises InputError."""
        made = self.work / DESK_FOLDER / "live.onnx"
        if self._trainer.is_running and self._training.get("step") and self._export(made):
            return made
        if not self.look.is_file():
            raise InputError("there is no look yet", remedy="paint a frame and let it train")
        return self.look

    @property
    def is_training(self) -> bool:
        """Whether steps are being made."""
        return self._training.get("state") == "training"

    def cancel(self, name: str) -> None:
        """End a task; what it has done stays."""
        with self._lock:
            task = self._running.get(name)
        if task is not None:
            task.cancel()

    # Training

    def _painted(self) -> None:
        """The paintings changed: everyone is told, the trainer first."""
        self._tell_paintings()
        self._train()
        self._track()
        self._changed()
        self._adviser.renew()

    def _tell_paintings(self) -> None:
        """Paintings or their tracks changed; in one order for the trainer, whoever changed them."""
        with self._lock:
            self._revision += 1
            job = self._job()
            self._trainer.tell(Paint(job.keyframes, job.unpainted, self._revision) if job else Paint(()))

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
                self._say("error", str(error))

    def _on_trainer_start(self) -> None:
        # Its results are its own: what an earlier one showed may be of other paintings.
        self._tell_paintings()
        self._trainer.tell(LookAt(self._view))

    def _on_training(self, event: Mapping[str, Any]) -> None:
        kind = event.get("event")
        if kind in ("note", "warning"):
            if "hint" not in event:
                self._say(str(kind), str(event.get("text", "")))
        elif kind == "failed":
            with self._lock:
                self._training = {**self._training, "state": "failed"}
            self._say("error", str(event.get("message", "")))
            self._changed()
        elif isinstance(event.get("shown"), dict):
            self._on_shown(event["shown"])
        elif "exported" in event:
            self._exported.set()
        elif "state" in event:
            with self._lock:
                self._training = {name: value for name, value in event.items() if name != "event"}
            self._tell({"type": "training", **self._training})

    def _on_shown(self, shown: Mapping[str, Any]) -> None:
        frame = int(shown["frame"])
        with self._lock:
            self._stamp += 1
            found = _ShownResult(self._stamp, bool(shown["proxy"]), int(shown["step"]), int(shown["revision"]))
            self._results[frame] = found
        self._tell({"type": "result", "frame": frame, **_result_facts(found)})

    def _found_results(self) -> dict[int, _ShownResult]:
        """What an earlier visit left, until it is rendered again."""
        frames = [frame for frame in self.shot.plate.frames if result_path(self.work, frame).is_file()]
        return {frame: _ShownResult(index, True, 0, 0) for index, frame in enumerate(frames, 1)}

    # Tracks

    def _track(self) -> None:
        """Follow every keyframe that is switched on, painted or not: tracks do not ask for paint."""
        with self._lock:
            self._wanted_keys = tuple(each.frame for each in self.paintings.all() if each.on)
            late = self._running.get("prepare") if not set(self._wanted_keys) <= set(self._followed_keys) else None
            self._prepare.notify_all()
        if late is not None:
            # All are followed side by side: what it has done so far stays, and it goes on with the new one.
            threading.Thread(target=late.cancel, name="prepare anew", daemon=True).start()

    def _prepare_loop(self) -> None:
        made: tuple[int, ...] = ()
        while True:
            with self._lock:
                while not self._closed and set(self._wanted_keys) <= set(made):
                    self._prepare.wait(1.0)
                if self._closed:
                    return
                keys = self._followed_keys = self._wanted_keys
            self._run(
                "prepare",
                self._verbs.prepare(keys),
                f"following {len(keys)} painted frame{'s' if len(keys) != 1 else ''}",
            )
            # Failed or not, the same keyframes are not tried again at once.
            made = keys
            self._tell_paintings()
            self._adviser.renew()

    def _run(self, name: str, words: list[str], title: str) -> bool:
        """Run a verb as a task; True where it came to its end."""
        last_sidecars = 0

        def on_event(event: Mapping[str, Any]) -> None:
            nonlocal last_sidecars
            if event.get("event") == "progress":
                overall = event.get("overall")
                fraction = float(overall) if isinstance(overall, (int, float)) else 0.0
                self._task(name, "running", f"{title}: {event.get('text') or ''}".rstrip(": "), fraction)
                if name == "prepare":
                    keys = [each.frame for each in self.paintings.trained_from()]
                    count = sum(path is not None for path in find_sidecars(self.work, keys, self._view))
                    if count > last_sidecars:
                        last_sidecars = count
                        self._tell_paintings()
            elif event.get("event") == "warning":
                self._say("warning", str(event.get("text", "")))

        task = VerbTask(words, on_event)
        with self._lock:
            self._running[name] = task
        self._task(name, "running", title, 0.0)
        try:
            task.run()
        except Interrupted:
            self._task(name, "canceled", f"{title}: canceled", 0.0)
            return False
        except PaintoverError as error:
            self._say("error", str(error))
            self._task(name, "failed", f"{title}: failed", 0.0)
            return False
        finally:
            with self._lock:
                self._running.pop(name, None)
        self._task(name, "done", f"{title}: done", 1.0)
        return True

    def _export(self, look: Path) -> bool:
        """Have the trainer write the look as it is now; True where it did."""
        with self._exporting:
            self._exported.clear()
            self._trainer.tell(Export(look))
            deadline = time.monotonic() + _EXPORT_S
            while not self._exported.wait(0.1):
                if self._closed or not self._trainer.is_running or time.monotonic() > deadline:
                    return False
            return True

    def _commit(self, render: bool) -> None:
        if not self._export(self.look):
            self._task("commit", "failed", "the look could not be exported", 0.0)
            return
        self._say("note", f"{self.look} is written")
        if render:
            trained = self.is_training
            if trained:
                self._trainer.tell(Pause())
            try:
                done = self._render_all()
            finally:
                if trained:
                    self._trainer.tell(GoOn())
            if not done:
                return
        self._task("commit", "done", "committed", 1.0)

    def _render_all(self) -> bool:
        while self._running.get("prepare") is not None and not self._closed:
            self._task("commit", "running", "waiting for the tracks", 0.0)
            time.sleep(0.3)
        if not self._run("commit", self._verbs.render(), "rendering all frames"):
            return False
        self._say("note", f"{self.out}: all frames are rendered")
        if not self._run("commit", self._verbs.report(self.paintings.trained_from()), "writing the report"):
            return False
        self._say("note", f"{self.work / 'report.html'} is written")
        return True

    # Files that painting programs save

    def _watch_painting(self, keyframe: DeskKeyframe) -> None:
        if keyframe.painting is not None and self.paintings.folder / "paint" not in keyframe.painting.parents:
            self._watch.add(keyframe.painting, keyframe.id)

    def _on_file(self, path: Path, number: int) -> None:
        try:
            self.paintings.take_file(number, path)
        except PaintoverError as error:
            self._say("warning", str(error))
            return
        self._say("note", f"{path.name} was saved: it is the painting now")
        self._painted()

    # Telling

    def _task(self, name: str, state: str, text: str, fraction: float) -> None:
        with self._lock:
            self._tasks[name] = {"state": state, "text": text, "fraction": round(fraction, 3)}
            facts = dict(self._tasks[name])
        self._tell({"type": "task", "name": name, **facts})

    def _say(self, level: str, text: str) -> None:
        message = {"level": level, "text": text}
        with self._lock:
            self._messages.append(message)
        self._tell({"type": "message", **message})

    def _changed(self) -> None:
        self._tell(self.state())

    def _tell(self, message: dict[str, Any]) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(message)


def _result_facts(result: _ShownResult) -> dict[str, Any]:
    return {"stamp": result.stamp, "proxy": result.proxy, "step": result.step, "revision": result.revision}
