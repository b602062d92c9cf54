"""``paintover live``: a movie, a camera or a stream, stylized as it plays."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from engine.base.errors import InputError, PaintoverError
from engine.base.frames import SequencePath
from engine.color.config import ColorConfig
from engine.live.outputs import ImageOutput, MovieOutput
from engine.live.sources import LiveSource, open_source
from engine.live.stream import LiveFigures, LiveStream, ShownPicture
from engine.live.stylizer import LiveStylizer
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import check_device, check_spaces, prepare_folder
from plugin.progress.protocol import Phase, Progress
from plugin.progress.stop import StopRequest

__all__ = ["parser", "run"]

DEFAULT_SIZE = 320


def parser() -> Parser:
    """The options of ``paintover live``."""
    return Parser(COMMANDS["live"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Stylize until the source ends, or somebody ends it."""
    if options.look is None:
        raise InputError("--look is missing", remedy="name the .onnx to stylize with, or train one first")
    if options.source is None:
        raise InputError("--source is missing", remedy="name a movie, images, a camera such as 0, or an address")
    if options.keyframe_painting is not None and options.keyframe_at is None:
        options.keyframe_at = 0
    config = ColorConfig.active(options.ocio)
    check_spaces(config, [options.colorspace])
    device = options.device or "auto"
    check_device(device)
    size = DEFAULT_SIZE if options.size is None else options.size
    source = open_source(options.source, loop=options.loop, rate=options.rate, size=size)
    progress.plan([Phase("live", f"Stylizing {source.name}")])
    with ExitStack() as closing, stop.cooperative():
        stylizer = LiveStylizer(
            Path(options.look), config, size=size, file=source.file, colorspace=options.colorspace, device=device,
            threads=options.threads, on_keyframe=lambda error: _say_keyframe(progress, error),
        )  # fmt: skip
        closing.callback(stylizer.close)
        outputs = _outputs(options, source, config, progress)
        for output in outputs:
            closing.callback(output.close)

        def show(picture: ShownPicture) -> None:
            for each in outputs:
                each.show(picture)

        painting = None if options.keyframe_painting is None else Path(options.keyframe_painting)
        if options.keyframe_at is None:
            progress.note("no keyframe: every picture is translated by itself; --keyframe-at first has strokes carried")
        progress.begin("live")
        stream = LiveStream(
            source, stylizer, show, warn=progress.warn, key_at=options.keyframe_at,
            on_key=lambda: stylizer.key(painting),
        )  # fmt: skip
        figures = stream.run(
            stop, seconds=options.duration, pictures=options.pictures, report=_reporter(options, progress)
        )
    progress.note(_said(figures), _facts(figures))
    if figures.shown == 0 and not stop():
        raise PaintoverError("the source ended before a picture was shown", path=source.name, remedy="check it")
    progress.finish()
    # Ctrl-C is how it is ended; a scheduler's SIGTERM is told as such.
    return stop.exit_code if stop() and stop.exit_code != 130 else 0


class _Output(Protocol):
    def show(self, picture: ShownPicture) -> None:
        """Take a picture."""

    def close(self) -> None:
        """Finish."""


class _Page:
    """What is shown, in a browser."""

    def __init__(self, port: int, progress: Progress, *, json: bool, browser: bool) -> None:
        try:
            # Here, because --help should not wait for it, and who writes a movie need not have it.
            from plugin.desk.broadcast import Broadcast
            from plugin.desk.server import listen
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "websockets", "anyio"):
                raise
            remedy = 'give --out, or pip install "paintover[desk]"'
            raise InputError("showing it in a browser needs the desk's server", remedy=remedy) from error
        self._broadcast = Broadcast(listen(port))
        address = self._broadcast.address
        if json:
            progress.note(address, {"address": address})
        else:
            print(address, flush=True)
        if browser:
            webbrowser.open(address)

    def show(self, picture: ShownPicture) -> None:
        self._broadcast.show(picture.styled.codes)

    def close(self) -> None:
        self._broadcast.close()


def _outputs(options: Options, source: LiveSource, config: ColorConfig, progress: Progress) -> list[_Output]:
    made: list[_Output] = []
    if options.out is not None:
        made.append(_written(options.out, source, config))
    if options.port is not None or not made:
        shown = _Page(
            options.port or 0, progress, json=options.progress == "json", browser=not (options.no_browser or made)
        )
        made.append(shown)
    return made


def _written(out: str, source: LiveSource, config: ColorConfig) -> _Output:
    if Path(out).suffix.lower() == ".mp4":
        if Path(out).absolute() == source.file.absolute():
            raise InputError("the movie would replace its own source", path=out, remedy="choose another --out")
        return MovieOutput(Path(out), source.rate)
    path = SequencePath.parse(out)
    if path.is_movie or path.suffix.lower() not in (".png", ".jpg", ".tif"):
        raise InputError(f'"{out}" is no .mp4 and no pattern of .png, .jpg or .tif', remedy="write live.mp4")
    if source.images is not None and path.collides(source.images, source.images.existing() or ()) is not None:
        raise InputError("the images would replace the source's", path=out, remedy="choose another --out")
    prepare_folder(path.folder)
    return ImageOutput(path, None)


def _reporter(options: Options, progress: Progress) -> Callable[[LiveFigures], None]:
    def report(figures: LiveFigures) -> None:
        done = 0.0
        if options.duration is not None:
            done = figures.elapsed_s / options.duration
        if options.pictures is not None:
            done = max(done, figures.shown / options.pictures)
        progress.update(done, _said(figures), _facts(figures))

    return report


def _say_keyframe(progress: Progress, error: PaintoverError | None) -> None:
    if error is None:
        progress.note("strokes ride on the keyframe from here on", {"keyframe": True})
    else:
        progress.warn(f"the keyframe is not followed: {error}")


def _said(figures: LiveFigures) -> str:
    carried = f", {100 * figures.carried:.0f} % carried" if figures.carried else ""
    return (
        f"{figures.shown} shown, {figures.dropped} dropped, {figures.fps:.1f} frames/s, "
        f"{figures.latency_s:.2f} s behind{carried}"
    )


def _facts(figures: LiveFigures) -> dict[str, object]:
    return {
        "shown": figures.shown,
        "dropped": figures.dropped,
        "fps": round(figures.fps, 2),
        "latency_s": round(figures.latency_s, 3),
        "worst_s": round(figures.worst_s, 3),
        "carried": round(figures.carried, 4),
        "elapsed_s": round(figures.elapsed_s, 1),
    }
