"""``paintover export``: a look for hosts that run models themselves."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.base.errors import InputError
from engine.base.temporaries import replacing
from engine.look.card import LookFile, open_look
from engine.shot.remarks import first_on_disk, plate_header, plate_remarks
from engine.shot.shot import Shot
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.preflight import prepare_folder
from plugin.hosts.flame_model import flame_json, flame_model
from plugin.hosts.nuke_script import MAPS, NukePlate, cat_json, nuke_script
from plugin.progress.child import follow
from plugin.progress.protocol import Phase, Progress
from plugin.progress.stop import StopRequest
from plugin.training.process import require_training

__all__ = ["parser", "run"]

COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine.training.export.torchscript")
HOSTS = ("nuke", "flame")


@dataclass(frozen=True)
class _Source:
    """What is exported, and what is known around it."""

    look: LookFile
    shot: Shot | None
    work: Path | None
    """Folder with STMaps."""


def parser() -> Parser:
    """The options of ``paintover export``."""
    return Parser(COMMANDS["export"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Write the host's files."""
    if options.to is None:
        raise InputError("--to is missing", remedy="say where to, such as --to nuke nuke/")
    host, place = options.to
    if host not in HOSTS:
        raise InputError(f"there is no export to {host!r}", remedy=f"the hosts are {', '.join(HOSTS)}")
    source = _source(Path(options.path or ""))
    folder = Path(os.path.abspath(place))  # noqa: PTH100 (a link in the path is the artist's choice)
    prepare_folder(folder)
    progress.plan([Phase("export", f"Exporting {source.look.path.name} to {host}")])
    progress.begin("export")
    if host == "nuke":
        _to_nuke(source, folder, progress, stop)
    else:
        _to_flame(source, folder, progress)
    progress.finish()
    return 0


def _source(path: Path) -> _Source:
    if path.is_dir():
        return _Source(open_look(path / "look.onnx"), None, path)
    if path.suffix.lower() != ".toml":
        work = path.parent if (path.parent / "stmap").is_dir() else None
        return _Source(open_look(path), None, work)
    shot = Shot.load(path)
    work = shot.work or path.parent / "work"
    return _Source(open_look(shot.look or work / "look.onnx"), shot, work)


def _to_nuke(source: _Source, folder: Path, progress: Progress, stop: StopRequest) -> None:
    require_training()
    look, name = source.look, source.look.path.stem
    card = look.card
    kept = card.keyframes[:MAPS]
    for dropped in card.keyframes[MAPS:]:
        progress.warn(
            f"keyframe {dropped.frame} is not carried in Nuke: its models name channels for {MAPS} STMaps only"
        )
    if getattr(card, "denoise", None):
        progress.warn("the look was trained on denoised frames: give Nuke denoised ones as well")
    _say_plate(source.shot, progress)
    with tempfile.TemporaryDirectory(prefix="paintover-") as own:
        # The process reads the file again; it must be the one that was checked.
        copy = Path(own) / look.path.name
        copy.write_bytes(look.data)
        answer = _torchscript(copy, folder / f"{name}.pt", progress, stop)
    stmaps = [(keyframe.frame, _stmap_pattern(source.work, keyframe.frame)) for keyframe in kept]
    script = nuke_script(name, folder.as_posix(), card.working_colorspace, stmaps, _plate(source.shot))
    _write(folder / f"{name}.nk", script)
    _write(folder / "cat.json", cat_json(name, f"Paintover look {card.name}, {_trained_from(look)}"))
    said = {key: answer.get(key) for key in ("float32", "half", "half_fast")}
    fast = "" if said["half_fast"] is None else f", {_shown(said['half_fast'])} in half with precise 0"
    progress.note(
        f"{folder / f'{name}.pt'}: differs from the look by {_shown(said['float32'])} in float32,"
        f" {_shown(said['half'])} in half{fast}",
        {"path": str(folder / f"{name}.pt"), **said},
    )
    progress.note(f"{folder / f'{name}.nk'}: open it in Nuke and press Create on its CatFileCreator")
    progress.note(f"written with torch {answer.get('torch')}; Nuke 13 runs 1.6, Nuke 14 runs 1.12.1, 15.1 and later 2")


def _to_flame(source: _Source, folder: Path, progress: Progress) -> None:
    look, name = source.look, source.look.path.stem
    target = folder / f"{name}.onnx"
    if target.exists() and target.samefile(look.path):
        raise InputError("the export would replace the look itself", path=target, remedy="choose another folder")
    data, sidecar = flame_model(look), flame_json(look, name)
    with replacing(target) as temporary:
        temporary.write_bytes(data)
    _write(folder / f"{name}.json", sidecar)
    progress.note(f"{target}: load it in Flame's Inference node; {name}.json beside it names its sockets")


def _torchscript(look: Path, out: Path, progress: Progress, stop: StopRequest) -> Mapping[str, Any]:
    """Run the export's process; returns its last event."""
    command = [*COMMAND, "--look", str(look), "--out", str(out), "--maps", str(MAPS)]
    done = follow(command, progress, stop, lambda event: None, called="the export's process")
    stop.check()
    return done


def _stmap_pattern(work: Path | None, frame: int) -> str:
    if work is None:
        return ""
    return (Path(os.path.abspath(work)) / "stmap" / f"key_{frame:04d}" / "%04d.exr").as_posix()  # noqa: PTH100


def _plate(shot: Shot | None) -> NukePlate | None:
    if shot is None or shot.plate.path.is_movie:
        return None
    frames = shot.plate.frames
    return NukePlate(Path(os.path.abspath(shot.plate.path.text)).as_posix(), frames.first, frames.last)  # noqa: PTH100


def _say_plate(shot: Shot | None, progress: Progress) -> None:
    """What the script's Read does not give as this shot has it."""
    first = None if shot is None else first_on_disk(shot.plate)
    if shot is None or first is None or shot.plate.path.is_movie:
        return
    for line in plate_remarks(shot.plate):
        progress.warn(line)
    picture = plate_header(shot.plate.path, first).color.rgb
    asked = shot.plate.path.layer
    if asked or tuple(name.lower() for name in picture) not in (("r", "g", "b"), ("red", "green", "blue"), ("y",)):
        progress.warn(f"the Read of the script gives rgba: shuffle {asked or picture[0].rpartition('.')[0]} into it")


def _trained_from(look: LookFile) -> str:
    if not look.card.keyframes:
        return "from style images"
    return "keyframes " + ", ".join(str(keyframe.frame) for keyframe in look.card.keyframes)


def _shown(value: object) -> str:
    return f"{value:.1e}" if isinstance(value, float) else "an unknown amount"


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
