"""The options that one verb alone has; those that several share are in :mod:`plugin.arguments.table`."""

from __future__ import annotations

from engine.base.choices import PAINT_STYLES
from engine.optimize.brushstrokes.job import PIXEL_ITERATIONS, STROKE_ITERATIONS, STROKES
from engine.optimize.job import COLOR_MODES, ITERATIONS_OF_SCALE
from engine.optimize.sequence.job import ITERATIONS_OF_PASS, LONG_TERM, LONG_TERM_OF_STROKES
from engine.training.job.limits import MINIMUM_BUDGET_S
from plugin.arguments import table, values
from plugin.arguments.option import SWITCH, TEXT, Kind, Option, one_of

__all__ = [
    "ASK",
    "COUNT",
    "DISPLAY",
    "EXEMPLAR",
    "EXPORTED",
    "EXPORT_TO",
    "EXPOSURE",
    "FULL_GRID",
    "GRID",
    "HOST",
    "IDLE",
    "INSPECTED",
    "INSTALL_TO",
    "MEMORY",
    "NO_BROWSER",
    "OF_SEQUENCES",
    "OF_STROKES",
    "OF_STYLE_IMAGES",
    "OF_STYLE_LOOKS",
    "PAGE",
    "PORT",
    "REFERENCE",
    "REFERENCE_COLORSPACE",
    "REMOVE",
    "SECONDS_OF_SETTING",
    "SOCKET",
    "START",
    "STYLE",
    "TUNE_SECONDS",
    "VIEW",
]

TUNE_SECONDS = 30
"""Training time of each setting that ``tune`` tries, where none is given."""

# paint

_STYLE_IMAGE = "painting from style images or exemplars"

STYLE = Option(
    "style",
    ("--style",),
    Kind(takes="many"),
    "painting",
    f"{', '.join(PAINT_STYLES)}; or a style image, whose colors and strokes are taken: repeat for several",
    metavar="NAME|PATH[,weight=W]",
    default=PAINT_STYLES[0],
)
EXEMPLAR = Option(
    "exemplars",
    ("--exemplar",),
    Kind(takes="many"),
    "painting",
    "a painted frame, by the image below it or its number in the plate, in place of a style: frames are put together "
    "from them; repeat it",
    metavar="PLATE|FRAME=PAINTING",
)
STYLE_SCALE = Option(
    "style_scale",
    ("--style-scale",),
    values.positive("--style-scale"),
    _STYLE_IMAGE,
    "size of the style images, as a multiple of the frame's: larger for broader strokes",
    metavar="X",
    default="1",
)
STYLE_STRENGTH = Option(
    "style_strength",
    ("--style-strength",),
    values.positive("--style-strength"),
    _STYLE_IMAGE,
    "how much the style counts against the plate's forms",
    metavar="X",
    default="1",
)
STYLE_LAYERS = Option(
    "style_layers",
    ("--style-layers",),
    TEXT,
    _STYLE_IMAGE,
    "how much each of the five layers counts that the style is compared by, from fine texture to large forms",
    metavar="W,W,W,W,W",
    default="1,1,1,1,1",
)
COLORS = Option(
    "colors",
    ("--colors",),
    one_of(*COLOR_MODES),
    _STYLE_IMAGE,
    "the style image's colors; or the plate's, with the style in its lightness alone, or by their mean and spread: "
    + ", ".join(COLOR_MODES),
    metavar="MODE",
    default=COLOR_MODES[0],
)
ITERATIONS = Option(
    "iterations",
    ("--iterations",),
    values.counted("--iterations", 1, f"{ITERATIONS_OF_SCALE} is a good start"),
    _STYLE_IMAGE,
    "steps of the optimization at each scale",
    metavar="N",
    default=f"{ITERATIONS_OF_SCALE}; with --strokes {STROKE_ITERATIONS}, of the strokes",
)
OF_STYLE_IMAGES = (
    table.FEATURES.but(group=_STYLE_IMAGE, help="deep features: VGG weights, or vgg19 or vgg16 to fetch them"),
    ITERATIONS,
    STYLE_SCALE,
    STYLE_STRENGTH,
    STYLE_LAYERS,
    COLORS,
    table.MATTE.but(
        group=_STYLE_IMAGE,
        help="where the painting goes, numbered as the plate: matte.%04d.png; elsewhere the plate stays",
    ),
    table.RESUME.but(group=_STYLE_IMAGE, help="go on after a stop; frames that are painted stay"),
    table.WORK.but(group=_STYLE_IMAGE, help="folder for checkpoint and preview"),
    table.DEVICE.but(group=_STYLE_IMAGE),
    table.THREADS.but(group=_STYLE_IMAGE, help="CPU threads"),
)

