"""What a command line asks for: its options over the shot file's values over the defaults, as one :class:`Shot`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.base.choices import MATTE_USES
from engine.base.errors import ImageError, InputError
from engine.base.frames import FrameRange, SequencePath
from engine.images import movies
from engine.images.encoding import check_encoding
from engine.shot.matte_sequence import MatteSequence
from engine.shot.shot import Keyframe, Plate, Shot
from engine.training.job.limits import MINIMUM_BUDGET_S
from plugin.arguments.options import Options
from plugin.arguments.values import DEFAULT_BUDGET_S

__all__ = [
    "carried_from",
    "denoise_from",
    "encoding_from",
    "frames_from",
    "guides_from",
    "length_from",
    "look_from",
    "matte_from",
    "out_from",
    "painted_from",
    "painted_so_far",
    "plate_from",
    "repaint_from",
    "shot_from",
    "sidecars_from",
    "stylized_by",
    "work_from",
]

_DEFAULT_WORK = Path("work")
_DEFAULT_LOOK = "look.onnx"


def shot_from(options: Options, *, paintings: bool, frames_out: bool = True) -> Shot:
    """Merge options and shot file.

    Args:
        paintings: the verb needs keyframes. One that only renders may take a range that leaves them out.
        frames_out: the verb writes frames.

    Raises:
        InputError: no plate, no keyframe, no output, or values that do not go together; see :class:`Shot`.
        ImageError: without a range, no frame of the plate is on disk.
    """
    file = None if options.shot is None else Shot.load(options.shot)
    plate = plate_from(options, file)
    budget_s, steps = length_from(options, file)
    base = Shot(plate) if file is None else file
    return Shot(
        plate=plate,
        keyframes=_keyframes(options, file) if paintings else (),
        out=out_from(options, file) if frames_out else None,
        work=work_from(options, file),
        look=look_from(options, file),
        budget_s=budget_s,
        steps=steps,
        seed=base.seed if options.seed is None else options.seed,
        device=options.device or base.device,
        stmaps=base.stmaps and not options.no_stmaps,
        repaint=repaint_from(options, file),
        denoise=denoise_from(options, file),
        guides=guides_from(options, file),
        unpainted=options.unpainted or base.unpainted,
        tile=base.tile if options.tile is None else options.tile,
        workers=options.workers or base.workers,
        out_colorspace=options.out_colorspace or base.out_colorspace,
        depth=options.depth or base.depth,
        compression=options.compression or base.compression,
        matte=matte_from(options, file),
    )


def painted_so_far(options: Options) -> tuple[Shot | None, Plate, tuple[Keyframe, ...]]:
    """The shot file, plate and keyframes of a verb that looks at a shot, however much of it is painted.

    Raises:
        InputError: no plate given, a keyframe outside its range or given twice; see also :meth:`Shot.load`.
        ImageError: nothing of the plate is on disk.
    """
    file = None if options.shot is None else Shot.load(options.shot)
    shot = Shot(plate_from(options, file), painted_from(options, file))
    return file, shot.plate, shot.keyframes


def plate_from(options: Options, shot: Shot | None) -> Plate:
    """The plate of options and shot file; without a range, every frame on disk or in the movie.

    Raises:
        InputError: no plate given.
        ImageError: nothing of it is on disk.
    """
    colorspace = options.colorspace or (shot.plate.colorspace if shot else None)
    layer = options.layer or (shot.plate.path.layer if shot else None)
    if options.plate is not None:
        path = SequencePath.parse(options.plate).with_layer(layer)
        known = None
    elif shot is not None:
        path = shot.plate.path.with_layer(layer)
        known = shot.plate.frames
    else:
        raise InputError("--plate is missing", remedy="name the source frames, such as --plate plate.%04d.exr")
    if path.names_views and path.existing() is None:
        what = f'the plate "{path}" stands for several views'
        raise InputError(what, remedy="say which one, such as --layer left; each is a shot of its own")
    if options.frames is not None:
        return Plate(path, FrameRange.parse(options.frames), colorspace)
    if known is not None:
        return Plate(path, known, colorspace)
    if path.is_movie:
        return Plate(path, FrameRange(tuple(range(movies.frame_count(path.path(0))))), colorspace)
    found = path.existing()
    if found is None:
        raise ImageError("no frame of the plate is on disk", path=path.text, remedy=path.meant)
    return Plate(path, found, colorspace)


def frames_from(options: Options, shot: Shot | None) -> FrameRange:
    """The range of a verb that needs no plate.

    Raises:
        InputError: neither a range nor a plate to take it from.
        ImageError: nothing of the plate is on disk.
    """
    if options.frames is not None:
        return FrameRange.parse(options.frames)
    if options.plate is None and shot is None:
        raise InputError("--frames is missing", remedy="say which frames to expect, such as --frames 1001-1100")
    return plate_from(options, shot).frames


def out_from(options: Options, shot: Shot | None) -> SequencePath:
    """Where frames go.

    Raises:
        InputError: not given, or without a frame number.
    """
    if options.out is not None:
        return SequencePath.parse(options.out)
    if shot is None or shot.out is None:
        raise InputError("--out is missing", remedy="say where frames go, such as --out out.%04d.png")
    return shot.out


def work_from(options: Options, shot: Shot | None) -> Path:
    """The work folder."""
    if options.work is not None:
        return Path(options.work)
    return (shot.work if shot else None) or _DEFAULT_WORK


def look_from(options: Options, shot: Shot | None) -> Path:
    """The look: the one named, else the one in the work folder."""
    if options.look is not None:
        return Path(options.look)
    return (shot.look if shot else None) or work_from(options, shot) / _DEFAULT_LOOK


def sidecars_from(options: Options, shot: Shot | None) -> Path | None:
    """The folder to look for STMap sidecars in; None for the plain translator."""
    return None if options.no_stmaps or (shot and not shot.stmaps) else work_from(options, shot)


def repaint_from(options: Options, shot: Shot | None) -> bool:
    """Whether what no keyframe shows gets strokes of surfaces that look alike."""
    return not options.no_repaint and (shot is None or shot.repaint)


def denoise_from(options: Options, shot: Shot | None) -> str | None:
    """How the plate is denoised; None for not at all."""
    return options.denoise or (shot.denoise if shot else None)


def guides_from(options: Options, shot: Shot | None) -> str | None:
    """Which guide images are taken; None for none."""
    return options.guides or (shot.guides if shot else None)


def matte_from(options: Options, shot: Shot | None) -> MatteSequence | None:
    """The mattes and what they are used for; None for none.

    Raises:
        InputError: no frame number in the pattern, or a use of mattes that are not given.
    """
    known = shot.matte if shot else None
    if options.matte is not None:
        use = options.matte_use or (known.use if known else MATTE_USES[0])
        return MatteSequence(SequencePath.parse(options.matte), use)
    if options.matte_use is None:
        return known
    if known is None:
        raise InputError("--matte-use needs --matte", remedy="name the mattes, such as --matte matte.%04d.png")
    return replace(known, use=options.matte_use)


def stylized_by(matte: MatteSequence | None) -> str | None:
    """The pattern of mattes as :class:`engine.rendering.settings.RenderSettings` takes it; None for everywhere."""
    return None if matte is None or matte.stylized is None else matte.stylized.text


def carried_from(options: Options, out: SequencePath) -> bool:
    """Whether frames hold the layer of carried shares.

    Raises:
        InputError: asked for in a format without layers.
    """
    if options.carried and Path(out.text).suffix.lower() != ".exr":
        raise InputError(f'"{out}" cannot hold the layer of --carried', remedy="write --out out.%04d.exr")
    return options.carried


def encoding_from(options: Options, shot: Shot | None, out: SequencePath) -> tuple[str | None, str | None]:
    """Depth and compression of rendered frames; None for the format's own.

    Raises:
        InputError: the format of ``out`` has no such depth or compression.
    """
    depth = options.depth or (shot.depth if shot else None)
    compression = options.compression or (shot.compression if shot else None)
    check_encoding(out.text, depth, compression)
    return depth, compression


def painted_from(options: Options, shot: Shot | None) -> tuple[Keyframe, ...]:
    """The keyframes of a verb that can do without."""
    if options.keyframes:
        return tuple(options.keyframes)
    return shot.keyframes if shot else ()


def _keyframes(options: Options, file: Shot | None) -> tuple[Keyframe, ...]:
    painted = painted_from(options, file)
    if not painted:
        raise InputError("no keyframe given", remedy="paint a frame and add --keyframe FRAME=PAINTING")
    if options.paint_colorspace is None:
        return painted
    return tuple(replace(keyframe, colorspace=keyframe.colorspace or options.paint_colorspace) for keyframe in painted)


def length_from(options: Options, file: Shot | None) -> tuple[float | None, int | None]:
    """Budget in seconds and steps; exactly one is set."""
    budget_s, steps = options.budget, options.steps
    if budget_s is None and steps is None and file is not None:
        budget_s, steps = file.budget_s, file.steps
    if budget_s is not None and not budget_s >= MINIMUM_BUDGET_S:
        raise InputError(
            f"a budget of {budget_s:g} s is too small to train anything", remedy=f"give {MINIMUM_BUDGET_S:g} s or more"
        )
    if budget_s is None and steps is None:
        budget_s = DEFAULT_BUDGET_S
    return budget_s, steps
