"""Paintover's engine: looks that stylize images, and the shots that they are made for and rendered from.

::

    import engine

    with engine.Look.load("hero.onnx") as look:
        styled = look.stylize(engine.read_image("plate.1001.exr"))
    engine.render("hero.onnx", engine.Plate.of("plate.%04d.exr", "1001-1100"), out="out.%04d.exr", work="work")

docs/api.md shows all of it. ``__all__`` is the public API; other names inside the packages may change. Everything
raises subclasses of :class:`PaintoverError`. ``import engine`` itself loads nothing: each name is found when it is
first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.base.errors import (
        ColorError,
        DeviceError,
        FrameFailures,
        ImageError,
        InputError,
        Interrupted,
        LookError,
        NoPermissionError,
        OutputError,
        PaintoverError,
        VerifyError,
    )
    from engine.base.frames import FrameRange, SequencePath
    from engine.color.image_files import read_image, write_image
    from engine.look.card import Card, read_card
    from engine.look.session import Look, Styled
    from engine.motion.stmap import read_stmap, sidecar_path, write_stmap
    from engine.preparation.prepare import PrepareEvent, PrepareReport, prepare
    from engine.rendering.render import RenderEvent, RenderReport, render, verify
    from engine.rendering.settings import RenderSettings
    from engine.rendering.verify import VerifyReport
    from engine.shot.matte_sequence import MatteSequence
    from engine.shot.shot import Keyframe, Plate, Shot

__version__ = "0.1.0"
__all__ = [
    "Card",
    "ColorError",
    "DeviceError",
    "FrameFailures",
    "FrameRange",
    "ImageError",
    "InputError",
    "Interrupted",
    "Keyframe",
    "Look",
    "LookError",
    "MatteSequence",
    "NoPermissionError",
    "OutputError",
    "PaintoverError",
    "Plate",
    "PrepareEvent",
    "PrepareReport",
    "RenderEvent",
    "RenderReport",
    "RenderSettings",
    "SequencePath",
    "Shot",
    "Styled",
    "VerifyError",
    "VerifyReport",
    "__version__",
    "prepare",
    "read_card",
    "read_image",
    "read_stmap",
    "render",
    "sidecar_path",
    "verify",
    "write_image",
    "write_stmap",
]

_MODULES = {
    "engine.base.errors": (
        "ColorError",
        "DeviceError",
        "FrameFailures",
        "ImageError",
        "InputError",
        "Interrupted",
        "LookError",
        "NoPermissionError",
        "OutputError",
        "PaintoverError",
        "VerifyError",
    ),
    "engine.base.frames": ("FrameRange", "SequencePath"),
    "engine.color.image_files": ("read_image", "write_image"),
    "engine.look.card": ("Card", "read_card"),
    "engine.look.session": ("Look", "Styled"),
    "engine.motion.stmap": ("read_stmap", "sidecar_path", "write_stmap"),
    "engine.preparation.prepare": ("PrepareEvent", "PrepareReport", "prepare"),
    "engine.rendering.render": ("RenderEvent", "RenderReport", "render", "verify"),
    "engine.rendering.settings": ("RenderSettings",),
    "engine.rendering.verify": ("VerifyReport",),
    "engine.shot.matte_sequence": ("MatteSequence",),
    "engine.shot.shot": ("Keyframe", "Plate", "Shot"),
}
"""Where each public name is, as the imports above say it to type checkers."""
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

# Hidden from type checkers: to them a module that has this has every name, and a misspelled one would pass.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """A public name, when it is first used (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
