"""Broadcast of a live stream: what is shown, as MJPEG at a port of this machine, for whoever has the token.

A browser, an OBS source or any player that takes the address sees the newest picture; a slow one misses some.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator

import cv2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from engine.base.arrays import Bytes
from engine.base.errors import ImageError
from plugin.desk.access import Access

__all__ = ["Broadcast"]

_QUALITY = 90
_BOUNDARY = "picture"
_CLOSE_S = 1.0
_WAIT_S = 0.5
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


class Broadcast:
    """The newest picture, served from a thread of its own until :meth:`close`."""

    def __init__(self, bound: socket.socket) -> None:
        """
        Args:
            bound: a listening socket of the loopback; it is closed with the broadcast.
        """
        self._bound = bound
        self._access = Access(bound.getsockname()[1])
        self._lock = threading.Lock()
        self._newest: tuple[int, bytes] = (0, b"")
        self._closed = False
        routes = [Route("/", self._stream)]
        config = uvicorn.Config(
            Starlette(routes=routes), log_config=None, access_log=False, server_header=False, lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="broadcast", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """What a player opens, with the token."""
        return self._access.address

    def show(self, codes: Bytes) -> None:
        """(H, W, 3), the newest picture."""
        found, data = cv2.imencode(".jpg", codes[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if not found:
            raise ImageError("the picture cannot be encoded")
        with self._lock:
            self._newest = (self._newest[0] + 1, data.tobytes())

    def close(self) -> None:
        """End within seconds."""
        self._closed = True
        self._server.should_exit = True
        self._thread.join(_CLOSE_S)
        self._bound.close()

    def _serve(self) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._server.run(sockets=[self._bound])

    async def _stream(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        allowed = self._access.has_host(request.headers) and self._access.has_origin(request.headers, needed=False)
        if not allowed or not self._access.knows(token):
            return PlainTextResponse("open the address that `paintover live` printed: it has the token\n", 403)
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        return StreamingResponse(self._parts(request), media_type=kind, headers=_HEADERS)

    async def _parts(self, request: Request) -> AsyncIterator[bytes]:
        last, waited_s = 0, 0.0
        while not self._closed:
            number, data = self._newest
            if number == last:
                await asyncio.sleep(0.01)
                waited_s += 0.01
                if waited_s > _WAIT_S and await request.is_disconnected():
                    return
                continue
            last, waited_s = number, 0.0
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            yield head.encode() + data + b"\r\n"
