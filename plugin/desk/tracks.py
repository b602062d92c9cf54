"""Tracks of the desk: every keyframe that is switched on is followed through the shot, in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from engine.motion.stmap import find_sidecars
from plugin.desk.command_lines import DeskVerbs
from plugin.desk.paintings import Paintings
from plugin.desk.tasks import Tasks

__all__ = ["PREPARE", "Tracks"]

PREPARE = "prepare"
"""The task's name."""


class Tracks:
    """Follows keyframes as they come, all of them side by side, in a thread of its own."""

    def __init__(
        self,
        paintings: Paintings,
        verbs: DeskVerbs,
        tasks: Tasks,
        work: Path,
        *,
        frame_in_view: Callable[[], int],
        on_more: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        """
        Args:
            frame_in_view: the frame that people look at.
            on_more: called when that frame has got one more track.
            on_end: called when all are followed, or following failed.
        """
        self._paintings, self._verbs, self._tasks, self._work = paintings, verbs, tasks, work
        self._frame_in_view, self._on_more, self._on_end = frame_in_view, on_more, on_end
        self._changed = threading.Condition()
        self._wanted: tuple[int, ...] = ()
        self._followed: tuple[int, ...] = ()
        self._done: tuple[int, ...] = ()
        self._closed = False

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._loop, name="prepare", daemon=True).start()

    def close(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def follow(self) -> None:
        """The keyframes changed. Painted or not, they are followed: tracks do not ask for paint."""
        with self._changed:
            self._wanted = tuple(each.frame for each in self._paintings.all() if each.on)
            late = None if set(self._wanted) <= set(self._followed) else self._tasks.at_work(PREPARE)
            self._changed.notify_all()
        if late is not None:
            # All are followed side by side: what it has done so far stays, and it goes on with the new one.
            threading.Thread(target=late.cancel, name="prepare anew", daemon=True).start()

    def again(self) -> None:
        """Follow them once more, where that was canceled or failed."""
        with self._changed:
            self._done = ()
            self._changed.notify_all()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._closed and set(self._wanted) <= set(self._done):
                    self._changed.wait(1.0)
                if self._closed:
                    return
                keys = self._followed = self._wanted
            self._prepare(keys)
            with self._changed:
                # Failed or not, the same keyframes are not tried again until somebody asks for it.
                self._done = keys
            self._on_end()

    def _prepare(self, keys: tuple[int, ...]) -> None:
        last = 0

        def look() -> None:
            nonlocal last
            painted = [each.frame for each in self._paintings.trained_from()]
            count = sum(path is not None for path in find_sidecars(self._work, painted, self._frame_in_view()))
            if count > last:
                last = count
                self._on_more()

        title = f"following {len(keys)} keyframe{'s' if len(keys) != 1 else ''} through the shot"
        self._tasks.begin(PREPARE, title)
        self._tasks.run(PREPARE, self._verbs.prepare(keys), title, on_progress=look)
