"""Hostile texts: ranges, patterns, shot files, jobs, color configs, sidecars, and what is saved between runs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from engine.base.errors import InputError
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.color.keys import find_key_transform
from engine.preparation.hash_records import check_recorded
from engine.shot.shot import Shot
from engine.training.job.job import TrainingJob
from engine.training.job.recipe_settings import read_settings
from engine.training.job.search import Search
from plugin.arguments.path_mapping import PathMapping
from plugin.client.address import read_address
from plugin.client.command import config_file, find_command
from plugin.client.errors import HostError
from plugin.client.job import Job as HostJob
from plugin.hosts.host_config import forget_place, remember_place
from plugin.progress.hints import is_new_hint
from plugin.report.current import are_current
from plugin.training.record import trained_look

from .mutations import change_value, changed, changed_text
from .outcomes import Job
from .text_seeds import CONFIG, FRAMES, JSON, PATTERNS, SHOT, TOML, copied, copy_shot, stand_in

__all__ = ["text_try"]

_FEW = 1000
"""Frames that are looked for one by one in a try."""
_OUT = ("--look", "look.onnx", "--out", "out.%04d.png", "--progress", "none")


def text_try(rng: random.Random, seeds: Path) -> tuple[str, list[Job]]:
    """A hostile text in the current folder, or in words of a command: what it stands for, and what to do with it."""
    kind = rng.choice(sorted(_KINDS))
    return kind, _KINDS[kind](rng, seeds)


def _frames(rng: random.Random, seeds: Path) -> list[Job]:
    copy_shot(seeds)
    text = changed_text(rng.choice(FRAMES), rng, FRAMES)

    def parse() -> None:
        found = FrameRange.parse(text)
        if FrameRange.parse(str(found)) != found:
            raise RuntimeError(f"{text!r} is another range when it is read back")

    jobs: list[Job] = [parse]
    with suppress(Exception):
        if len(FrameRange.parse(text)) > _FEW:
            return jobs
    return [*jobs, ["verify", f"--frames={text}", *_OUT]]


def _pattern(rng: random.Random, seeds: Path) -> list[Job]:
    copy_shot(seeds)
    text = changed_text(rng.choice(PATTERNS), rng, PATTERNS)

    def parse() -> None:
        path = SequencePath.parse(text)
        if SequencePath.parse(str(path)) != path:
            raise RuntimeError(f"{text!r} is another pattern when it is read back")
        path.path(-5), path.existing()

    words = ["verify", f"--out={text}", "--frames", "1-3", "--look", "look.onnx", "--progress", "none"]
    return [parse, words, ["verify", f"--plate={text}", "--frames", "1", *_OUT]]


def _shot(rng: random.Random, seeds: Path) -> list[Job]:
    copy_shot(seeds)
    _write("shot.toml", changed_text(SHOT, rng, [SHOT, *TOML]), rng)
    engine = rng.choice(("slurm", "openjd", "opencue", "deadline10"))
    with suppress(Exception):
        if len(Shot.load("shot.toml").plate.frames) > _FEW:
            return [lambda: Shot.load("shot.toml")]
    jobs: list[Job] = [["verify", "shot.toml", "--progress", "none"]]
    return [*jobs, ["submit", "shot.toml", "--engine", engine, "--dry-run", "--progress", "none"]]


_ODD = (-1, 0.5, 1e308, "", None, True, False, [], {}, [[]], float("nan"), float("inf"), "/dev/zero", "\ud800", "a\0b",
        "\x1b[2J", "x" * 3000, "1-1000000", "1-5,7", "cuda:99", "auto", "half", "/", "scene_linear", "dwaa:45",
        10**39, 10**400)  # fmt: skip


def _changed_json(text: str, rng: random.Random, others: Sequence[str]) -> str:
    """Another value somewhere, or another text, which is hardly JSON any more."""
    if rng.random() < 0.35:
        return changed_text(text, rng, others)
    data = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 3))):
        change_value(data, rng, _ODD)
    return json.dumps(data, ensure_ascii=rng.random() < 0.5)


def _json(kind: str, read: Callable[[Path], object]) -> Callable[[random.Random, Path], list[Job]]:
    """A file of JSON, and what reads it."""

    def make(rng: random.Random, seeds: Path) -> list[Job]:
        others = [copied(each) for each in JSON.values()]
        _write("hostile.json", _changed_json(copied(JSON[kind]), rng, others), rng)
        return [lambda: read(Path("hostile.json"))]

    return make


def _host_job(path: Path) -> None:
    try:
        job = HostJob.from_json(path.read_text(encoding="utf-8", errors="surrogateescape"))
        for verb in ("key", "prepare", "train", "render", "verify"):
            job.arguments(verb)
    except HostError as error:
        raise InputError(str(error)) from error


def _address(path: Path) -> None:
    try:
        read_address(path)
    except HostError as error:
        raise InputError(str(error)) from error


def _host_config(path: Path) -> None:
    place = config_file()
    place.parent.mkdir(parents=True, exist_ok=True)
    path.replace(place)
    try:
        find_command({"HOME": str(Path.home()), "XDG_CONFIG_HOME": str(place.parents[1]), "PATH": ""})
    except HostError:
        pass
    finally:
        remember_place(["paintover"], "nuke", Path("elsewhere"))
        forget_place("nuke", Path("elsewhere"))


def _hints(path: Path) -> None:
    place = config_file().with_name("hints.json")
    place.parent.mkdir(parents=True, exist_ok=True)
    path.replace(place)
    is_new_hint("features")


def _shown(path: Path) -> None:
    path.rename("shown.json")
    are_current(Path(), [Path("page.html")], "ab")


def _trained(path: Path) -> None:
    path.rename("trained.json")
    trained_look(Path())


def _request(rng: random.Random, seeds: Path) -> list[Job]:
    _write("hostile.json", _changed_json(copied(JSON["request"]), rng, []), rng)
    # No worker may be at this address, so none is asked and none is started.
    Path("worker.json").write_text('{"host": "10.0.0.1", "port": 5555, "token": "", "protocol": 1}', encoding="utf-8")
    return [["worker", "--ask", "hostile.json", "--socket", "worker.json"]]


def _settings(rng: random.Random, seeds: Path) -> list[Job]:
    _write("hostile.toml", changed_text(rng.choice(TOML), rng, [*TOML, SHOT]), rng)
    return [lambda: read_settings(Path("hostile.toml"))]


def _record(rng: random.Random, seeds: Path) -> list[Job]:
    Path("work").mkdir()
    text = changed_text(f"{'ab' * 32}  1042.exr\n", rng, [])
    _write("work/1042.exr.sha256", text, rng)

    def check() -> None:
        try:
            check_recorded(Path("work/1042.exr"), "ab" * 32, "STMap", frame=1042)
        except InputError as error:
            # On a shared disk the right one may not have arrived yet, so another try may help.
            error.exit_code = 2
            raise

    return [check]


def _color(rng: random.Random, seeds: Path) -> list[Job]:
    """An OCIO config, or a table that it names."""
    copy_shot(seeds)
    tables = sorted((seeds / "tables").iterdir())
    table, data = rng.choice(tables), b""
    config = CONFIG.replace("TABLE", table.name)
    if rng.random() < 0.4:
        config = changed_text(config, rng, [CONFIG])
    else:
        data = changed(table.read_bytes(), rng, [each.read_bytes() for each in rng.sample(tables, 2)])
        if rng.random() < 0.5:
            text = changed_text(table.read_text("utf-8"), rng, [rng.choice(tables).read_text("utf-8", "replace")])
            data = text.encode("utf-8", "backslashreplace")
    Path("tables").mkdir()
    Path("tables", table.name).write_bytes(data or table.read_bytes())
    _write("config.ocio", config, rng)
    space = rng.choice(("graded", "graded", "linear", "sRGB"))
    words = ["key", "--plate", "plate.%04d.png", "--frames", "1", "--out", "fresh.%04d.png", "--progress", "none"]
    jobs: list[Job] = [[*words, "--ocio", "config.ocio", "--colorspace", space]]
    if rng.random() < 0.5:
        jobs.append([*words, "--overwrite", "--ocio", "config.ocio", "--display", "screen", "--view", "looked"])
    return jobs


def _key(rng: random.Random, seeds: Path) -> list[Job]:
    """What ``paintover key`` leaves beside an image that it exports."""
    copy_shot(seeds)
    image = Path(f"key.{rng.choice(('0001', '0002'))}.png")
    sidecar = Path(f"{image}.paintover.json")
    _write(sidecar, _changed_json(sidecar.read_text("utf-8"), rng, [copied(each) for each in JSON.values()]), rng)
    if rng.random() < 0.3:
        image.write_bytes(changed(image.read_bytes(), rng, []))

    def take_back() -> None:
        find_key_transform(image)
        with suppress(ImportError):
            from engine.training.data.keyframes import load_keyframes
            from engine.training.job.job import PaintedFrame

            frame = int(image.name.split(".")[1])
            painted = (PaintedFrame(frame, image),)
            job = TrainingJob("plate.%04d.png", "1-2", None, painted, Path("work"), Path("x.onnx"), 60.0, None)
            load_keyframes(job, ColorConfig.active())

    words = ["key", "--plate", "plate.%04d.png", "--frames", "1-2", "--out", "key.%04d.png", "--progress", "none"]
    return [take_back, words]


def _state(rng: random.Random, seeds: Path) -> list[Job]:
    """Where a chain of tracks stands, or a guide's points, and a work folder that lacks a frame."""
    copy_shot(seeds)
    states = sorted(Path("work").rglob("*.npz"))
    path = rng.choice(states)
    path.write_bytes(changed(path.read_bytes(), rng, [rng.choice(states).read_bytes()]))
    Path("work/stmap/key_0001/0003.exr").unlink()
    for frame in (2, 3):
        Path(f"work/guide/{frame:04d}.exr").unlink(missing_ok=True)
    words = ("--plate", "plate.%04d.png", "--frames", "1-3", "--keyframe", "1=painted.0001.png", "--work", "work")
    return [["prepare", *words, "--guides", "points", "--progress", "none"]]


