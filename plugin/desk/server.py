"""Server of the desk: page, pictures, uploads of layers, and a socket by which every tab sees the same state."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import threading
from collections.abc import AsyncIterator, Callable
from importlib import resources
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.base.errors import ImageError, InputError, PaintoverError
from plugin.desk.access import Access
from plugin.desk.camera import MOST_CAMERA_BYTES, Camera
from plugin.desk.desk import ShotDesk
from plugin.desk.requests import handle

__all__ = ["DeskServer", "desk_app", "listen"]

_LOG = logging.getLogger(__name__)

MAX_MESSAGE = 1 << 16
"""Bytes of a page's request over its socket."""
MAX_WAITING = 4000
"""Messages that wait for a tab; one that takes none of so many is dropped."""
_CLOSE_S = 1.0
_UPLOAD_SLACK = 1 << 16
_MOST_STOPS = 12.0
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ENTRY = "This is Paintover's desk. Open the address that `paintover desk` printed: it has the token.\n"

_Result = TypeVar("_Result")


def listen(port: int) -> socket.socket:
    """A socket of the loopback at this port, 0 for any free one.

    Raises:
        InputError: the port is taken, or may not be used.
    """
    try:
        return socket.create_server(("127.0.0.1", port), backlog=64, reuse_port=False)
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        remedy = "give another --port, or 0 for any free one"
        raise InputError(f"port {port} cannot be used: {why}", remedy=remedy) from error


class DeskServer:
    """A desk served from a thread of its own."""

    def __init__(self, desk: ShotDesk, bound: socket.socket, access: Access) -> None:
        app = desk_app(desk, access)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, lifespan="off", ws_max_size=MAX_MESSAGE,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._bound = bound
        self._thread = threading.Thread(target=self._serve, name="desk", daemon=True)

    def start(self) -> None:
        """Serve until :meth:`close`."""
        self._thread.start()

    def close(self) -> None:
        """End within seconds."""
        self._server.should_exit = True
        self._thread.join(_CLOSE_S)
        self._bound.close()

    @property
    def is_alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def _serve(self) -> None:
        # A fault of ours is one line on the terminal, by :func:`_fault`.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._server.run(sockets=[self._bound])


def desk_app(desk: ShotDesk, access: Access) -> ASGIApp:
    """The application of one desk, behind its guard."""
    pages = _Pages(desk)
    routes = [
        Route("/", pages.page),
        Route("/page/{name}", pages.part),
        Route("/plate/{frame}", pages.plate),
        Route("/thumbnail/{frame}", pages.thumbnail),
        Route("/result/{frame}", pages.result),
        Route("/carried/{frame}", pages.carried),
        Route("/values/{frame}", pages.values),
        Route("/painting/{id:int}", pages.painting, methods=["GET"]),
        Route("/painting/{id:int}", pages.take, methods=["PUT"]),
        Route("/matte/{id:int}", pages.matte, methods=["GET"]),
        Route("/matte/{id:int}", pages.take_matte, methods=["PUT"]),
        Route("/live/start", pages.start_camera, methods=["POST"]),
        Route("/live/{stream:int}/picture", pages.stylize, methods=["POST"]),
        Route("/live/{stream:int}/{what}", pages.tell_camera, methods=["POST"]),
        WebSocketRoute("/socket", pages.socket),
    ]
    handlers: dict[Any, Any] = {PaintoverError: _failed, Exception: _fault}
    return _Guard(Starlette(routes=routes, exception_handlers=handlers), access)