_STROKES = "painting with strokes"

OF_STROKES = (
    Option(
        "strokes",
        ("--strokes",),
        SWITCH,
        _STROKES,
        "curves that are moved, bent and colored one by one until they show the plate, or a style image's manner; "
        "an SVG of them comes beside each painting",
    ),
    Option(
        "stroke_count",
        ("--stroke-count",),
        values.counted("--stroke-count", 10, f"{STROKES} is a good start"),
        _STROKES,
        "strokes of a frame, at most",
        metavar="N",
        default=str(STROKES),
    ),
    Option(
        "directions",
        ("--directions",),
        TEXT,
        _STROKES,
        "which way strokes run: lines on a transparent layer, or white on black; or an image of directions, x in red "
        "and y in green; one for all frames or numbered as the plate",
        metavar="PATH",
    ),
    Option(
        "pixel_iterations",
        ("--pixel-iterations",),
        values.counted("--pixel-iterations", 0, f"{PIXEL_ITERATIONS} is a good start, 0 leaves the strokes alone"),
        _STROKES,
        "steps on the pixels when the strokes lie, to give them the style image's texture",
        metavar="N",
        default=str(PIXEL_ITERATIONS),
    ),
)

# sequence

_IN_TIME = "the sequence"


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


PASSES = Option(
    "passes",
    ("--passes",),
    values.counted("--passes", 1, "1 is one sweep, 10 are good for most"),
    _IN_TIME,
    "go through the shot so often, forward and backward in turn, from frames that are painted alone first",
    metavar="N",
    default="1, each frame from the one before",
)
LONG_TERM_OFFSETS = Option(
    "long_term",
    ("--long-term",),
    TEXT,
    _IN_TIME,
    "hold a frame to those so many frames away as well, where nearer ones do not show a surface; or none",
    metavar="N,N",
    default=f"{_listed(LONG_TERM)}; {_listed(LONG_TERM_OF_STROKES)} with --strokes",
)
PREVIEW = Option(
    "preview", ("--preview",), SWITCH, _IN_TIME, "all of it at a quarter of the width and height", default="full size"
)
OF_SEQUENCES = (
    STYLE.but(
        group=_STYLE_IMAGE,
        help="a style image, whose colors and strokes are taken: repeat for several",
        metavar="PATH[,weight=W]",
        default=None,
    ),
    ITERATIONS.but(
        help="steps of the optimization: of each frame at each scale, and in each further pass",
        default=f"{ITERATIONS_OF_SCALE}; {ITERATIONS_OF_PASS} with several passes",
    ),
    *(
        option
        for option in OF_STYLE_IMAGES
        if option.field in ("features", "style_scale", "style_strength", "style_layers", "colors")
    ),
    table.SEED.but(group=_STYLE_IMAGE, help="of the noise to start from"),
    *(option for option in OF_STYLE_IMAGES if option.field == "matte"),
    *(option.but(group=_IN_TIME) for option in (PASSES, LONG_TERM_OFFSETS)),
    *(option.but(group=_IN_TIME) for option in OF_STROKES if option.field in ("strokes", "stroke_count")),
    PREVIEW,
    *(option.but(group=_IN_TIME) for option in (table.VECTORS, table.BACKWARD_VECTORS)),
    table.RESUME.but(group=_IN_TIME, help="go on after a stop, to the same frames"),
    table.WORK.but(group=_IN_TIME, help="folder for the frames of passes and the preview"),
    *(option.but(group=_IN_TIME) for option in OF_STYLE_IMAGES if option.field in ("device", "threads")),
)

# key

DISPLAY = Option(
    "display",
    ("--display",),
    TEXT,
    "view",
    "OCIO display, for images that are made for one too",
    metavar="NAME",
    default="the config's; no display for those",
)
VIEW = Option("view", ("--view",), TEXT, "view", "OCIO view", metavar="NAME", default="the display's default one")
EXPOSURE = Option(
    "exposure",
    ("--exposure",),
    values.NUMBER,
    "view",
    "brighten for painting, undone on the way back",
    metavar="STOPS",
    default="0",
)

# train

START = Option(
    "start",
    ("--from",),
    values.PATH,
    "training",
    "go on from an earlier look or checkpoint of this shot, after a painting changed",
    metavar="LOOK|CHECKPOINT",
    default="begin with nothing learnt",
)

