"""The verb ``live`` as data: its options, which no other verb has, and what it takes of the shared ones."""

from __future__ import annotations

from plugin.arguments import table, values
from plugin.arguments import verb_options as own
from plugin.arguments.command import Command
from plugin.arguments.option import SWITCH, TEXT, Option

__all__ = ["LIVE"]

_SOURCE = Option(
    "source",
    ("--source",),
    TEXT,
    "the source",
    "a movie, plate.%04d.jpg, a camera (0, /dev/video0, camera:NAME), or an address: http, https, rtsp, rtmp, srt, udp",
    metavar="FILE|URL|DEVICE",
)
_LOOP = Option("loop", ("--loop",), SWITCH, "the source", "begin again at the end of a file")
_RATE = Option(
    "rate",
    ("--rate",),
    values.positive("--rate"),
    "the source",
    "frames per second of a file",
    metavar="FPS",
    default="the movie's own; 24 for images",
)
_SIZE = Option(
    "size",
    ("--size",),
    values.counted("--size", 0, "give 320, or 0 for the source's own"),
    "the source",
    "longest side that frames are brought to before they are stylized, pixels; 0 for the source's own",
    metavar="N",
    default="320",
)
_KEYFRAME_AT = Option(
    "keyframe_at",
    ("--keyframe-at",),
    values.PLACE,
    "the keyframe",
    "take this picture of the stream, counted from 0, or the first, as the keyframe that strokes ride on from then on",
    metavar="N|first",
    default="none: every picture is translated by itself",
)
_KEYFRAME_PAINTING = Option(
    "keyframe_painting",
    ("--keyframe",),
    values.PATH,
    "the keyframe",
    "its painting; what that leaves out is rendered by the look",
    metavar="PAINTING",
    default="what the look makes of it",
)
_FRAMES = Option(
    "pictures",
    ("--frames",),
    values.counted("--frames", 1, "ask for 1 or more"),
    "the end",
    "end after so many stylized frames",
    metavar="N",
)
_DURATION = Option(
    "duration", ("--duration",), values.SECONDS, "the end", "end after so many seconds", metavar="SECONDS"
)

LIVE = Command(
    "live",
    "Stylizes a movie, a camera or a stream as it plays, into a page of this machine, a movie or images. What it\n"
    "is too slow for is dropped, so that the picture never lags. Without --out it opens the page. On request\n"
    "strokes ride on a keyframe that is taken from the stream. Ctrl-C ends it, and finishes the movie.",
    (
        _SOURCE,
        _LOOP,
        _RATE,
        _SIZE,
        table.LOOK.but(default=""),
        _KEYFRAME_AT,
        _KEYFRAME_PAINTING,
        table.OUT.but(help="shown frames: live.mp4, or out.%04d.png or .jpg, numbered as in the source"),
        own.PORT.but(group="the result", help="of 127.0.0.1: also serve what is shown there, as MJPEG"),
        own.NO_BROWSER.but(group="the result"),
        _DURATION,
        _FRAMES,
        table.COLORSPACE.but(help="colorspace of the source"),
        table.OCIO,
        table.DEVICE,
        table.THREADS,
        table.MAX_IMAGE_GIB,
        table.PROGRESS,
        table.DEBUG,
    ),
    (
        "paintover live --look hero.onnx --source 0",
        "paintover live --look hero.onnx --source clip.mp4 --loop --keyframe-at first",
        "paintover live --look hero.onnx --source rtsp://camera.local/stream --out live.mp4 --duration 60",
    ),
)