class _Guard:
    """Refuses whoever may not come in, before anything of a request is read."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access
        sockets = " ".join(f"ws://{host}" for host in access.hosts)
        self._headers = {**_HEADERS, "Content-Security-Policy": _POLICY.format(sockets=sockets)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        headers = Headers(scope=scope)
        is_socket = scope["type"] == "websocket"
        changes = is_socket or scope["method"] not in ("GET", "HEAD")
        access = self._access
        if not access.has_host(headers) or not access.has_origin(headers, needed=changes):
            await self._refuse(scope, receive, send, PlainTextResponse("not from here\n", 403))
            return
        if not is_socket and scope["path"] == "/" and scope["method"] == "GET":
            token = Request(scope).query_params.get("token")
            if token is not None and access.knows(token):
                # The token leaves the address bar and the history.
                await self._refuse(
                    scope, receive, send, RedirectResponse("/", 303, {"Set-Cookie": access.set_cookie()})
                )
                return
        if not access.has_cookie(headers):
            await self._refuse(scope, receive, send, PlainTextResponse(_ENTRY, 403))
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in self._headers.items()]
                known = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in own if each[0] not in known)]
            await send(message)

        await self._app(scope, receive, with_headers)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, response: Response) -> None:
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(4403)
            return
        response.headers.update(self._headers)
        await response(scope, receive, send)


class _Pages:
    """What is served of a desk."""

    def __init__(self, desk: ShotDesk) -> None:
        self._desk = desk
        self._camera = Camera(desk)
        # By name, read once: no path from a page ever reaches the disk.
        self._parts = {
            part.name: part.read_bytes()
            for part in resources.files("plugin.desk").joinpath("page").iterdir()
            if any(part.name.endswith(suffix) for suffix in _TYPES)
        }

    async def page(self, request: Request) -> Response:
        return self._served("desk.html")

    async def part(self, request: Request) -> Response:
        return self._served(request.path_params["name"])

    async def plate(self, request: Request) -> Response:
        frame, exposure = self._frame(request), _exposure(request)
        return _picture(await _in_thread(self._desk.pictures.plate_picture, frame, exposure))

    async def thumbnail(self, request: Request) -> Response:
        return _picture(await _in_thread(self._desk.pictures.thumbnail, self._frame(request)))

    async def result(self, request: Request) -> Response:
        frame, exposure = self._frame(request), _exposure(request)
        return _picture(await _in_thread(self._desk.pictures.result_picture, frame, exposure))

    async def carried(self, request: Request) -> Response:
        return _picture(await _in_thread(self._desk.pictures.carried_picture, self._frame(request)))

    async def values(self, request: Request) -> Response:
        try:
            x, y = (int(request.query_params[name]) for name in ("x", "y"))
        except (KeyError, ValueError) as error:
            raise InputError("a pixel is x and y") from error
        return JSONResponse(await _in_thread(self._desk.pictures.values, self._frame(request), x, y))

    async def painting(self, request: Request) -> Response:
        keyframe = self._desk.paintings.find(request.path_params["id"])
        if keyframe.painting is None:
            return Response(status_code=204)
        painted = keyframe.keyframe
        data = None if painted is None else await _in_thread(self._desk.pictures.painting_picture, painted)
        return Response(status_code=204) if data is None else _picture(data, "image/png")

    async def matte(self, request: Request) -> Response:
        keyframe = self._desk.paintings.find(request.path_params["id"]).keyframe
        data = None if keyframe is None else await _in_thread(self._desk.pictures.matte_picture, keyframe)
        return Response(status_code=204) if data is None else _picture(data, "image/png")

    async def take(self, request: Request) -> Response:
        return await self._taken(request, matte=False)

    async def take_matte(self, request: Request) -> Response:
        return await self._taken(request, matte=True)

    async def _taken(self, request: Request, *, matte: bool) -> Response:
        number = request.path_params["id"]
        self._desk.paintings.find(number)
        pictures = self._desk.pictures
        data = await _body(request, pictures.width * pictures.height * 4 * 2 + _UPLOAD_SLACK)
        if data is None:
            return JSONResponse({"error": "the layer is too large"}, 413)
        by = request.query_params.get("by", "")[:40]
        return JSONResponse(await _in_thread(lambda: self._desk.paint(number, data, by, matte=matte)))

    async def start_camera(self, request: Request) -> Response:
        # No error to the browser's console: that there is no look yet is for people.
        try:
            return JSONResponse({"stream": await _in_thread(self._camera.start)})
        except PaintoverError as error:
            return JSONResponse({"error": str(error)})

    async def tell_camera(self, request: Request) -> Response:
        what = request.path_params["what"]
        if what not in ("key", "unkey", "stop"):
            return PlainTextResponse("there is no such part\n", 404)
        await _in_thread(getattr(self._camera, what), request.path_params["stream"])
        return Response(status_code=204)

    async def stylize(self, request: Request) -> Response:
        """RGBA of a camera's picture in, RGBA out."""
        try:
            width, height = (int(request.query_params[name]) for name in ("width", "height"))
        except (KeyError, ValueError) as error:
            raise InputError("a picture has a width and a height") from error
        data = await _body(request, MOST_CAMERA_BYTES)
        if data is None:
            return JSONResponse({"error": "the picture is too large"}, 413)
        shown = await _in_thread(self._camera.stylize, request.path_params["stream"], width, height, data)
        if shown is None:
            return Response(status_code=204)
        facts = {"X-Carried": f"{shown.carried:.3f}", "X-Keyframe": shown.keyframe}
        return Response(shown.rgba, media_type="application/octet-stream", headers=facts)

    async def socket(self, socket: WebSocket) -> None:
        """Tell a tab the state and every change of it, and do what it asks."""
        await socket.accept()
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def tell(message: dict[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(waiting.put_nowait, message)

        leave = self._desk.listeners.add(tell)
        try:
            await socket.send_json(await _in_thread(self._desk.state))
            await self._talk(socket, waiting)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            leave()

    async def _talk(self, socket: WebSocket, waiting: asyncio.Queue[dict[str, Any]]) -> None:
        async def send() -> None:
            while waiting.qsize() <= MAX_WAITING:
                await socket.send_json(await waiting.get())

        async def hear() -> None:
            async for text in _texts(socket):
                try:
                    await _in_thread(handle, self._desk, text)
                except PaintoverError as error:
                    await waiting.put({"type": "message", "level": "error", "text": str(error)})

        tasks = [asyncio.create_task(send()), asyncio.create_task(hear())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for done in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(done, Exception) and not isinstance(done, (WebSocketDisconnect, RuntimeError)):
                    _LOG.warning("a page's socket: %s", done)

    def _frame(self, request: Request) -> int:
        try:
            frame = int(request.path_params["frame"])
        except ValueError as error:
            raise InputError("a frame is a number") from error
        self._desk.check_frame(frame)
        return frame

    def _served(self, name: str) -> Response:
        data = self._parts.get(name)
        if data is None:
            return PlainTextResponse("there is no such part\n", 404)
        return Response(data, media_type=_TYPES[name[name.rindex(".") :]])


async def _body(request: Request, limit: int) -> bytes | None:
    """What a page sends; None where it is more than ``limit`` bytes."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            return None
    return bytes(data)


async def _texts(socket: WebSocket) -> AsyncIterator[str]:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if text is not None:
            yield text


async def _in_thread(do: Callable[..., _Result], *arguments: Any) -> _Result:
    return await asyncio.to_thread(do, *arguments)


def _picture(data: bytes | None, kind: str = "image/jpeg") -> Response:
    # No error: a result may go while a page asks for it, and browsers tell errors to whoever reads their console.
    return Response(status_code=204) if data is None else Response(data, media_type=kind)


def _exposure(request: Request) -> float:
    try:
        stops = float(request.query_params.get("exposure", "0"))
    except ValueError as error:
        raise InputError("an exposure is a number of stops") from error
    if not math.isfinite(stops) or abs(stops) > _MOST_STOPS:
        raise InputError(f"an exposure of {stops:g} stops is out of range")
    return stops


async def _failed(request: Request, error: Exception) -> Response:
    known = isinstance(error, InputError) and not isinstance(error, ImageError)
    return JSONResponse({"error": str(error)}, 400 if known else 500)


async def _fault(request: Request, error: Exception) -> Response:
    _LOG.warning("%s: %s: %s", request.url.path, type(error).__name__, error)
    return JSONResponse({"error": "an internal fault; see the terminal"}, 500)