def _checkpoint(rng: random.Random, seeds: Path) -> list[Job]:
    seed = seeds / "checkpoint" / "checkpoint.safetensors"
    if not seed.is_file():
        return [lambda: None]
    data = changed(seed.read_bytes(), rng, [], [(0, 8)])
    if rng.random() < 0.5:
        # The header is a text with its length before it.
        length = int.from_bytes(seed.read_bytes()[:8], "little")
        header = seed.read_bytes()[8 : 8 + length].decode()
        changed_header = _changed_checkpoint(header, rng).encode("utf-8", "replace")
        data = len(changed_header).to_bytes(8, "little") + changed_header + seed.read_bytes()[8 + length :]
    Path("checkpoint.safetensors").write_bytes(data)

    def load() -> None:
        from engine.training.checkpoint import load_checkpoint

        load_checkpoint(Path(), stand_in(), "")  # type: ignore[arg-type]

    return [load]


def _changed_checkpoint(header: str, rng: random.Random) -> str:
    """Its header, or the JSON that stands as one text within it."""
    if rng.random() < 0.5:
        return _changed_json(header, rng, [])
    data = json.loads(header)
    data["__metadata__"]["paintover"] = _changed_json(data["__metadata__"]["paintover"], rng, [])
    return json.dumps(data)


