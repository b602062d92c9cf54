"""Hyper-parameter search as published: each setting trains for a fixed time and is scored on frames it has not seen.

``python -m engine.training.tune.search --job JOB.json --search SEARCH.json`` runs it: the job is one of
``engine.training.train``, whose budget is that of each setting. The frames of a reference sequence (the paper took
EbSynth's output) that are no keyframes are rendered and compared. One JSON event a line goes to stdout.

Each setting runs in a process of its own, which gives its memory back, and leaves ``WORK/tune/NAME.json`` and
``NAME.onnx``. Run again, settings with a result of the same inputs are kept, so a stop loses only the one in flight.
At the end ``tune.png`` shows the loss against each parameter, ``best.onnx`` is the best look, and ``best.toml`` its
setting.

Source: Texler et al. 2020, section 4 and figure 6: batch N_b, patch W_p, residual blocks N_r, learning rate.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import numpy as np
import tomlkit

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import ImageError, InputError, Interrupted, PaintoverError
from engine.base.events import Emit, failed_event, open_events, parse_event
from engine.base.foreign_json import parse_json
from engine.base.frames import FrameRange, SequencePath
from engine.base.stop_flag import StopFlag
from engine.base.temporaries import clean_temporaries, output_error, replacing
from engine.base.whole_file import read_text
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.images.provenance import file_sha256
from engine.motion.stmap import find_sidecars, sidecars_sha256
from engine.rendering.render import RenderSettings, render
from engine.shot.plate import PlateReader
from engine.shot.shot import Plate
from engine.training.job.job import Settings, TrainingJob
from engine.training.job.recipe_settings import REVISION
from engine.training.job.search import Search
from engine.training.tune.grid import Setting, settings_of
from engine.training.tune.plot import draw_plot
from engine.training.tune.reference import ReferenceReader

__all__ = ["MAX_SCORED", "Result", "Search", "main", "run_setting", "scored_frames", "search"]

MAX_SCORED = 24
"""Most frames that a setting is scored on, spread evenly over those of the reference."""
ENOUGH_STEPS = 100
"""With fewer a network still shows how it began, which has a small mean error and no texture."""
DEEP_LAYERS = ("relu1_2", "relu2_2", "relu3_3")
TRAINING_SHARE = 0.9
"""Of a setting's progress; the rest is rendering and scoring."""

_FOLDER = "tune"


@dataclass(frozen=True)
class Result:
    """What a setting reached."""

    setting: Setting
    loss: float
    """What settings are ranked by, lower is better: ``deep`` where it was measured, else ``mae``."""
    mae: float
    """Mean absolute error to the reference in the working encoding, where white is 1."""
    deep: float | None
    """Deep-feature distance: mean |difference| over mean |reference|, averaged over three VGG layers."""
    steps: int
    """Steps that the time was enough for."""
    seconds: float
    """Of training."""


