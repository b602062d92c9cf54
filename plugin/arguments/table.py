"""The options that several verbs share, each declared once; a verb takes them as they are, or with :meth:`Option.but`.

Those of one verb alone are in :mod:`plugin.arguments.verb_options`, those of farms in
:mod:`plugin.arguments.farm_options`, and which verb takes which in :mod:`plugin.arguments.commands`.
"""

from __future__ import annotations

from engine.base.choices import DENOISE_MODES, FLOAT_DEPTHS, GUIDE_KINDS, MATTE_USES, UNPAINTED_MODES
from engine.training.job.limits import AUGMENTATIONS, FULL_FRAME, RECIPES
from plugin.arguments import values
from plugin.arguments.option import SWITCH, TEXT, Kind, Option, one_of
from plugin.progress.protocol import MODES

__all__ = [
    "AUGMENT",
    "BACKWARD_VECTORS",
    "BUDGET",
    "CARRIED",
    "COLORSPACE",
    "COMPRESSION",
    "CRISP",
    "DEBUG",
    "DENOISE",
    "DEPTH",
    "DEVICE",
    "FEATURES",
    "FIT_PAINTINGS",
    "FRAMES",
    "FRESH",
    "GUIDES",
    "JSON",
    "KEYFRAME",
    "KEYFRAME_NUMBER",
    "LAYER",
    "LOOK",
    "MATTE",
    "MATTE_USE",
    "MAX_IMAGE_GIB",
    "NO_REPAINT",
    "NO_STMAPS",
    "OCIO",
    "OUT",
    "OUT_COLORSPACE",
    "OVERWRITE",
    "PAINT_COLORSPACE",
    "PLATE",
    "PROGRESS",
    "RECIPE",
    "RESUME",
    "SEED",
    "SETTINGS",
    "SHOT",
    "SOFTNESS",
    "STEPS",
    "TENSORRT",
    "THREADS",
    "TILE",
    "UNPAINTED",
    "VECTORS",
    "WORK",
    "WORKERS",
]


SHOT = Option("shot", (), values.PATH, "", "the shot file", metavar="SHOT.toml", may_be_missing=True)

# The plate

PLATE = Option(
    "plate",
    ("--plate",),
    values.PATH,
    "the plate",
    "source frames: plate.%04d.exr, plate.####.exr, plate.$F4.exr, or a movie",
    metavar="P",
)
FRAMES = Option(
    "frames",
    ("--frames", "--frame"),
    TEXT,
    "the plate",
    "frame range, inclusive: 7, 1001-1100, 1-99x2, 1-5,9",
    metavar="R",
    default="every frame found on disk",
    signed=r"-\d[\d\s,:xy-]*",
)

LAYER = Option(
    "layer",
    ("--layer",),
    TEXT,
    "the plate",
    "layer or view of EXR plates to take, such as beauty, right or right.beauty",
    metavar="NAME",
    default="the one that is called the picture",
)

# The mattes

MATTE = Option(
    "matte",
    ("--matte",),
    values.PATH,
    "the mattes",
    "a matte for every frame, numbered as the plate: matte.%04d.exr, .png, or a movie; 1 is the object",
    metavar="P",
    default="none",
)
MATTE_USE = Option(
    "matte_use",
    ("--matte-use",),
    one_of(*MATTE_USES),
    "the mattes",
    "stylize: outside the plate stays; track: the object and what lies behind it are followed apart; or both",
    metavar="USE",
    default=MATTE_USES[0],
)

# The paintings

KEYFRAME = Option(
    "keyframes",
    ("--keyframe",),
    values.KEYFRAMES,
    "the paintings",
    "frame number and its painting; repeat for more. The matte says where the painting counts",
    metavar="F=PATH[,matte=PATH]",
    signed=r"-\d+(=.*)?",
)
KEYFRAME_NUMBER = Option(
    "keyframe_numbers",
    ("--keyframe",),
    values.KEYFRAME_NUMBERS,
    "the keyframes",
    "frame number of a painting, which need not exist yet; repeat for more",
    metavar="F[=PATH]",
    signed=r"-\d+(=.*)?",
)
FIT_PAINTINGS = Option(
    "fit_paintings",
    ("--fit-paintings",),
    SWITCH,
    "the paintings",
    "resample paintings that are not of the plate's size",
)

