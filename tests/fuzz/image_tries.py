"""Hostile images in every place that takes one: plate, painting, matte, vectors, STMap, guide image, rendered frame."""

from __future__ import annotations

import functools
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from engine import images
from engine.color.config import ColorConfig
from engine.motion.flow_files import read_flow
from engine.rendering.render import RenderSettings, render
from engine.shot.shot import Plate
from tests.support import lookfactory
from tests.support.pictures import HEIGHT, WIDTH, noise, picture

from .image_fields import fields_of, mended
from .image_seeds import write_image_seeds
from .mutations import changed
from .outcomes import Job
from .text_seeds import copy_shot

__all__ = ["image_try", "movie_try", "write_seeds"]

_FAVORITES = (".exr", ".exr", ".exr", ".png", ".tif", ".jpg", ".dpx")
_SPLIT = (".exr", ".png", ".tif", ".jpg", ".dpx", ".hdr", ".tga")
_MOVIES = (".mp4", ".mov", ".mkv")
_OUT = (".exr", ".png", ".tif", ".jpg", ".dpx")
_ON_CPU = ("--device", "cpu", "--progress", "none")


def write_seeds(folder: Path) -> None:
    """Image files to change, and a shot of one frame for what is asked of them."""
    write_image_seeds(folder / "images")
    shot = folder / "shot"
    shot.mkdir()
    picture(shot / "plate.0001.png", seed=1)
    picture(shot / "plate.0002.png", seed=2)
    picture(shot / "painted.0001.png", seed=3)
    images.write(shot / "matte.png", noise(HEIGHT, WIDTH, 3), bit_depth="uint8")
    lookfactory.gain(shot / "look.onnx", 0.5)
    lookfactory.guided(shot / "guided.onnx")
    for suffix in _OUT:
        out = shot / f"out.%04d{suffix}"
        render(shot / "look.onnx", Plate.of(shot / "plate.%04d.png", "1"), out, RenderSettings(device="cpu"))
        (shot / f"out.0001{suffix}").rename(folder / "images" / f"rendered{suffix}")


def image_try(rng: random.Random, seeds: Path) -> tuple[str, list[Job]]:
    """A hostile image in the current folder, which is a shot's: what it stands for, and what to do with it."""
    shutil.copytree(seeds / "shot", ".", dirs_exist_ok=True)
    role = rng.choice(sorted(_ROLES))
    files = [path for path in _files(seeds / "images") if path.suffix not in _MOVIES]
    wanted = _wanted(role, rng)
    among = [path for path in files if path.suffix in wanted] if wanted and rng.random() < 0.93 else files
    seed = rng.choice(among) if role != "guide" else seeds / "written" / "work" / "guide" / "0001.exr"
    others = [path.read_bytes() for path in rng.sample(files, 2)]
    if role == "guide":
        copy_shot(seeds)
    data = seed.read_bytes()
    data = changed(data, rng, others, fields_of(data))
    if rng.random() < 0.9:
        data = mended(data)
    # Sometimes a file says it is of another format: what reads it goes by its content.
    suffix = seed.suffix if rng.random() < 0.9 else rng.choice(_OUT)
    return f"{seed.name} as {role}", _ROLES[role](data, suffix, rng)


def movie_try(rng: random.Random, seeds: Path) -> tuple[str, list[Job]]:
    """A hostile movie as a plate."""
    shutil.copytree(seeds / "shot", ".", dirs_exist_ok=True)
    files = [path for path in _files(seeds / "images") if path.suffix in _MOVIES]
    seed = rng.choice(files)
    data = changed(seed.read_bytes(), rng, [path.read_bytes() for path in files])
    path = f"hostile{seed.suffix if rng.random() < 0.9 else rng.choice(_MOVIES)}"
    Path(path).write_bytes(data)
    if rng.random() < 0.5:
        words = ["key", "--plate", path, "--frames", "0-1", "--out", "key.%04d.png", "--progress", "none"]
        return f"{seed.name} as plate of key", [words]
    return f"{seed.name} as plate", [
        ["render", "--look", "look.onnx", "--plate", path, "--out", "out.%04d.png", *_ON_CPU]
    ]


@functools.lru_cache
def _files(folder: Path) -> list[Path]:
    """In one order on every machine."""
    return sorted(folder.iterdir())


def _wanted(role: str, rng: random.Random) -> tuple[str, ...]:
    if role == "vectors":
        return (".flo", ".exr")
    if role == "stmap":
        return (".exr",)
    return (rng.choice(_FAVORITES),) if rng.random() < 0.7 else ()


