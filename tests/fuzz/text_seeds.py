"""Texts and small files that hostile ones are made from: shot files, jobs, tables, color configs, saved states."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import PyOpenColorIO as ocio

from plugin.cli import main
from tests.support import lookfactory
from tests.support.pictures import picture

__all__ = ["CONFIG", "FRAMES", "JSON", "PATTERNS", "SHOT", "TOML", "write_seeds"]

FRAMES = ("7", "1001-1100", "1-99x2", "1-5,9", "-5--2", "10-1", "1-10y3", "1-20:4", " 1 - 5 , 8 ", "1001", "1-10x-3")
PATTERNS = ("plate.%04d.exr", "a/b/plate.####.exr", "plate.$F4.exr", "plate.@@@.png", "clip.mov", "../x.%d.tif",
            "/shots/a b/plate.%08d.dpx", "%d", "#.exr", "plate.0001.png", "C:\\shots\\plate.%04d.exr")  # fmt: skip

SHOT = """\
out = "out.%04d.png"
work = "work"
look = "look.onnx"
budget_s = 60.0
seed = 3
device = "cpu"
stmaps = true
tile = 64
workers = 1
depth = "half"
compression = "zip"

[plate]
path = "plate.%04d.png"
frames = "1-2"
colorspace = "sRGB - Texture"

[[keyframes]]
frame = 1
painting = "painted.0001.png"
matte = "plate.0002.png"
colorspace = "sRGB - Texture"
"""
TOML = (
    "batch = 3\npatch = 192\nblocks = 9\nlearning_rate = 0.001\n",
    "batch = [1, 2]\nlearning_rate = [0.001, 2e-4]\n",
)
CONFIG = """\
ocio_profile_version: 2
environment: {}
search_path: "tables"
strictparsing: true
luma: [0.2126, 0.7152, 0.0722]
roles: {default: linear, scene_linear: linear, aces_interchange: linear, color_timing: graded}
file_rules:
  - !<Rule> {name: painted, colorspace: graded, pattern: "*", extension: png}
  - !<Rule> {name: Default, colorspace: linear}
displays:
  screen:
    - !<View> {name: plain, colorspace: graded}
    - !<View> {name: looked, colorspace: graded, looks: warm}
active_displays: [screen]
active_views: [plain, looked]
looks:
  - !<Look> {name: warm, process_space: linear, transform: !<CDLTransform> {slope: [1.1, 1, 0.9], sat: 1.2}}
colorspaces:
  - !<ColorSpace>
    name: linear
    aliases: [lin, "scene-linear"]
    encoding: scene-linear
    isdata: false
  - !<ColorSpace>
    name: graded
    encoding: sdr-video
    from_scene_reference: !<GroupTransform>
      children:
        - !<ExponentTransform> {value: [2.2, 2.2, 2.2, 1], direction: inverse}
        - !<MatrixTransform> {matrix: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]}
        - !<FileTransform> {src: TABLE, interpolation: best}
