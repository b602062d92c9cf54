"""The verbs as data: what each does, its examples, and the options that it takes, in the order of its help.

From this come the parser and the help (:mod:`plugin.arguments.parser`) and the command lines that are written for farms
and hosts (:mod:`plugin.arguments.command_line`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from engine.base.choices import DENOISE_MODES, GUIDE_KINDS, PAINT_STYLES
from plugin.arguments import farm_options as farm
from plugin.arguments import table
from plugin.arguments import verb_options as own
from plugin.arguments.command import Command
from plugin.arguments.engine_options import ENGINE, OPTIONS_OF_ENGINE
from plugin.arguments.live_options import LIVE
from plugin.arguments.machine_commands import MACHINE_COMMANDS
from plugin.arguments.option import Option

__all__ = ["COMMANDS", "submit_through"]


def _under(title: str, *options: Option) -> tuple[Option, ...]:
    """Options in a group of another title."""
    return tuple(option.but(group=title) for option in options)


def _denoise(help_text: str) -> Option:
    return table.DENOISE.but(help=f"{help_text}; {' or '.join(DENOISE_MODES)}")


def _guides(help_text: str) -> Option:
    return table.GUIDES.but(help=f"{help_text}: {', '.join(GUIDE_KINDS)}")


_PLATE = (table.PLATE, table.FRAMES, table.LAYER)
_PAINTINGS = (table.KEYFRAME, table.FIT_PAINTINGS)
_COLOR = (table.COLORSPACE, table.OCIO)
_PAINTED_COLOR = (table.COLORSPACE, table.PAINT_COLORSPACE, table.OCIO)
_MATTES = (table.MATTE, table.MATTE_USE)
_MOTION = (*_MATTES, table.VECTORS, table.BACKWARD_VECTORS, table.NO_REPAINT)
_OUT_PAINTED = table.OVERWRITE.but(
    group="the result", help="replace images that are there, whatever was painted on them"
)
_LENGTH = (table.BUDGET, table.STEPS)
_RECIPE = (
    table.SEED,
    table.RECIPE,
    table.AUGMENT,
    table.SETTINGS,
    table.CRISP,
    table.FEATURES,
    table.RESUME,
)
_RENDERED_WITH = (
    table.TILE,
    table.TENSORRT,
    table.OUT_COLORSPACE,
    table.DEPTH,
    table.COMPRESSION,
    table.NO_STMAPS,
    table.SOFTNESS,
    table.CARRIED,
)
_MACHINE = (table.DEVICE, table.THREADS.but(help="CPU threads; a rendered frame does not depend on it"))
_CALLED = (farm.FRAMES_DIALECT, farm.PATH_MAPPING)
_REPORTING = (table.PROGRESS, table.DEBUG)

_JOB = "the job"
"""Title of what people need first of a whole shot."""
_WHOLE_SHOT_FIRST = (
    table.PLATE,
    table.FRAMES,
    table.KEYFRAME,
    table.OUT,
    table.WORK,
    table.LOOK,
    table.BUDGET,
    table.COLORSPACE,
)
_WHOLE_SHOT_THEN = (
    table.LAYER,
    table.FIT_PAINTINGS,
    table.UNPAINTED,
    *_MOTION,
    _denoise("train on and render a plate with its grain averaged away, which is made first"),
    _guides("train and render with guide images, which are made first"),
    table.STEPS,
    *_RECIPE,
    table.FRESH,
    *_RENDERED_WITH,
    table.OVERWRITE,
)

_ALL = (
    Command(
        "run",
        "The whole job on one machine: follows the painted keyframes through the shot, trains a look from them,\n"
        "renders every frame, verifies them, and ends with a contact sheet and a report in the work folder. Run it\n"
        "again after a stop: what is done stays done.",
        (
            table.SHOT,
            *_under(_JOB, *_WHOLE_SHOT_FIRST, table.DEVICE, table.PROGRESS),
            *_WHOLE_SHOT_THEN,
            table.WORKERS,
            farm.WORKERS_ENGINE,
            table.PAINT_COLORSPACE,
            table.OCIO,
            _MACHINE[1],
            table.MAX_IMAGE_GIB,
            table.DEBUG,
        ),
        (
            "paintover run --plate plate.%04d.jpg --frames 0-10 --keyframe 0=painted.0000.jpg \\",
            "    --budget 60s --work work --out out.%04d.png",
            "paintover run shot.toml",
            "paintover run shot.toml --budget 10m --fresh",
        ),
    ),
    Command(
        "desk",
        "Opens a page in the browser to paint on the shot and see it change: frames, brush, carried strokes, a look\n"
        "that trains while you paint. Paintings from elsewhere are taken as well, and taken again when they are\n"
        "saved. Everything is kept in the work folder; the same command goes on. The page is served on this machine\n"
        "alone, to whoever has the address that is printed; Ctrl-C closes it.",
        (
            table.SHOT,
            *_PLATE,
            *_PAINTINGS,
            table.UNPAINTED,
            *(*_MATTES, table.NO_REPAINT),
            _denoise("train on and render a plate with its grain averaged away, which is made for what is looked at"),
            *(own.PORT.but(default="the one of last time in this work folder, else any free one"), own.NO_BROWSER),
            own.IDLE.but(group="the page", help="end after so long without an open page", default="stay open"),
            *(table.WORK, table.LOOK, table.OUT.but(default="frames in the work folder")),
            *_LENGTH,
            *(table.SEED, table.SETTINGS, table.CRISP, table.FEATURES),
            *_PAINTED_COLOR,
            *(*_MACHINE, table.MAX_IMAGE_GIB),
            *_REPORTING,
        ),
        (
            "paintover desk --plate plate.%04d.exr --frames 1001-1100",
            "paintover desk --plate plate.%04d.jpg --keyframe 0=painted.0000.jpg --work work",
            "paintover desk shot.toml --port 8480 --no-browser",
        ),
    ),
    LIVE,
    Command(
        "prepare",
        "Follows keyframes through a shot and writes, for every frame, where each pixel was in the keyframe: STMaps\n"
        "as in Nuke, with a confidence. A look trained from these keyframes then carries their strokes along. The\n"
        "paintings need not exist yet. What is done stays done, and STMaps of your own are never touched.\n"
        "--denoise also averages grain away along the motion, and needs no keyframe where that is all; --guides also\n"
        "writes images that tell places apart. Training and rendering take them where they are asked to.",
        (
            table.SHOT,
            *_PLATE,
            table.KEYFRAME_NUMBER,
            table.OVERWRITE.but(group="the keyframes", help="make STMaps again that are already right"),
            *_MOTION,
            _denoise("also write the plate with its grain averaged away, into work/denoised"),
            _guides("also write guide images, into work/guide"),
            table.WORK,
            *_COLOR,
            table.THREADS,
            table.MAX_IMAGE_GIB,
            farm.SHARD,
            *_CALLED,
            *_REPORTING,
        ),
        (
            "paintover prepare --plate plate.%04d.exr --frames 1001-1100 --keyframe 1001 --keyframe 1080 --work work",
            "paintover prepare --plate plate.%04d.exr --keyframe 1001 --vectors motion.%04d.exr",
            "paintover prepare shot.toml --overwrite",
            "paintover prepare shot.toml --denoise --guides points",
        ),
    ),
    Command(
        "train",
        "Trains a look from painted keyframes, or with --style from a style image on the plate's own frames. Ctrl-C\n"
        "stops with the best look so far; --resume continues. While it trains, a preview strip in the work folder\n"
        "shows plate, painting or style image, and current result.",
        (
            table.SHOT,
            *_PLATE,
            *_PAINTINGS,
            table.UNPAINTED,
            table.LOOK,
            table.WORK,
            *_LENGTH,
            *_RECIPE,
            own.START,
            *own.OF_STYLE_LOOKS,
            _denoise("train on the denoised plate that prepare --denoise made; render then takes it too"),
            _guides("train with the guide images that prepare --guides made; render then needs them too"),
            *_PAINTED_COLOR,
            *_MACHINE,
            table.MAX_IMAGE_GIB,
            *_CALLED,
            *_REPORTING,
        ),
        (
            "paintover train --plate plate.%04d.exr --frames 1001-1100 --keyframe 1001=p1001.png \\",
            "    --keyframe 1080=p1080.png --work work --look hero.onnx",
            "paintover train shot.toml --budget 5m",
            "paintover train shot.toml --steps 2000 --seed 7 --resume",
            "paintover train shot.toml --from work/look.onnx --budget 30s",
            "paintover train shot.toml --settings work/tune/best.toml --budget 5m",
            "paintover train --plate plate.%04d.exr --style canvas.jpg --features vgg19.pth --budget 10m",
        ),
    ),
    Command(
        "tune",
        "Trains a small grid of settings for the same time each, and scores every one on the frames of a reference\n"
        "(what `paintover sequence` painted, EbSynth's output) that have no painting. Ends with a table, a picture\n"
        "and the best look. Run it again after a stop: finished settings stay.",
        (
            table.SHOT,
            *_PLATE,
            *_PAINTINGS,
            table.WORK,
            own.REFERENCE,
            own.REFERENCE_COLORSPACE,
            own.SECONDS_OF_SETTING,
            own.GRID,
            own.FULL_GRID,
            *_under(
                "the search",
                table.FEATURES.but(
                    help="VGG weights, vgg16 or vgg19: for the losses, and to rank by their distance",
                    default="by mean error",
                ),
                table.SEED.but(help="same for every setting"),
                table.NO_STMAPS,
            ),
            *_PAINTED_COLOR,
            *_MACHINE,
            table.MAX_IMAGE_GIB,
            *_REPORTING,
        ),
        (
            "paintover tune --plate plate.%04d.png --frames 0-99 --keyframe 0=painted.0000.png \\",
            "    --reference ebsynth.%04d.png --work work",
            "paintover tune shot.toml --reference ref.%04d.exr --seconds 60 --full-grid",
            "paintover tune shot.toml --reference ref.%04d.exr --settings grid.toml --seconds 300",
        ),
    ),
    Command(
        "render",
        "Renders any frames of a plate through a look, in any order, on any machine. Frames that are on disk, whole\n"
        "and made by the same look, settings and plate are skipped, so running it again completes a job.",
        (
            table.SHOT,
            table.LOOK,
            *_PLATE,
            table.OUT,
            table.WORK,
            *_MATTES,
            *_RENDERED_WITH,
            table.OVERWRITE,
            table.WORKERS,
            _denoise("render the frames that prepare --denoise made; a look that was trained so does it by itself"),
            *_COLOR,
            *_MACHINE,
            table.MAX_IMAGE_GIB,
            farm.SHARD,
            farm.TIMEOUT,
            *_CALLED,
            farm.EXPECT_LOOK,
            farm.EXPECT_STMAPS,
            farm.EXPECT_PREPARED,
            farm.RESIDENT,
            *_REPORTING,
        ),
        (
            "paintover render --look hero.onnx --plate plate.%04d.exr --frames 1001-1100x2 --work work \\",
            "    --out out.%04d.exr",
            "paintover render shot.toml --frames 1040-1060 --device cuda:1",
            "paintover render --look hero.onnx --plate plate.mov --out out.%04d.png --progress json",
            "paintover render shot.toml --shard 3/8 --timeout 120 --progress lines",
        ),
    ),
    Command(
        "submit",
        "Hands a shot to a farm engine: training, preparing and rendering in chunks, verifying, each as a task of its\n"
        "own, in the right order. Submit it again after a failure: what is done stays done. Without keyframes the\n"
        "look must be there, and is rendered with. --engine NAME --help also shows that engine's options.",
        (
            table.SHOT,
            *_under(_JOB, ENGINE, *_WHOLE_SHOT_FIRST, table.PROGRESS),
            *_WHOLE_SHOT_THEN,
            table.PAINT_COLORSPACE,
            table.OCIO,
            *_MACHINE,
            table.MAX_IMAGE_GIB,
            farm.CHUNK,
            farm.FRAME_TIME,
            farm.TIMEOUT.but(group="tasks"),
            farm.RETRIES,
            farm.GPU,
            table.DEBUG,
        ),
        (
            "paintover submit shot.toml --engine dask --workers 4",
            "paintover submit shot.toml --engine dask --address tcp://scheduler:8786",
            "paintover submit shot.toml --engine slurm --chunk 20",
        ),
    ),
    Command(
        "verify",
        "Checks that every frame of the range exists, decodes in full, and carries the hashes of this look and these\n"
        "settings; with --plate also of the plate as it is now. Exit code 3 names the frames that do not.",
        (
            table.SHOT,
            table.LOOK,
            table.OUT.but(help="the frames to check: out.%04d.exr"),
            *_PLATE,
            table.WORK,
            *_under("rendered with", *_MATTES, *_RENDERED_WITH),
            _denoise("they were rendered with --denoise"),
            *_COLOR,
            table.MAX_IMAGE_GIB,
            *_CALLED,
            *_REPORTING,
        ),
        (
            "paintover verify --look hero.onnx --frames 1001-1100 --out out.%04d.exr",
            "paintover verify shot.toml",
        ),
    ),
    Command(
        "inspect",
        "Prints the card of a look (keyframes, training, colorspaces, versions), or of an image the colorspace that\n"
        "it is taken as and why, how a key was exported, and which look, settings and plate a frame was made from.",
        (own.INSPECTED, table.JSON.but(group="what to inspect"), table.MAX_IMAGE_GIB, table.DEBUG),
        ("paintover inspect hero.onnx", "paintover inspect out.1001.exr --json"),
        usage="paintover inspect PATH [options]",
    ),
    Command(
        "key",
        "Exports frames of the plate as they look on a display, for painting in any program. Images and movies\n"
        "that are made for a display go out as they are. The way back is remembered in each image and beside it:\n"
        "a pixel that you leave alone keeps the plate's own value.",
        (
            *_PLATE,
            table.OUT.but(
                help="exported images: key.%04d.png (16 bits), .tif (16 bits), .jpg (8 bits), or .exr (scene-linear)"
            ),
            _OUT_PAINTED,
            *_COLOR,
            own.DISPLAY,
            own.VIEW,
            own.EXPOSURE,
            table.MAX_IMAGE_GIB,
            *_REPORTING,
        ),
        (
            "paintover key --plate plate.%04d.exr --frames 1001,1080 --out p%04d.png",
            "paintover key --plate night.%04d.exr --frame 7 --out p%04d.png --exposure 2",
        ),
    ),
    Command(
        "paint",
        "Paints frames of the plate with layered brush strokes: a keyframe to try Paintover with before an artist has\n"
        "painted one, or an underpainting to start from; or from style images, by optimization of the frame's pixels;\n"
        "with strokes, which become an SVG as well; or from painted frames, patch by patch.\n"
        "Writes 8 bits, seen as key shows frames.",
        (
            *_PLATE,
            table.OUT.but(help="painted images: painted.%04d.png or .jpg"),
            _OUT_PAINTED,
            own.STYLE,
            own.EXEMPLAR,
            table.SEED.but(group="painting", help="same seed: same painting"),
            *own.OF_STYLE_IMAGES,
            *own.OF_STROKES,
            *_COLOR,
            table.MAX_IMAGE_GIB,
            *_REPORTING,
        ),
        (
            "paintover paint --plate plate.%04d.jpg --frame 0 --out painted.%04d.png",
            f"paintover paint --plate plate.%04d.exr --frame 1001 --style {PAINT_STYLES[0]} --out painted.%04d.png",
            "paintover paint --plate plate.%04d.exr --frame 7 --style canvas.jpg --features vgg19.pth --out p.%04d.png",
            "paintover paint --plate plate.%04d.exr --frame 7 --exemplar 1=p1.png \\",
            "                --exemplar other.0040.exr=p40.png --out p.%04d.png",
            "paintover paint --plate plate.%04d.exr --frame 7 --strokes --out p.%04d.png",
        ),
    ),
    Command(
        "sequence",
        "Paints a shot from style images, by optimization of the frames' pixels: each starts from its painted\n"
        "neighbors, warped by the plate's motion, and is held to them where they show the same surface. For a shot to\n"
        "tune against, to take keyframes from, or as it is; slow: a look renders a frame in a fraction of the time.",
        (
            *_PLATE,
            table.OUT.but(help="painted images: painted.%04d.png or .jpg"),
            _OUT_PAINTED,
            *own.OF_SEQUENCES,
            *_COLOR,
            table.MAX_IMAGE_GIB,
            *_REPORTING,
        ),
        (
            "paintover sequence --plate plate.%04d.exr --frames 1001-1100 --style canvas.jpg --features vgg19.pth \\",
            "    --preview --out look.%04d.png",
            "paintover sequence --plate plate.%04d.jpg --style canvas.jpg --features vgg19.pth --passes 10 \\",
            "    --out look.%04d.png",
        ),
    ),
    Command(
        "suggest",
        "Says which frames to paint: the few that together would carry most of the shot, by the plate's motion.\n"
        "Frames that are painted already count. Ends with a picture and the command that exports the frames.",
        (
            table.SHOT,
            *_PLATE,
            *_PAINTINGS,
            own.COUNT,
            table.OUT.but(
                group="the suggestion", help="the picture", metavar="PATH", default="suggest.png in the work folder"
            ),
            table.JSON.but(group="the suggestion"),
            table.WORK,
            *_COLOR,
            table.MAX_IMAGE_GIB,
            *_REPORTING,
        ),
        (
            "paintover suggest --plate plate.%04d.exr --frames 1001-1100",
            "paintover suggest --plate plate.%04d.jpg --keyframe 0=painted.0000.jpg --count 1",
            "paintover suggest shot.toml --json",
        ),
    ),
    Command(
        "report",
        "Writes one HTML page about a rendered shot: plate and result, how much of every frame rides on a painting,\n"
        "how steady it is, which frames are missing, and which frame to paint next. Opens on any machine.",
        (
            table.SHOT,
            *_PLATE,
            table.OUT.but(help="the rendered frames: out.%04d.exr"),
            table.LOOK.but(default="look.onnx in the work folder, where there is one"),
            *_PAINTINGS,
            table.WORK,
            own.PAGE,
            table.JSON.but(group="the report", help="print JSON as well"),
            *_under("rendered with", *_MATTES, *_RENDERED_WITH),
            _denoise("the frames were rendered with --denoise"),
            *_COLOR,
            table.MAX_IMAGE_GIB,
            *_REPORTING,
        ),
        (
            "paintover report --plate plate.%04d.exr --frames 1001-1100 --work work --out out.%04d.exr",
            "paintover report shot.toml --page review/hero.html",
        ),
    ),
    Command(
        "clean",
        "Shows how much of a work folder can be made again: STMaps, denoised frames, guide images, the preview,\n"
        "the checkpoint, temporary files that were left behind. With --remove it goes. Looks, paintings, rendered\n"
        "frames and files of your own always stay.",
        (
            table.SHOT,
            table.WORK.but(group="what to clean", help="the work folder"),
            table.OUT.but(group="what to clean", help="rendered frames, for temporary files left beside them"),
            own.REMOVE,
            *_REPORTING,
        ),
        ("paintover clean --work work", "paintover clean shot.toml --remove"),
    ),
    Command(
        "export",
        "Writes a look for hosts that run models themselves. For Nuke: TorchScript (.pt), a script (.nk) whose\n"
        "CatFileCreator makes the .cat, and cat.json; this needs what training needs. For Flame: .onnx and .json.",
        (own.EXPORTED, own.EXPORT_TO, *_REPORTING),
        (
            "paintover export hero.onnx --to nuke nuke/",
            "paintover export shot.toml --to nuke nuke/",
            "paintover export work --to flame flame/",
        ),
        usage="paintover export SHOT_OR_LOOK --to nuke|flame DIR [options]",
    ),
    *MACHINE_COMMANDS,
)

COMMANDS: Mapping[str, Command] = MappingProxyType({command.verb: command for command in _ALL})
"""Every verb by its name."""


def submit_through(engine: str) -> Command:
    """``submit`` with the options of an engine as well, before those of reporting."""
    submit = COMMANDS["submit"]
    return replace(submit, options=(*submit.options[:-1], *OPTIONS_OF_ENGINE[engine], submit.options[-1]))