def _plate(data: bytes, suffix: str, rng: random.Random) -> list[Job]:
    Path(f"hostile.0001{suffix}").write_bytes(data)
    out = f"out.%04d{rng.choice(_OUT)}"
    return [["render", "--look", "look.onnx", f"--plate=hostile.%04d{suffix}", "--frames", "1", "--out", out, *_ON_CPU]]


def _key(data: bytes, suffix: str, rng: random.Random) -> list[Job]:
    Path(f"hostile.0001{suffix}").write_bytes(data)
    out = f"key.%04d{rng.choice(('.png', '.tif', '.jpg'))}"
    return [["key", f"--plate=hostile.%04d{suffix}", "--frames", "1", "--out", out, "--progress", "none"]]


def _inspect(data: bytes, suffix: str, rng: random.Random) -> list[Job]:
    Path(f"hostile{suffix}").write_bytes(data)
    return [["inspect", f"hostile{suffix}"]]


def _result(data: bytes, suffix: str, rng: random.Random) -> list[Job]:
    suffix = suffix if suffix in _OUT else rng.choice(_OUT)
    Path(f"out.0001{suffix}").write_bytes(data)
    words = ("--look", "look.onnx", "--plate", "plate.%04d.png", "--frames", "1", "--out", f"out.%04d{suffix}")
    jobs: list[Job] = [["verify", *words, "--progress", "none"]]
    return [*jobs, ["render", *words, *_ON_CPU]] if rng.random() < 0.3 else jobs


def _stmap(data: bytes, suffix: str, rng: random.Random) -> list[Job]:
    path = Path("work/stmap/key_1001/0001.exr")
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    words = ("--look", "look.onnx", "--plate", "plate.%04d.png", "--frames", "1", "--out", "out.%04d.png")
    return [["render", *words, "--work", "work", *_ON_CPU]]


def _guide(data: bytes, suffix: str, rng: random.Random) -> list[Job]:
    Path("work/guide/0001.exr").write_bytes(data)
    words = ("--look", "guided.onnx", "--plate", "plate.%04d.png", "--frames", "1", "--out", "out.%04d.png")
    return [["render", *words, "--work", "work", *_ON_CPU]]


def _vectors(data: bytes, suffix: str, rng: random.Random) -> list[Job]:
    path = Path(f"vectors.0001{'.flo' if suffix == '.flo' else '.exr'}")
    path.write_bytes(data)
    shared, size = rng.random() < 0.5, rng.choice((None, (HEIGHT, WIDTH)))
    return [lambda: read_flow(path, rng.choice(("forward", "backward")), frame=1, shared=shared, size=size)]


def _prepare(data: bytes, suffix: str, rng: random.Random) -> list[Job]:
    suffix = suffix if suffix in _SPLIT else rng.choice(_SPLIT)
    Path(f"hostile.0002{suffix}").write_bytes(data)
    shutil.copyfile("plate.0001.png", f"hostile.0001{suffix}")
    words = (f"--plate=hostile.%04d{suffix}", "--frames", "1-2", "--keyframe", "1=painted.0001.png")
    return [["prepare", *words, "--work", "work", "--progress", "none"]]


def _painting(data: bytes, suffix: str, rng: random.Random) -> list[Job]:
    Path(f"hostile{suffix}").write_bytes(data)
    return [lambda: _load_keyframes(Path(f"hostile{suffix}"), None, fit=rng.random() < 0.5)]


def _matte(data: bytes, suffix: str, rng: random.Random) -> list[Job]:
    Path(f"hostile{suffix}").write_bytes(data)
    return [lambda: _load_keyframes(Path("painted.0001.png"), Path(f"hostile{suffix}"), fit=rng.random() < 0.5)]


def _load_keyframes(painting: Path, matte: Path | None, *, fit: bool) -> None:
    """As training does it, where training is installed; else the files alone."""
    try:
        from engine.training.data.keyframes import load_keyframes
        from engine.training.job.job import PaintedFrame, TrainingJob
    except ImportError:
        images.read_matte(matte) if matte else images.read(painting)
        return
    job = TrainingJob("plate.%04d.png", "1-2", None, (PaintedFrame(1, painting, matte),), Path("work"),
                      Path("new.onnx"), 60.0, None, fit_paintings=fit)  # fmt: skip
    load_keyframes(job, ColorConfig.active())


_ROLES: dict[str, Callable[[bytes, str, random.Random], list[Job]]] = {
    "plate": _plate,
    "key": _key,
    "inspected": _inspect,
    "rendered": _result,
    "stmap": _stmap,
    "guide": _guide,
    "vectors": _vectors,
    "prepared": _prepare,
    "painting": _painting,
    "matte": _matte,
}
