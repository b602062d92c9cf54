"""A verb of the command line as a process beside a host: polled for progress and preview, cancelled in good order.

Standard library only, Python 3.9: this runs inside hosts.
"""

from __future__ import annotations

import collections
import json
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

from .command import find_command, start_beside
from .errors import RequestCancelled, RequestFailed

__all__ = ["VerbProcess", "VerbStatus"]

_STDERR_LINES = 40


@dataclass(frozen=True)
class VerbStatus:
    """Where a verb stands."""

    title: str = ""
    """What it does, for people: ``Training hero.onnx, 60 s``."""
    fraction: float = 0.0
    """Of the whole, 0 to 1; never falls."""
    text: str = ""
    """The details: loss, frames a second, time left."""
    preview: str | None = None
    """Path of the preview image, which is replaced while training goes on."""
    notes: tuple[str, ...] = ()
    """What was done, one line each."""
    warnings: tuple[str, ...] = ()
    finished: bool = False
    """Whether the process has ended, in whatever way."""
    exit_code: int | None = None
    """None until it has ended."""


class VerbProcess:
    """One ``paintover VERB`` at work.

    Raises:
        CommandMissing: there is no paintover command.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            arguments: the verb and its options, such as :meth:`plugin.client.job.Job.arguments` gives.
            command: what starts ``paintover``; None finds it.
            environment: of the process; None for the host's without its own Python settings.
        """
        words = [*(find_command() if command is None else command), *arguments, "--progress", "json"]
        self._lock = threading.Lock()
        self._status = VerbStatus(title=arguments[0])
        self._failure: RequestFailed | None = None
        self.asked = 0
        """How often it was asked to stop."""
        self._tail: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
        self._process = start_beside(words, environment, output=subprocess.PIPE)
        self.pid = self._process.pid
        self._readers = [
            threading.Thread(target=self._read_events, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def poll(self) -> VerbStatus:
        """Where it stands; returns at once."""
        code = self._process.poll()
        if code is not None:
            for reader in self._readers:
                reader.join(1.0)
        with self._lock:
            if code is not None:
                self._status = replace(self._status, finished=True, exit_code=code)
            return self._status

    def cancel(self) -> None:
        """Ask it to stop in good order: training exports the best look so far. Asked again, it is killed."""
        self.asked += 1
        if self._process.poll() is not None:
            return
        try:
            if self.asked > 1:
                self._process.kill()
            else:
                self._process.send_signal(_stop_signal())
        except OSError:
            pass  # It has ended meanwhile.

    def check(self) -> VerbStatus:
        """The status of a finished verb that did its work.

        Raises:
            RequestFailed: it failed; its own line and exit code.
            RequestCancelled: it was stopped.
        """
        status = self.poll()
        code = status.exit_code
        if code == 0 or code is None:
            return status
        said = [line.strip() for line in tuple(self._tail) if line.strip()]
        last = said[-1].split("paintover: ", 1)[-1] if said else f"it ended with code {code}"
        message = self._failure.message if self._failure is not None else last
        if self.asked or code in (130, 143):
            raise RequestCancelled(message)
        raise self._failure or RequestFailed(message, code if code > 0 else 1)

    def _read_events(self, stream: IO[bytes]) -> None:
        for line in stream:
            try:
                event = json.loads(line.decode("utf-8", "replace"))
            except ValueError:
                continue
            if isinstance(event, dict):
                with self._lock:
                    self._hear(event)
        stream.close()

    def _hear(self, event: Mapping[str, Any]) -> None:
        kind, status = event.get("event"), self._status
        if kind == "phase":
            self._status = replace(status, title=str(event.get("title", status.title)), text="")
        elif kind == "progress":
            self._status = replace(
                status,
                fraction=max(status.fraction, float(event.get("overall", 0.0))),
                text=str(event.get("text", "")),
                preview=event.get("preview") or status.preview,
            )
        elif kind == "note":
            self._status = replace(status, notes=(*status.notes, str(event.get("text", ""))))
        elif kind == "warning":
            self._status = replace(status, warnings=(*status.warnings, str(event.get("text", ""))))
        elif kind == "finished":
            self._status = replace(status, fraction=1.0, text="")
        elif kind == "failed":
            self._failure = RequestFailed.of(event)

    def _read_errors(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._tail.append(line.decode("utf-8", "replace"))
        stream.close()


def _stop_signal() -> int:
    """What a verb takes for Ctrl-C. A host that ignores interrupts hands that down."""
    if hasattr(signal, "CTRL_BREAK_EVENT"):
        return int(getattr(signal, "CTRL_BREAK_EVENT"))  # noqa: B009
    return signal.SIGINT if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None) else signal.SIGTERM
