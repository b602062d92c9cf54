"""Access to the desk: a page of this machine that knows the token, and nobody else.

Whatever another program, or a page from elsewhere in the same browser, sends to the port is refused before it is read:
a wrong ``Host`` (a name that somebody made to point here), a wrong ``Origin``, or no token.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

__all__ = ["Access"]

_TOKEN_BYTES = 32


class Access:
    """Who may come in."""

    def __init__(self, port: int, token: str | None = None) -> None:
        """
        Args:
            token: for tests; else 256 random bits.
        """
        self.token = token or secrets.token_urlsafe(_TOKEN_BYTES)
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        # Browsers send a cookie to every port of a host: this one is of this desk alone.
        self.cookie = f"paintover-desk-{port}"

    @property
    def address(self) -> str:
        """What a person opens, with the token."""
        return f"http://{self.hosts[0]}/?token={self.token}"

    def set_cookie(self) -> str:
        """The header by which a browser remembers the token: for this host, out of every script's sight."""
        return f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"

    def knows(self, token: str) -> bool:
        """Whether this is the token, told in constant time."""
        return secrets.compare_digest(token.encode("utf-8", "replace"), self.token.encode())

    def has_host(self, headers: Mapping[str, str]) -> bool:
        """Whether a request was sent to this desk by its own name."""
        return headers.get("host", "") in self.hosts

    def has_origin(self, headers: Mapping[str, str], *, needed: bool) -> bool:
        """Whether a request comes from a page of the desk.

        Args:
            needed: a request without an origin counts as one from elsewhere: what changes something, and sockets.
        """
        origin = headers.get("origin")
        if origin is None:
            return not needed
        return origin in [f"http://{host}" for host in self.hosts]

    def has_cookie(self, headers: Mapping[str, str]) -> bool:
        """Whether the browser was let in before."""
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return found is not None and self.knows(found.value)
