"""The address of a shared worker, as its file has it: on this machine, whatever the file says.

Standard library only, Python 3.9: this runs inside hosts.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from .errors import JobError

__all__ = ["Address", "connect", "is_answering", "read_address"]

_FILE_LIMIT = 1 << 16
"""Bytes; a worker writes two hundred."""
_CONNECT_S = 5.0
_REMEDY = "delete the file, and check who wrote it"


@dataclass(frozen=True)
class Address:
    """Where a worker listens, and what it must be told first.

    Raises:
        JobError: it is not on this machine's loopback.
    """

    host: str
    """An IP address, never a name: asking for a name's address would leave this machine."""
    port: int
    token: str
    protocol: int

    def __post_init__(self) -> None:
        host = "127.0.0.1" if self.host == "localhost" else self.host
        object.__setattr__(self, "host", host)
        try:
            ours = ipaddress.ip_address(host).is_loopback and "%" not in host
        except ValueError:
            ours = False
        if not ours:
            raise JobError(f"the worker's file names {host[:60]!a}, and a worker is on this machine only", _REMEDY)


def read_address(path: Path) -> Address | None:
    """The address in a worker's file; None where there is none, or not a whole one.

    Raises:
        JobError: it names another machine.
    """
    try:
        # A pipe or a device would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as stream:
            data = stream.read(_FILE_LIMIT + 1)
        if len(data) > _FILE_LIMIT:
            return None
        found = json.loads(data.decode())
        host, port, token, protocol = found["host"], found["port"], found["token"], found["protocol"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    numbers = all(isinstance(number, int) and not isinstance(number, bool) for number in (port, protocol))
    if not (isinstance(host, str) and isinstance(token, str) and numbers and 0 < port < 65536):
        return None
    return Address(host, port, token, protocol)


def connect(address: Address) -> socket.socket:
    """A connection to the worker.

    Raises:
        OSError: nobody answers there.
    """
    return socket.create_connection((address.host, address.port), timeout=_CONNECT_S)


def is_answering(address: Address) -> bool:
    """Whether somebody listens at the address."""
    try:
        connect(address).close()
    except OSError:
        return False
    return True
