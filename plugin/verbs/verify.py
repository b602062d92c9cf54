"""``paintover verify``: every expected frame is there, whole, and made by this look."""

from __future__ import annotations

from engine.base.errors import InputError
from engine.rendering.render import RenderSettings
from engine.shot.shot import Shot
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.request import (
    carried_from,
    denoise_from,
    encoding_from,
    frames_from,
    look_from,
    matte_from,
    out_from,
    plate_from,
    sidecars_from,
    stylized_by,
    work_from,
)
from plugin.phases.verification import verify_frames, verify_phase
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover verify``."""
    return Parser(COMMANDS["verify"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Check every frame; raises VerifyError, exit code 3, where one is not right."""
    file = None if options.shot is None else Shot.load(options.shot)
    if file is None and options.look is None and options.work is None:
        raise InputError("--look is missing", remedy="name the .onnx that the frames were rendered with")
    frames = frames_from(options, file)
    out = out_from(options, file)
    plate = plate_from(options, file) if options.plate is not None or file is not None else None
    if options.colorspace is not None and plate is None:
        raise InputError("--colorspace is the plate's", remedy="give --plate as well")
    depth, compression = encoding_from(options, file, out)
    settings = RenderSettings(
        tile=file.tile if file and options.tile is None else options.tile,
        out_colorspace=options.out_colorspace or (file.out_colorspace if file else None),
        bit_depth=depth,
        compression=compression,
        softness=options.softness or 0.0,
        carried_layer=carried_from(options, out),
        tensorrt=options.tensorrt,
        denoise=denoise_from(options, file),
        matte=stylized_by(matte_from(options, file)),
    )
    progress.plan([verify_phase(frames)])
    look, work = look_from(options, file), sidecars_from(options, file)
    prepared = work_from(options, file)
    verify_frames(look, frames, out, settings, plate, work, progress, stop, prepared=prepared)
    progress.finish()
    return 0