"""


def _job(**changes: object) -> dict[str, object]:
    return {
        "plate": "plate.%04d.png", "frames": "1-2", "plate_colorspace": None, "work": "work", "look": "new.onnx",
        "keyframes": [{"frame": 1, "painting": "painted.0001.png", "matte": None, "colorspace": None}],
        "budget_s": 60.0, "steps": None, "seed": 0, "device": "cpu", "recipe": "paintover", "threads": 2,
        "settings": {"batch": 2, "learning_rate": 0.001}, **changes,
    }  # fmt: skip


_RULE = {"source_path_format": "WINDOWS", "source_path": "P:\\shows", "destination_path": "/mnt/shows"}
_HOST_JOB = {
    "version": 1, "plate": {"path": "/s/plate.%04d.exr", "frames": "1-5", "colorspace": "ACEScg"}, "work": "/s/work",
    "keyframes": [{"frame": 1, "painting": "/s/p.png", "matte": "/s/m.png"}], "out": "/s/out.%04d.exr", "steps": 100,
    "seed": 3, "tile": 64, "carried": True, "compression": "dwaa:45", "host": "Nuke 16.0",
}  # fmt: skip
JSON: dict[str, object] = {
    "training job": _job(),
    "search": {"reference": "r.%04d.png", "reference_colorspace": None, "grid": "grid.toml", "full": False},
    "host job": _HOST_JOB,
    "path mapping": {"version": "pathmapping-1.0", "path_mapping_rules": [_RULE]},
    "address": {"host": "127.0.0.1", "port": 5555, "token": "ab" * 32, "protocol": 1},
    "host.json": {"command": ["paintover"], "installed": [["nuke", "/opt/nuke"]]},
    "hints.json": ["features", "plate"],
    "shown.json": {"inputs": "ab" * 32, "files": "cd" * 32},
    "trained.json": {"inputs": "ab" * 32, "look_sha256": "cd" * 32},
    "request": {"op": "render", "job": _HOST_JOB, "frames": "1"},
}
"""What each kind of JSON file holds when nobody has changed it."""


def write_seeds(folder: Path) -> None:
    """A shot of three prepared frames, tables of colors, and a checkpoint where training is installed."""
    shot = folder / "written"
    shot.mkdir()
    for frame in (1, 2, 3):
        picture(shot / f"plate.{frame:04d}.png", seed=frame)
    picture(shot / "painted.0001.png", seed=9)
    lookfactory.gain(shot / "look.onnx", 0.5)
    words = ("--plate", str(shot / "plate.%04d.png"), "--progress", "none")
    main(["key", *words, "--frames", "1", "--out", str(shot / "key.%04d.png")])
    # As it is seen through a view, where the way back takes a config.
    config = "ocio://cg-config-v1.0.0_aces-v1.3_ocio-v2.1"
    linear = ("--colorspace", "scene_linear", "--ocio", config, "--frames", "2", "--out", str(shot / "key.%04d.png"))
    main(["key", *words, *linear])
    (shot / "shot.toml").write_text(SHOT, encoding="utf-8")
    keyed = ("--frames", "1-3", "--keyframe", f"1={shot / 'painted.0001.png'}", "--work", str(shot / "work"))
    main(["prepare", *words, *keyed, "--guides", "points"])
    _write_tables(folder / "tables")
    _write_checkpoint(folder / "checkpoint")


def _write_tables(folder: Path) -> None:
    """One file of every format that OpenColorIO writes, and of some that it only reads."""
    folder.mkdir()
    config = ocio.Config.CreateFromBuiltinConfig("cg-config-v1.0.0_aces-v1.3_ocio-v2.1")
    for name, suffix in ocio.Baker.getFormats():
        baker = ocio.Baker()
        baker.setConfig(config)
        baker.setFormat(name)
        baker.setInputSpace("sRGB - Texture")
        baker.setTargetSpace("ACEScct")
        if name in ("cinespace", "houdini"):
            baker.setShaperSpace("ACEScct")
        baker.setCubeSize(3)
        baker.setShaperSize(8)
        try:
            text = baker.bake()
        except ocio.Exception:
            continue
        (folder / f"{name.replace('/', '_').split()[-1]}.{suffix}").write_text(text, encoding="utf-8")
    graded = ocio.GroupTransform([ocio.CDLTransform()])
    for name, suffix in ocio.GroupTransform.GetWriteFormats():
        try:
            text = graded.write(name, config)
        except ocio.Exception:
            continue
        (folder / f"graded.{suffix}").write_text(text, encoding="utf-8")
    (folder / "matrix.spimtx").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n", encoding="utf-8")
    steps = "".join(f"{n / 8}\n" for n in range(9))
    (folder / "steps.spi1d").write_text(
        f"Version 1\nFrom 0.0 1.0\nLength 9\nComponents 1\n{{\n{steps}}}\n", encoding="utf-8")  # fmt: skip
    cube = "".join(f"{n & 1} {n >> 1 & 1} {n >> 2 & 1}\n" for n in range(8))
    (folder / "shaped.csp").write_text(
        "CSPLUTV100\n3D\n\n" + "2\n0 1\n0 1\n" * 3 + f"\n2 2 2\n{cube}", encoding="utf-8")  # fmt: skip
    (folder / "discreet.lut").write_text("LUT: 1 256\n" + "".join(f"{n}\n" for n in range(256)), encoding="utf-8")
    (folder / "field.vf").write_text(
        "#Inventor V2.1 ascii\ngrid_size 2 2 2\nglobal_transform 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1\ndata\n"
        + cube, encoding="utf-8")  # fmt: skip
    (folder / "pandora.m3d").write_text(
        "channel 3d\nin 8\nout 256\nformat lut\nvalues\tred\tgreen\tblue\n"
        + "".join(f"{n}\t{n * 30}\t{n * 30}\t{n * 30}\n" for n in range(8)), encoding="utf-8")  # fmt: skip


def _write_checkpoint(folder: Path) -> None:
    try:
        import torch

        from engine.training.checkpoint import save_checkpoint
    except ImportError:
        return
    torch.set_num_threads(1)
    save_checkpoint(folder, stand_in(), {"inputs_sha256": "", "step": 3, "seconds": 1.5, "loss": 0.1})


def stand_in() -> object:
    """What a checkpoint is of: as little of a training as one can save."""
    import torch

    torch.manual_seed(1)

    class StandIn:
        def __init__(self) -> None:
            self.modules = {"net": torch.nn.Conv2d(3, 2, 1)}
            self.optimizers = {"net": torch.optim.Adam(self.modules["net"].parameters())}
            self.modules["net"](torch.zeros(1, 3, 2, 2)).sum().backward()
            self.optimizers["net"].step()

        def sampler_state(self) -> object:
            return np.random.default_rng(1).bit_generator.state

        def restore_sampler(self, state: object) -> None:
            np.random.default_rng(1).bit_generator.state = state

    return StandIn()


def copied(text: object) -> str:
    """JSON as files have it."""
    return json.dumps(text, indent=2)


def copy_shot(seeds: Path) -> None:
    """The written shot in the current folder."""
    shutil.copytree(seeds / "written", ".", dirs_exist_ok=True)
