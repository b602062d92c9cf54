"""The loopback socket of a resident worker: who may connect, for how long without the token, and how many.

Hosts on this machine only, each of which must send the token from the worker's address file with its first request.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import sys
import threading
import time
from pathlib import Path

if sys.platform != "win32":
    import fcntl

from engine.base.errors import InputError
from engine.base.temporaries import output_error
from plugin.client.address import is_answering, read_address
from plugin.client.errors import JobError
from plugin.client.job import PROTOCOL
from plugin.worker.link import Link
from plugin.worker.server import Worker

__all__ = ["AUTHENTICATE_S", "CONNECTION_LIMIT", "serve_socket"]

log = logging.getLogger(__name__)

AUTHENTICATE_S = 10.0
"""From connecting until the token must have been said."""
CONNECTION_LIMIT = 24
"""At once; for another one, the oldest without a token goes, else the oldest that waits for nothing."""
_POLL_S = 0.5
_RETRY_S = 0.1
_FLUSH_S = 2.0


def serve_socket(worker: Worker, address_file: Path) -> None:
    """Serve hosts on this machine, each of which must send the token from ``address_file`` with its first request.

    The file is JSON with ``host``, ``port``, ``token``, ``pid`` and ``protocol``; only this user can read it (on
    Windows it has the permissions of its folder), and it goes when the worker ends.

    Raises:
        InputError: the file is there already, and the worker that wrote it is alive.
        OutputError: it cannot be written.
    """
    token = secrets.token_hex(32)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = {"host": "127.0.0.1", "port": server.getsockname()[1], "token": token, "pid": os.getpid()}
        text = json.dumps({**address, "protocol": PROTOCOL}) + "\n"
        _write_private(address_file, text)
        door = _Door(worker, server, token)
        threading.Thread(target=door.accept, name="accept", daemon=True).start()
        try:
            worker.run()
        finally:
            door.closed.set()
            with contextlib.suppress(OSError, ValueError):
                # Another worker's by now, where somebody removed ours.
                if address_file.read_text(encoding="utf-8") == text:
                    address_file.unlink()


class _Door:
    """Takes connections, and gives up those that wait too long or are too many."""

    def __init__(self, worker: Worker, server: socket.socket, token: str) -> None:
        self._worker = worker
        self._server = server
        self._token = token
        self._lock = threading.Lock()
        self._links: dict[socket.socket, Link] = {}
        self.closed = threading.Event()

    def accept(self) -> None:
        """Take connections until the worker ends, whatever fails meanwhile."""
        self._server.settimeout(_POLL_S)
        while not self.closed.is_set():
            try:
                self._give_up_late()
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            except OSError:
                if self.closed.is_set():
                    return
                # No descriptor is left, or whoever connected is gone already. Neither is for ever.
                log.debug("cannot take a connection", exc_info=True)
                self._make_room()
                time.sleep(_RETRY_S)
                continue
            try:
                self._take(connection)
            except (OSError, RuntimeError):  # RuntimeError: no thread can be started.
                log.debug("cannot serve a connection", exc_info=True)
                connection.close()

    def _take(self, connection: socket.socket) -> None:
        with self._lock:
            full = len(self._links) >= CONNECTION_LIMIT
        if full and not self._make_room():
            connection.close()
            return
        connection.settimeout(None)
        # Small events must not wait for one another.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = self._worker.open_link(connection.send, lambda _: _hang_up(connection), token=self._token)
        with self._lock:
            self._links[connection] = link
        try:
            threading.Thread(target=self._talk, args=(connection, link), name="host", daemon=True).start()
        except RuntimeError:
            self._leave(connection, link)
            raise

    def _talk(self, connection: socket.socket, link: Link) -> None:
        try:
            with connection.makefile("rb") as source:
                self._worker.listen(link, source)
                link.flush(_FLUSH_S)
                _linger(connection)
        except (OSError, ValueError):
            log.debug("a host went away", exc_info=True)
        finally:
            self._leave(connection, link)

    def _leave(self, connection: socket.socket, link: Link) -> None:
        link.drop("the host went away")
        self._worker.forget(link)
        with self._lock:
            self._links.pop(connection, None)
        connection.close()

    def _give_up_late(self) -> None:
        """Drop those that have not said the token in time, or do not read."""
        now_s = time.monotonic()
        for link in self._open():
            if link.token is not None and now_s - link.began_s > AUTHENTICATE_S:
                link.drop("no token in time")
            elif link.is_stuck():
                link.drop("the host does not read its answers")

    def _make_room(self) -> bool:
        """Drop the oldest connection that can be spared; False where there is none."""
        links = [link for link in self._open() if not link.closed.is_set()]
        spare = [link for link in links if link.token is not None] or [link for link in links if link.idle]
        if spare:
            # Said as the end of a worker is: the host asks once more.
            spare[0].send(None, "bye", {"reason": "too many connections"})
            spare[0].flush(_RETRY_S)
            spare[0].drop("too many connections")
        return bool(spare)

    def _open(self) -> list[Link]:
        with self._lock:
            return list(self._links.values())


def _hang_up(connection: socket.socket) -> None:
    """End a connection that other threads read from and write to: they notice."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _linger(connection: socket.socket) -> None:
    """Say that no more follows, and read what is still on its way: else the last answer could be lost with it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(_RETRY_S)
        left = 1 << 22
        while left > 0:
            data = connection.recv(1 << 16)
            if not data:
                return
            left -= len(data)


def _write_private(path: Path, text: str) -> None:
    """Make a file that only this user can read: whole or not there, and never over another one.

    Raises:
        InputError: it is there already, and is not what a worker that is gone left over.
        OutputError: it cannot be written.
    """
    temporary = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            _clear_left_over(path)
            _put(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError as error:
        raise InputError(
            "another worker may be using this file", path=path, remedy="end that worker, or delete the file"
        ) from error
    except OSError as error:
        raise output_error(path, error) from error


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _put(temporary: Path, path: Path) -> None:
    """Give a whole file its name.

    Raises:
        FileExistsError: the name is taken.
    """
    if sys.platform == "win32":
        temporary.rename(path)  # Which is refused there where the name is taken.
        return
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        # A disk without such links: nobody else may make the name, and who reads half a file asks again.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(temporary.read_bytes())


def _clear_left_over(path: Path) -> None:
    """Take away the file of a worker that is gone, and only that: others may be doing the same, and writing theirs."""
    if not _is_left_over(path):
        return
    with contextlib.suppress(FileNotFoundError):
        if sys.platform == "win32":
            path.unlink()
            return
        with path.open("rb") as held:
            with contextlib.suppress(OSError):  # A disk without locks.
                fcntl.flock(held, fcntl.LOCK_EX)
            # Only who holds the file that has the name now takes it away.
            if os.path.samestat(os.fstat(held.fileno()), path.stat()) and _is_left_over(path):
                path.unlink()


def _is_left_over(path: Path) -> bool:
    """Whether an address file tells of a worker that is gone, such as one that was killed."""
    try:
        address = read_address(path)
    except JobError:
        return False
    return address is not None and not is_answering(address)