_STYLE_LOOK = "training from style images"

OF_STYLE_LOOKS = (
    STYLE.but(
        group=_STYLE_LOOK,
        help="learn from this picture, and from no painting; repeat for a mixture. Needs --features",
        metavar="PATH[,weight=W]",
        default="learn from paintings",
    ),
    STYLE_SCALE.but(group=_STYLE_LOOK),
    STYLE_STRENGTH.but(group=_STYLE_LOOK),
    Option(
        "steadiness",
        ("--steadiness",),
        values.NUMBER,
        _STYLE_LOOK,
        "how much it counts that the result follows the motion without flicker; 0 for nothing",
        metavar="X",
        default="1",
    ),
    COLORS.but(group=_STYLE_LOOK),
)

# tune

REFERENCE = Option(
    "reference",
    ("--reference",),
    TEXT,
    "the search",
    "frames to come close to: ref.%04d.png; those with a painting do not count",
    metavar="P",
)
REFERENCE_COLORSPACE = Option(
    "reference_colorspace",
    ("--reference-colorspace",),
    TEXT,
    "the search",
    "colorspace of the reference",
    metavar="NAME",
    default="as for --colorspace",
)
SECONDS_OF_SETTING = Option(
    "seconds",
    ("--seconds",),
    values.counted("--seconds", round(MINIMUM_BUDGET_S), f"{TUNE_SECONDS} is a good start"),
    "the search",
    "training time of each setting",
    metavar="N",
    default=str(TUNE_SECONDS),
)
GRID = Option(
    "grid",
    ("--settings",),
    TEXT,
    "the search",
    "lists named batch, patch, blocks, learning_rate",
    metavar="FILE.toml",
    default="half and twice of each default",
)
FULL_GRID = Option(
    "full_grid",
    ("--full-grid",),
    SWITCH,
    "the search",
    "every combination",
    default="one parameter at a time, 9 settings",
)

# suggest

COUNT = Option(
    "count",
    ("--count",),
    values.counted("--count", 1, "ask for 1 or more"),
    "the suggestion",
    "how many frames to paint at most",
    metavar="K",
    default="3",
)

# report

PAGE = Option(
    "page", ("--page",), TEXT, "the report", "the HTML page", metavar="PATH", default="report.html in the work folder"
)

# clean

REMOVE = Option(
    "remove", ("--remove",), SWITCH, "what to clean", "remove it; without this, nothing is touched", destroys=True
)

# inspect, export, install

INSPECTED = Option("path", (), TEXT, "what to inspect", "a look (.onnx) or a rendered frame", metavar="PATH")
EXPORTED = Option(
    "path",
    (),
    TEXT,
    "what and where",
    "a look (.onnx), a shot file (.toml) or a work folder",
    metavar="SHOT_OR_LOOK",
)
EXPORT_TO = Option(
    "to",
    ("--to",),
    Kind(takes="pair"),
    "what and where",
    "nuke or flame, and the folder to write to",
    metavar=("HOST", "DIR"),
)
HOST = Option("path", (), TEXT, "which host, and where", "nuke or resolve", metavar="HOST", may_be_missing=True)
INSTALL_TO = Option(
    "place",
    ("--to",),
    TEXT,
    "which host, and where",
    "where to",
    metavar="DIR",
    default="the host's folder for this user",
)

# worker

SOCKET = Option(
    "socket",
    ("--socket",),
    TEXT,
    "serving",
    "listen on 127.0.0.1; port and token go to this new file, for you alone",
    metavar="FILE",
    default="stdin and stdout",
)
ASK = Option(
    "ask",
    ("--ask",),
    TEXT,
    "serving",
    "send one request to the worker at --socket, starting it if need be, and print the answer's JSON",
    metavar="FILE",
)
IDLE = Option(
    "idle",
    ("--idle",),
    values.positive("--idle"),
    "serving",
    "end after so many without a request",
    metavar="SECONDS",
    default="600",
)
MEMORY = Option(
    "memory",
    ("--memory",),
    values.positive("--memory"),
    "serving",
    "for the looks kept loaded",
    metavar="GIB",
    default="a quarter of what is free",
)

# desk

PORT = Option(
    "port",
    ("--port",),
    values.PORT,
    "the page",
    "of 127.0.0.1, where the page is served",
    metavar="N",
    default="0, any free one",
)
NO_BROWSER = Option("no_browser", ("--no-browser",), SWITCH, "the page", "open no browser: the address is on stdout")