UNPAINTED = Option(
    "unpainted",
    ("--unpainted",),
    one_of(*UNPAINTED_MODES),
    "the paintings",
    "what is not painted: plate leaves it as it is, translate has the look make something of it",
    metavar="MODE",
    default="plate where a painting has an alpha, translate where only a matte limits it",
)

# The result, and where things lie

OUT = Option(
    "out",
    ("--out",),
    values.PATH,
    "the result",
    "rendered frames: out.%04d.exr, .png, .tif, .jpg or .dpx",
    metavar="P",
)
WORK = Option(
    "work",
    ("--work",),
    values.PATH,
    "folders",
    "checkpoints, previews, and the look unless --look says otherwise",
    metavar="DIR",
    default="work",
)
LOOK = Option(
    "look",
    ("--look",),
    values.PATH,
    "the look",
    "the .onnx file",
    metavar="PATH",
    default="look.onnx in the work folder",
)

# What is prepared for each frame

VECTORS = Option(
    "vectors",
    ("--vectors",),
    values.PATH,
    "motion",
    "motion vectors to follow instead of estimated flow: EXR with Nuke's layers forward and backward, or .flo",
    metavar="P",
)
BACKWARD_VECTORS = Option(
    "backward_vectors",
    ("--backward-vectors",),
    values.PATH,
    "motion",
    "those to the previous frame, where they lie apart",
    metavar="P",
)
NO_REPAINT = Option(
    "no_repaint",
    ("--no-repaint",),
    SWITCH,
    "motion",
    "leave what no keyframe shows to the translator: give it no strokes of surfaces that look alike",
)
DENOISE = Option(
    "denoise",
    ("--denoise",),
    Kind(takes="maybe", choices=DENOISE_MODES),
    "grain",
    "they were rendered with --denoise",
    metavar="MODE",
    default=f"no, and {DENOISE_MODES[0]} without a MODE",
)
GUIDES = Option(
    "guides",
    ("--guides",),
    one_of(*GUIDE_KINDS),
    "guide images",
    "train and render with guide images, which are made first",
    metavar="KIND",
    default="none",
)

# Training

BUDGET = Option(
    "budget",
    ("--budget",),
    values.BUDGET,
    "training",
    "how long to train: 60s, 2m, 1h",
    metavar="TIME",
    default="60s",
    excludes="length",
)
STEPS = Option(
    "steps",
    ("--steps",),
    values.counted("--steps", 1, "a few hundred is a good start"),
    "training",
    "train this many steps instead, however long they take",
    metavar="N",
    excludes="length",
)
SEED = Option(
    "seed",
    ("--seed",),
    values.counted("--seed", 0, "give a number from 0 up"),
    "training",
    "same seed, steps and machine: same look",
    metavar="N",
    default="0",
)
RECIPE = Option(
    "recipe",
    ("--recipe",),
    one_of(*RECIPES),
    "training",
    ", ".join(RECIPES),
    metavar="NAME",
    default=RECIPES[0],
)
AUGMENT = Option(
    "augment",
    ("--augment",),
    one_of(*AUGMENTATIONS),
    "training",
    f"of the recipe {FULL_FRAME}: {', '.join(AUGMENTATIONS)}",
    metavar="NAME",
    default="none",
)
SETTINGS = Option(
    "settings",
    ("--settings",),
    values.PATH,
    "training",
    "recipe settings as tune writes them: work/tune/best.toml",
    metavar="FILE.toml",
    default="the recipe's own",
)
CRISP = Option(
    "crisp",
    ("--crisp",),
    SWITCH,
    "training",
    "trust carried strokes more, and leave --softness out of the look: for shots that track well",
)
FEATURES = Option(
    "features",
    ("--features",),
    values.PATH_OR_NAME,
    "training",
    "deep features for the losses: VGG weights, vgg16 or vgg19",
    metavar="PATH",
    default="none",
)
RESUME = Option("resume", ("--resume",), SWITCH, "training", "continue from the checkpoint in the work folder")
FRESH = Option("fresh", ("--fresh",), SWITCH, "training", "train again even if nothing changed since", destroys=True)

# Rendering

