"""Ctrl-C and SIGTERM: asked once, work ends in good order; asked again, or too late, the process leaves at once.

A signal handler written in Python waits until the main thread comes back from native code, and one image can keep it
there for longer than a scheduler's patience. So a second thread, woken through ``signal.set_wakeup_fd``, passes the
request on and keeps the deadline.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from engine.base.errors import Interrupted

__all__ = ["StopRequest"]

_LOG = logging.getLogger(__name__)

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def _ignore(signum: int) -> None:
    """The default for :meth:`StopRequest.cooperative`: polling is all the section needs."""


def _nothing() -> None:
    """The default for :meth:`StopRequest.cooperative`: nothing to end."""


class StopRequest:
    """Whether somebody asked to stop; called, it answers that, as ``engine.rendering.render`` wants it.

    Use as a context manager around a whole command. Outside a :meth:`cooperative` section a signal raises
    :class:`Interrupted` in the main thread. Inside one it only sets the flag, and the section has ``grace_s`` to leave
    after SIGTERM (no limit after the first Ctrl-C, one second after the second).
    """

    def __init__(self, grace_s: float = 4.6) -> None:
        self._grace_s = grace_s
        self._event = threading.Event()
        self._exit_code = 130
        self._count = 0
        self._on_signal: Callable[[int], None] = _ignore
        self._on_leave: Callable[[], None] = _nothing
        self._sections = 0
        self._previous: dict[int, Any] = {}
        self._timers: list[threading.Timer] = []
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._previous_fd = -1

    def __call__(self) -> bool:
        """True once a stop was asked for."""
        return self._event.is_set()

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM."""
        return self._exit_code

    def check(self) -> None:
        """Raise if a stop was asked for.

        Raises:
            Interrupted: with the exit code of the signal.
        """
        if self():
            raise Interrupted("stopped on request", exit_code=self._exit_code)

    @contextmanager
    def cooperative(
        self, on_signal: Callable[[int], None] = _ignore, on_leave: Callable[[], None] = _nothing
    ) -> Iterator[None]:
        """A section that polls this object and ends by itself.

        Args:
            on_signal: called with each signal's number, from another thread.
            on_leave: called right before the process leaves without waiting for the section.
        """
        before = (self._on_signal, self._on_leave)
        self._on_signal, self._on_leave = on_signal, on_leave
        self._sections += 1
        try:
            yield
        finally:
            self._sections -= 1
            self._on_signal, self._on_leave = before

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is not threading.main_thread():
            return self  # Signals belong to the main thread; a caller elsewhere stops us in its own way.
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._sockets = (ours, theirs)
        self._previous_fd = signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
        for name in _NAMES:
            signum = getattr(signal, name, None)
            # A shell that starts a job in the background, or nohup, has signals ignored: leave that alone.
            if signum is not None and signal.getsignal(signum) is not signal.SIG_IGN:
                self._previous[int(signum)] = signal.signal(signum, self._handle)
        threading.Thread(target=self._watch, args=(theirs,), name="stop", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._sockets is None:
            return
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._previous_fd)
        for end in self._sockets:
            # Wakes the watching thread with an end of file.
            end.close()
        self._sockets = None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self._note(signum)
        if self._sections == 0:
            self.check()

    def _note(self, signum: int) -> None:
        if not self._event.is_set():
            self._exit_code = 130 if signum in (signal.SIGINT, getattr(signal, "SIGBREAK", None)) else 143
            self._event.set()

    def _watch(self, wakeup: socket.socket) -> None:
        while True:
            try:
                data = wakeup.recv(64)
            except OSError:
                return
            if not data:
                return
            for signum in data:
                if signum in self._previous:
                    self._react(signum)

    def _react(self, signum: int) -> None:
        self._note(signum)
        self._count += 1
        self._on_signal(signum)
        if self._count == 1 and self._exit_code == 143:
            self._leave_in(self._grace_s)
        elif self._count > 1:
            self._leave_in(1.0)

    def _leave_in(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._leave)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _leave(self) -> None:
        self._on_leave()
        try:
            sys.stderr.write("paintover: stopped at once; run the same command again to continue\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            _LOG.debug("stderr is gone")
        # Frames and looks are renamed into place when whole, so there is nothing half done to tidy up.
        os._exit(self._exit_code)