def scored_frames(job: TrainingJob, reference: SequencePath) -> tuple[int, ...]:
    """The frames that settings are scored on: of the reference and the shot, no keyframes, at most ``MAX_SCORED``.

    Raises:
        ImageError: there are none.
    """
    existing = reference.existing()
    painted = {keyframe.frame for keyframe in job.keyframes}
    shot = FrameRange.parse(job.frames)
    frames = [frame for frame in existing or () if frame in shot and frame not in painted]
    if not frames:
        what = f"has frames {existing}, none of {shot} beside the keyframes" if existing else "is not on disk"
        remedy = "a setting is scored on frames that have no painting; check --reference and --frames"
        raise ImageError(f"the reference {what}", path=reference.text, remedy=remedy)
    count = min(len(frames), MAX_SCORED)
    return tuple(frames[i * (len(frames) - 1) // max(count - 1, 1)] for i in range(count))


def fingerprint(job: TrainingJob, search: Search, frames: Sequence[int]) -> str:
    """SHA-256 of what a result depends on beside its setting; plate frames count by path only."""
    facts = {**job.facts_of_look(), "revision": REVISION}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    reference = SequencePath.parse(search.reference)
    paintings = [path for keyframe in job.keyframes for path in (keyframe.painting, keyframe.matte) if path]
    for path in (*paintings, *(reference.path(frame) for frame in frames)):
        if not path.is_file():
            raise ImageError("this image is missing", path=path, remedy="check its path")
        digest.update(file_sha256(path).encode())
    digest.update(f"{search.reference_colorspace}".encode())
    keys = [keyframe.frame for keyframe in job.keyframes]
    for frame in frames:
        sidecars = find_sidecars(job.work if search.guides else None, keys, frame)
        digest.update(sidecars_sha256(sidecars).encode())
    return digest.hexdigest()


def run_setting(
    job: TrainingJob, search: Search, setting: Setting, emit: Emit, *, base: Settings | None = None
) -> Result:
    """Train and score one setting in this process, and write its result and its look.

    Args:
        base: what the setting's values are put over; the recipe's own where None.

    Raises:
        PaintoverError: training, rendering or reading the reference failed.
    """
    # Imported here, so that the search itself, which waits for hours, does not hold torch in memory.
    from engine.training.train import train

    folder = job.work / _FOLDER
    frames = scored_frames(job, SequencePath.parse(search.reference))
    inputs = fingerprint(job, search, frames)
    own = folder / setting.name
    _make_folder(own)
    try:
        mine = msgspec.structs.replace(job, work=own, look=folder / f"{setting.name}.onnx", resume=False, preview=False)
        done = train(mine, emit, settings=setting.over(base or Settings()))
        mae, deep = _score(mine, search, frames, own, job.work if search.guides else None)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    loss = mae if deep is None else deep
    if not math.isfinite(loss):
        raise PaintoverError(f"{setting.name} did not converge: its loss is {loss}")
    result = Result(setting, loss, mae, deep, done.steps, done.seconds)
    with replacing(folder / f"{setting.name}.json") as temporary:
        facts = {"inputs": inputs, **asdict(result), "frames": list(frames)}
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return result


def _score(
    job: TrainingJob, search: Search, frames: Sequence[int], folder: Path, sidecars: Path | None
) -> tuple[float, float | None]:
    """Mean absolute error and deep-feature distance of the look, over all frames."""
    config = ColorConfig.active(job.ocio)
    out = SequencePath.parse(folder / "out.%04d.exr")
    plate = Plate(job.plate_path, FrameRange(tuple(frames)), job.plate_colorspace)
    how = RenderSettings(device=job.device, out_colorspace=config.working, bit_depth="float", threads=job.threads)
    render(job.look, plate, out, how, work=sidecars)
    distance = _deep_distance(job.features) if job.features else None
    beside = PlateReader.of(plate, config)
    reference = ReferenceReader(SequencePath.parse(search.reference), search.reference_colorspace, beside, config)
    errors, distances = [], []
    for frame in frames:
        wanted = shaper.encode(reference.linear(frame))
        shown = shaper.encode(images.read(out.path(frame), frame=frame).rgb)
        if shown.shape != wanted.shape:
            sizes = f"{wanted.shape[1]}x{wanted.shape[0]}, the plate {shown.shape[1]}x{shown.shape[0]}"
            remedy = "render the reference at the plate's size"
            raise ImageError(f"the reference is {sizes}", frame=frame, path=reference.path.path(frame), remedy=remedy)
        errors.append(float(np.abs(shown - wanted).mean()))
        if distance is not None:
            distances.append(distance(shown, wanted))
    return float(np.mean(errors)), float(np.mean(distances)) if distances else None


def _deep_distance(features: str) -> Callable[[Floats, Floats], float]:
    import torch

    from engine.training.model.features import load_features

    net = load_features(features, DEEP_LAYERS)

    def distance(shown: Floats, wanted: Floats) -> float:
        with torch.inference_mode():
            maps = [net(torch.from_numpy(image).permute(2, 0, 1)[None]) for image in (shown, wanted)]
            parts = [float((a - b).abs().mean() / b.abs().mean().clamp(min=1e-6)) for a, b in zip(*maps, strict=True)]
        return sum(parts) / len(parts)

    return distance


class _Stop(StopFlag):
    """A request to stop: it ends the setting in flight, whose result would be lost anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.child: subprocess.Popen[str] | None = None

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.child is not None:
            self.child.kill()
        if not self.exit_code:
            super()._on_signal(signum, frame)


def search(
    job_path: Path, search_path: Path, emit: Emit, stop: _Stop | None = None, *, command: Sequence[str] = ()
) -> list[Result]:
    """Run every setting that has no result yet; returns all results, in the order of the grid.

    Args:
        job_path, search_path: the files of a ``TrainingJob`` and of a :class:`Search`.
        emit: receives one dict per event, see :mod:`engine.base.events`: phase, progress, warning, finished.
        stop: asked between settings.
        command: what is started for a setting; this module where empty.

    Raises:
        InputError: wrong input, found here or by a setting.
        PaintoverError: every setting failed.
        Interrupted: stopped; finished settings are kept.
    """
    stop = stop or _Stop()
    job, wanted = TrainingJob.load(job_path), Search.load(search_path)
    points = settings_of(None if wanted.grid is None else Path(wanted.grid), full=wanted.full)
    frames = scored_frames(job, SequencePath.parse(wanted.reference))
    inputs = fingerprint(job, wanted, frames)
    folder = job.work / _FOLDER
    _make_folder(folder)
    clean_temporaries(folder)
    emit(
        {
            "event": "phase",
            "phase": "tune",
            "settings": len(points),
            "frames": list(frames),
            "budget_s": job.budget_s,
        }
    )
    results: list[Result] = []
    failures: list[str] = []
    for index, setting in enumerate(points):
        place = {"event": "progress", "setting": setting.name, "index": index, "settings": len(points)}
        result = _known(folder, setting, inputs)
        state = "kept"
        if result is None:
            emit({**place, "state": "started", "fraction": round(index / len(points), 4)})
            words = [*(command or (sys.executable, "-m", "engine.training.tune.search")), "--job", str(job_path)]
            words += ["--search", str(search_path), "--setting", json.dumps(asdict(setting))]

            def forward(share: float, done: int = index, name: str = setting.name) -> None:
                fraction = round((done + TRAINING_SHARE * share) / len(points), 4)
                emit({"event": "progress", "setting": name, "fraction": fraction})

            why = _run_child(words, forward, emit, stop)
            if stop.exit_code:
                kept = f"{len(results)} of {len(points)} settings are done and kept"
                raise Interrupted(f"the search was stopped, {kept}", exit_code=stop.exit_code, remedy="run it again")
            result = _known(folder, setting, inputs)
            state = "done"
            if result is None:
                failures.append(f"{setting.name}: {why or 'it left no result'}")
                emit({"event": "warning", "text": failures[-1]})
                continue
        results.append(result)
        reached = {"loss": result.loss, "mae": result.mae, "deep": result.deep}
        emit({**place, "state": state, "fraction": round((index + 1) / len(points), 4), **reached})
    if not results:
        raise PaintoverError(f"no setting could be trained; {failures[0]}")
    short = [result.setting.name for result in results if result.steps < ENOUGH_STEPS]
    if short:
        why = f"{len(short)} of {len(results)} settings made fewer than {ENOUGH_STEPS} steps, such as {short[0]}"
        emit({"event": "warning", "text": f"{why}; their losses say little, give each setting more time"})
    best = min(results, key=lambda result: result.loss)
    keep_best(folder, best)
    draw_plot([(asdict(r.setting), r.loss) for r in results], asdict(best.setting), folder / "tune.png",
              title=f"Loss against each parameter, {_length(job)} a setting",
              measure="mean absolute error" if best.deep is None else "deep-feature distance")  # fmt: skip
    emit(
        {
            "event": "finished",
            "results": [asdict(result) for result in results],
            "best": asdict(best),
            "failed": failures,
            "look": str(folder / "best.onnx"),
            "settings_file": str(folder / "best.toml"),
            "plot": str(folder / "tune.png"),
        }
    )
    return results


def keep_best(folder: Path, best: Result) -> None:
    """Write the best setting as TOML, which is a grid of one point, and its look under a fixed name."""
    with replacing(folder / "best.toml") as temporary:
        temporary.write_text(tomlkit.dumps(asdict(best.setting)), encoding="utf-8")
    look = folder / f"{best.setting.name}.onnx"
    if look.is_file():
        with replacing(folder / "best.onnx") as temporary:
            shutil.copyfile(look, temporary)


def _known(folder: Path, setting: Setting, inputs: str) -> Result | None:
    """The result on disk, if it is this setting's and of these inputs."""
    try:
        data = parse_json(read_text(folder / f"{setting.name}.json"))
        if data["inputs"] != inputs or Setting(**data["setting"]) != setting:
            return None
        return Result(setting, *(data[name] for name in ("loss", "mae", "deep", "steps", "seconds")))
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None


def _run_child(words: Sequence[str], forward: Callable[[float], None], emit: Emit, stop: _Stop) -> str:
    """Run a setting's process to its end; returns why it failed, if it did.

    Raises:
        InputError: its input is wrong, and so is that of every other setting.
    """
    if stop.exit_code:
        return ""
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    stop.child = child
    error: dict[str, Any] = {}
    try:
        for event in filter(None, map(parse_event, child.stdout or ())):
            if event.get("event") == "progress":
                forward(float(event.get("fraction") or 0.0))
            elif event.get("event") == "warning":
                emit(event)
            elif event.get("event") == "failed":
                error = event
        code = child.wait()
    finally:
        stop.child = None
        if child.poll() is None:
            child.kill()
            child.wait()
    if code == 2 and error and not stop.exit_code:
        raise InputError(str(error.get("message")))
    return str(error.get("message") or (f"its process ended with code {code}" if code else ""))


def _length(job: TrainingJob) -> str:
    return f"{job.steps} steps" if job.budget_s is None else f"{job.budget_s:g} s"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def main(arguments: list[str] | None = None) -> int:
    """Run the search, or with ``--setting`` one point of it; events go to stdout. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.training.tune.search", description="Search for a better setting."
    )
    parser.add_argument("--job", required=True, type=Path, help="a training job, JSON")
    parser.add_argument("--search", required=True, type=Path, help="the search, JSON")
    parser.add_argument("--setting", help="one setting, JSON; its process is started by the search")
    options = parser.parse_args(arguments)
    emit = open_events()
    try:
        if options.setting is None:
            stop = _Stop()
            stop.install()
            search(options.job, options.search, emit, stop)
        else:
            # Ctrl-C in a terminal reaches both; the search ends this process.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            setting = Setting(**json.loads(options.setting))
            run_setting(TrainingJob.load(options.job), Search.load(options.search), setting, emit)
    except Interrupted as error:
        return error.exit_code
    except PaintoverError as error:
        emit(failed_event(error))
        return error.exit_code
    except (RuntimeError, MemoryError) as error:
        if os.environ.get("PAINTOVER_DEBUG") == "1":
            raise
        lines = str(error).splitlines() or [type(error).__name__]
        emit(failed_event(PaintoverError(lines[0])))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
