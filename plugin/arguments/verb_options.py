"""The options that one verb alone has; those that several share are in :mod:`plugin.arguments.table`."""

from __future__ import annotations

from engine.base.choices import PAINT_STYLES
from engine.optimize.job import COLOR_MODES, ITERATIONS_OF_SCALE
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
    "OF_STYLE_IMAGES",
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
    default=str(ITERATIONS_OF_SCALE),
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
