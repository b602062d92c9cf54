"""Commit: the look as it is now on disk; then every frame through it, and the report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.base.errors import InputError
from engine.training.job.session import Export, GoOn, Pause
from plugin.desk.command_lines import DeskVerbs
from plugin.desk.listeners import Listeners
from plugin.desk.paintings import Paintings
from plugin.desk.tasks import Tasks
from plugin.desk.tracks import PREPARE
from plugin.desk.trainer import Trainer

__all__ = ["COMMIT", "Commit"]

COMMIT = "commit"
"""The task's name."""
_EXPORT_S = 120.0
_POLL_S = 0.1


class Commit:
    """One at a time, in a thread of its own."""

    def __init__(
        self,
        paintings: Paintings,
        verbs: DeskVerbs,
        tasks: Tasks,
        trainer: Trainer,
        listeners: Listeners,
        *,
        is_training: Callable[[], bool],
        on_tracks: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        """
        Args:
            is_training: whether steps are being made.
            on_tracks: called when the tracks may have changed.
            on_end: called when all is written.
        """
        self._paintings, self._verbs, self._tasks, self._trainer = paintings, verbs, tasks, trainer
        self._listeners = listeners
        self._is_training, self._on_tracks, self._on_end = is_training, on_tracks, on_end
        self._exported, self._exporting = threading.Event(), threading.Lock()
        self._closed = False

    def begin(self, *, render: bool) -> None:
        """Begin; raises InputError where one is at work already."""
        if not self._tasks.begin(COMMIT, "exporting the look"):
            raise InputError("a commit is at work already", remedy="cancel it first")
        threading.Thread(target=self._run, args=(render,), name="commit", daemon=True).start()

    def close(self) -> None:
        """Wait for nothing any more."""
        self._closed = True

    def on_exported(self) -> None:
        """The trainer wrote a look."""
        self._exported.set()

    def export(self, look: Path) -> bool:
        """Have the trainer write the look as it is now; True where it did."""
        with self._exporting:
            self._exported.clear()
            self._trainer.tell(Export(look))
            deadline = time.monotonic() + _EXPORT_S
            while not self._exported.wait(_POLL_S):
                if self._closed or not self._trainer.is_running or time.monotonic() > deadline:
                    return False
            return True

    def _run(self, render: bool) -> None:
        if not self.export(self._verbs.look):
            self._tasks.show(COMMIT, "failed", "the look could not be exported", 0.0)
            return
        self._listeners.say("note", f"{self._verbs.look} is written")
        if render:
            trained = self._is_training()
            if trained:
                self._trainer.tell(Pause())
            try:
                done = self._make_frames()
            finally:
                if trained:
                    self._trainer.tell(GoOn())
            if not done:
                return
        self._on_end()
        self._tasks.show(COMMIT, "done", "committed" if render else "the look is exported", 1.0)

    def _make_frames(self) -> bool:
        if not self._wait_for_tracks():
            return False
        keyframes = self._paintings.trained_from()
        if self._verbs.shot.denoise is not None or self._tasks.facts.get(PREPARE, {}).get("state") != "done":
            # Or following was canceled, or failed: frames without their strokes would be a surprise.
            words = self._verbs.prepare([keyframe.frame for keyframe in keyframes], all_frames=True)
            if not self._tasks.run(COMMIT, words, "preparing the frames", is_last=False):
                return False
            self._on_tracks()
        if not self._tasks.run(COMMIT, self._verbs.render(), "rendering all frames", is_last=False):
            return False
        self._listeners.say("note", f"{self._verbs.out}: all frames are rendered")
        if not self._tasks.run(COMMIT, self._verbs.report(keyframes), "writing the report", is_last=False):
            return False
        self._listeners.say("note", f"{self._verbs.work / 'report.html'} is written")
        return True

    def _wait_for_tracks(self) -> bool:
        """Until nobody follows keyframes; False where it was canceled meanwhile."""
        while self._tasks.is_running(PREPARE) and not self._closed and not self._tasks.is_canceled(COMMIT):
            waited_for = self._tasks.facts.get(PREPARE, {})
            text, fraction = str(waited_for.get("text", "")), float(waited_for.get("fraction", 0.0))
            self._tasks.show(COMMIT, "running", f"first {text}", fraction)
            time.sleep(3 * _POLL_S)
        if self._closed or self._tasks.is_canceled(COMMIT):
            self._tasks.show(COMMIT, "canceled", "rendering all frames: canceled", 0.0)
            return False
        return True