TILE = Option(
    "tile",
    ("--tile",),
    values.counted("--tile", 0, "give 0 for whole frames, or a size in pixels"),
    "rendering",
    "tile size in pixels, 0 for whole frames",
    metavar="N",
    default="one grid for all",
)
TENSORRT = Option(
    "tensorrt", ("--tensorrt",), SWITCH, "rendering", "through TensorRT; the first frame then waits for minutes"
)
OUT_COLORSPACE = Option(
    "out_colorspace",
    ("--out-colorspace",),
    TEXT,
    "rendering",
    "colorspace of the frames",
    metavar="NAME",
    default="the plate's; PNG and JPEG of scene-linear or film log show what the painter saw",
)
DEPTH = Option(
    "depth",
    ("--depth",),
    one_of(*FLOAT_DEPTHS),
    "rendering",
    f"numbers of EXR and TIFF frames: {' or '.join(FLOAT_DEPTHS)}",
    metavar="NAME",
    default="half in EXR",
)
COMPRESSION = Option(
    "compression",
    ("--compression",),
    values.COMPRESSION,
    "rendering",
    "of EXR frames: zip, zips, piz, dwaa:45, none",
    metavar="NAME[:LEVEL]",
    default="an EXR plate's own, else zip",
)
NO_STMAPS = Option(
    "no_stmaps",
    ("--no-stmaps",),
    SWITCH,
    "rendering",
    "ignore STMap sidecars in the work folder: nothing is carried",
    former=("--no-guides",),
)
SOFTNESS = Option(
    "softness",
    ("--softness",),
    values.SOFTNESS,
    "rendering",
    "soften carried strokes where the plate is out of focus, 0..1",
    metavar="X",
    default="0, as crisp as painted",
)
CARRIED = Option(
    "carried",
    ("--carried",),
    SWITCH,
    "rendering",
    "EXR frames also hold paintover.carried: how much rides on a painting",
)
OVERWRITE = Option(
    "overwrite", ("--overwrite",), SWITCH, "rendering", "render frames again that are already right", destroys=True
)
WORKERS = Option(
    "workers",
    ("--workers",),
    values.WORKERS,
    "rendering",
    "processes, or auto: one for each GPU, else as many as cores and memory serve; more than 1 also survive crashes",
    metavar="N",
    default="1, which uses every core already",
)

# Color

COLORSPACE = Option(
    "colorspace",
    ("--colorspace",),
    TEXT,
    "color",
    "colorspace of the plate",
    metavar="NAME",
    default="what the file says, else OCIO's file rules, else its format",
)
PAINT_COLORSPACE = Option(
    "paint_colorspace",
    ("--paint-colorspace",),
    TEXT,
    "color",
    'colorspace of the paintings, or "DISPLAY / VIEW" for those painted through one',
    metavar="NAME",
    default="as key exported them, else what the file says, else its format",
)
OCIO = Option(
    "ocio",
    ("--ocio",),
    values.PATH_OR_NAME,
    "color",
    "OCIO config",
    metavar="CONFIG",
    default="$OCIO, else OCIO's built-in one",
)

# Machine and reporting

MAX_IMAGE_GIB = Option(
    "max_image_gib",
    ("--max-image-gib",),
    values.positive("--max-image-gib"),
    "machine",
    "memory that one decoded image may need; what claims more is refused before it is read",
    metavar="GIB",
    default="$PAINTOVER_MAX_IMAGE_GIB, else 4",
)

DEVICE = Option(
    "device",
    ("--device",),
    values.DEVICE,
    "machine",
    "auto (a GPU if it works, else the CPU), cpu, or cuda:N",
    metavar="D",
    default="auto",
)
THREADS = Option(
    "threads",
    ("--threads",),
    values.counted("--threads", 1, "give 1 or more"),
    "machine",
    "CPU threads; the result does not depend on it",
    metavar="N",
    default="all cores",
)
PROGRESS = Option(
    "progress",
    ("--progress",),
    one_of(*MODES),
    "reporting",
    ", ".join(MODES),
    metavar="MODE",
    default="auto: a bar on a terminal, lines elsewhere",
)
DEBUG = Option("debug", ("--debug",), SWITCH, "reporting", "log more, and show tracebacks")
JSON = Option("json", ("--json",), SWITCH, "output", "print JSON")
