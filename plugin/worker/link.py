"""The link of a resident worker to one host: what the host still waits for, and answers on their way to it.

Answers wait in a bounded queue and are written by a thread of their own, so a host that does not read never makes
another one wait: where too much is waiting, or nothing is taken for long, its link is dropped.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.base.events import finite
from plugin.client.job import PROTOCOL

__all__ = ["OUTPUT_LIMIT", "REQUEST_LIMIT", "STUCK_S", "Link", "Request"]

log = logging.getLogger(__name__)

OUTPUT_LIMIT = 32 << 20
"""Bytes of answers that may wait for a host, beside the one that is being written."""
REQUEST_LIMIT = 256
"""Requests of one host that may wait at once."""
STUCK_S = 60.0
"""How long a host may take nothing of what is being written to it."""
_FULL_S = 0.02


@dataclass(eq=False)
class Request:
    """One thing asked for."""

    id: int
    message: Mapping[str, Any]
    link: Link
    cancelled: threading.Event = field(default_factory=threading.Event)


class Link:
    """One host: the way to it, and what it still waits for. Its methods may be called from any thread."""

    def __init__(
        self, write: Callable[[memoryview], int | None], drop: Callable[[str], None], *, token: str | None
    ) -> None:
        """
        Args:
            write: sends some of the bytes and returns how many; it may block.
            drop: called once, with the reason, where the host is given up; it must make ``write`` return.
            token: what a host must say before anything else; None where the stream itself is proof.
        """
        self._write = write
        self._drop = drop
        self.token = token
        self.closed = threading.Event()
        """Set once nothing more of the host is wanted."""
        self.began_s = time.monotonic()
        self._requests: dict[int, Request] = {}
        self._output: deque[bytes] = deque()
        self._warned: frozenset[str] = frozenset()
        self._waiting = 0
        self._changed = threading.Condition()
        self._ending = False
        self._dropped = False
        self._writing_s: float | None = None
        self._writer = threading.Thread(target=self._write_all, name="answers", daemon=True)
        self._writer.start()

    @property
    def idle(self) -> bool:
        """Whether the host waits for nothing."""
        return not self._requests

    def take(self, request: Request) -> bool:
        """Keep a request; False where the host has too many already."""
        with self._changed:
            if len(self._requests) >= REQUEST_LIMIT:
                return False
            self._requests[request.id] = request
        if self.closed.is_set():
            request.cancelled.set()
        return True

    def request(self, number: int) -> Request | None:
        """The host's request of this number, where it waits for one."""
        return self._requests.get(number)

    def requests(self) -> list[Request]:
        """What the host waits for."""
        with self._changed:
            return list(self._requests.values())

    def finish(self, request: Request, event: str, facts: Mapping[str, Any]) -> None:
        """Send a request's last event."""
        with self._changed:
            self._requests.pop(request.id, None)
        self.send(request.id, event, facts)

    def send(self, request_id: int | None, event: str, facts: Mapping[str, Any]) -> None:
        """Send an event; returns at once."""
        message = {"protocol": PROTOCOL, "id": request_id, "event": event, **facts}
        data = json.dumps(finite(message), default=str).encode() + b"\n"
        with self._changed:
            if self._ending:
                return
            # One answer alone may be as long as it is: a state of many frames is.
            full = self._waiting > 0 and self._waiting + len(data) > OUTPUT_LIMIT
            if not full:
                self._output.append(data)
                self._waiting += len(data)
                self._changed.notify_all()
        if full:
            self.drop(f"the host does not read its answers: {OUTPUT_LIMIT} bytes are waiting")

    def is_new(self, warning: str) -> bool:
        """Whether the host was not warned so before; it then was."""
        known, self._warned = self._warned, self._warned | {warning}
        return warning not in known

    def is_stuck(self) -> bool:
        """Whether the host has taken nothing for too long."""
        since_s = self._writing_s
        return since_s is not None and time.monotonic() - since_s > STUCK_S

    def drop(self, reason: str) -> None:
        """Give the host up: what it asked for is cancelled, and what waits for it is thrown away."""
        with self._changed:
            if self._dropped:
                return
            self._dropped = self._ending = True
            self._output.clear()
            self._waiting = 0
            self._changed.notify_all()
        log.debug("dropped a host: %s", reason)
        self.close()
        self._drop(reason)

    def close(self) -> None:
        """The host is gone: nothing that it asked for is wanted any more."""
        self.closed.set()
        for request in self.requests():
            request.cancelled.set()

    def flush(self, timeout_s: float) -> bool:
        """Take no more events, and wait until those before are written; False where they are not within the time."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._writer is not threading.current_thread():
            self._writer.join(timeout_s)
        return not self._writer.is_alive()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                while not self._output and not self._ending:
                    self._changed.wait()
                if not self._output:
                    return
                data = self._output.popleft()
                self._waiting -= len(data)
                self._writing_s = time.monotonic()
            try:
                self._write_one(memoryview(data))
            except (OSError, ValueError):
                self.drop("the host does not read any more")
                return
            finally:
                self._writing_s = None

    def _write_one(self, data: memoryview) -> None:
        while data:
            taken = self._write(data)
            if taken is None:  # A pipe that the host made so that writing to it does not wait.
                time.sleep(_FULL_S)
                continue
            data = data[taken:]
            self._writing_s = time.monotonic()