def _words(rng: random.Random, seeds: Path) -> list[Job]:
    """A command that reads, with words of any kind."""
    copy_shot(seeds)
    words = ["verify", "--look=look.onnx", "--out=out.%04d.png", "--frames=1-2", "--plate=plate.%04d.png",
             "--work=work", "--tile=64", "--depth=half", "--compression=zip", "--colorspace=sRGB",
             "--out-colorspace=sRGB", "--ocio=ocio://default", "--progress=none", "--denoise=aware"]  # fmt: skip
    kept = words[:1] + [word for word in words[1:] if rng.random() < 0.6]
    place = rng.randrange(len(kept))
    kept[place] = changed_text(kept[place], rng, words)
    if kept[0] not in ("verify", "inspect", "doctor", "help", "--help"):
        return [["verify", *kept[1:]]] if place else [[kept[0][:20] + "?", *kept[1:]]]
    return [kept]


def _write(path: str | Path, text: str, rng: random.Random) -> None:
    """As UTF-8, now and then in another encoding; what has none is written out."""
    encoding = "utf-8" if rng.random() < 0.93 else rng.choice(("utf-16", "latin-1", "utf-8-sig"))
    handler = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    try:
        data = text.encode(encoding, handler)
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
    Path(path).write_bytes(data)


_KINDS: dict[str, Callable[[random.Random, Path], list[Job]]] = {
    "frames": _frames,
    "pattern": _pattern,
    "shot file": _shot,
    "training job": _json("training job", TrainingJob.load),
    "search": _json("search", Search.load),
    "host job": _json("host job", _host_job),
    "path mapping": _json("path mapping", lambda path: PathMapping.load(path).apply("P:\\shows\\a")),
    "address": _json("address", _address),
    "host.json": _json("host.json", _host_config),
    "hints.json": _json("hints.json", _hints),
    "shown.json": _json("shown.json", _shown),
    "trained.json": _json("trained.json", _trained),
    "settings": _settings,
    "hash record": _record,
    "color": _color,
    "color table": _color,
    "key": _key,
    "state": _state,
    "checkpoint": _checkpoint,
    "words": _words,
    "request": _request,
}
