"""Methods that make the frames that the benchmark of sequences compares: one method, one folder of frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from engine import images
from engine.base.arrays import Floats
from engine.base.choices import DENOISE_MODES, GUIDE_KINDS
from engine.base.errors import InputError, PaintoverError
from engine.base.frames import FrameRange, SequencePath
from engine.bench.child import train_look
from engine.bench.plan import REFERENCE
from engine.bench.scenes import Scene, write_scene
from engine.motion import flow as motion
from engine.motion.stmap import read_stmap, sidecar_path, write_stmap
from engine.preparation.denoise_files import prepare_denoised
from engine.preparation.guide_files import prepare_guides
from engine.preparation.sidecars import prepare_sidecars
from engine.rendering.render import RenderSettings, render
from engine.shot.shot import Plate
from engine.training.job.limits import AUGMENTATIONS, FULL_FRAME, OWN_RECIPE

__all__ = ["BASELINES", "EXACT", "EXACT_ALONE", "METHODS", "OPTIONS", "TWO_KEYS", "Case", "take_frames"]


_SCENE = "scene"
SOFT = "soft"
EXACT, EXACT_ALONE = "exact track", "exact track alone"
"""Carried by the truth: what is left of its distance is not the tracker's."""


@dataclass(frozen=True, eq=False)
class Case:
    """One shot on disk, and how methods work on it.

    The folder holds ``scene/`` (see :func:`engine.bench.scenes.write_scene`), and one folder for each method with
    ``out.%04d.png`` for the scored frames.
    """

    scene: Callable[[], Scene]
    """Draws it; asked only where the folder is not written yet."""
    name: str
    folder: Path
    frames: int
    keys: tuple[int, int]
    """The first is the keyframe of every run with one; both are those of the runs with two."""
    scored: tuple[int, ...]
    budget_s: float | None
    """Seconds of each training; None to take ``steps``."""
    steps: int | None
    seed: int
    device: str = "cpu"
    features: Path | None = None
    """VGG weights for the reference's deep-feature loss."""

    @property
    def plate(self) -> Plate:
        pattern = SequencePath.parse(self.folder / _SCENE / "plate.%04d.png")
        return Plate(pattern, FrameRange(tuple(range(self.frames))))

    @property
    def work(self) -> Path:
        """The work folder of runs with one keyframe."""
        return _work(self, self.keys[:1])

    def prepare(self) -> None:
        """Follow the motion from the first keyframe, as ``paintover prepare`` does; once."""
        _prepared(self, self.keys[:1], self.work)

    def write(self) -> None:
        """Put the shot on disk, once."""
        done = self.folder / _SCENE / "done"
        if not done.is_file():
            needed = (*self.keys, *self.scored)
            write_scene(self.scene(), self.folder / _SCENE, self.keys[:1], coordinates=False, truth=needed)
            done.touch()

    def read(self, kind: str, frame: int) -> Floats:
        """A picture of the shot, (H, W, 3) display-referred: ``plate``, ``painted`` or ``occ``."""
        return images.read(self.folder / _SCENE / f"{kind}.{frame:04d}.png").rgb

    def out(self, method: str) -> Path:
        return self.folder / method.replace(",", "").replace(" ", "-")

    def picture(self, method: str, frame: int) -> Floats:
        """What a method made of a frame, (H, W, 3) display-referred."""
        return images.read(self.out(method) / f"out.{frame:04d}.png").rgb


def take_frames(case: Case, method: str, folder: Path) -> None:
    """Take the scored frames of a method that ran elsewhere: ``FOLDER/FAMILY-SEED/out.%04d.png``.

    Raises:
        InputError: a scored frame is missing.
        ImageError: one cannot be read.
    """
    pictures = {}
    for frame in case.scored:
        path = folder / case.name / f"out.{frame:04d}.png"
        if not path.is_file():
            raise InputError("a frame to score is missing", path=path, frame=frame)
        pictures[frame] = images.read(path, frame=frame).rgb
    _write(case, method, pictures)


def _write(case: Case, method: str, pictures: Mapping[int, Floats]) -> None:
    folder = case.out(method)
    folder.mkdir(parents=True, exist_ok=True)
    for frame, picture in pictures.items():
        images.write(folder / f"out.{frame:04d}.png", np.clip(picture, 0, 1).astype(np.float32), bit_depth="uint8")


def _identity(case: Case) -> None:
    """The plate itself."""
    _write(case, "identity", {frame: case.read("plate", frame) for frame in case.scored})


def _warp(case: Case) -> None:
    """The painted keyframe pulled through flow between neighbors, composed back to the keyframe; no network."""
    key = case.keys[0]
    painting = case.read("painted", key)
    pictures: dict[int, Floats] = {}
    for step in (1, -1):
        last = max(case.scored) if step > 0 else min(case.scored)
        before = motion.luma8(case.read("plate", key))
        to_key: Floats | None = None
        for frame in range(key + step, last + step, step):
            here = motion.luma8(case.read("plate", frame))
            back = motion.estimate(here, before)
            to_key = back if to_key is None else motion.compose(back, to_key)
            before = here
            if frame in case.scored:
                pictures[frame] = np.asarray(motion.pull(painting, to_key), np.float32)
    _write(case, "warp", pictures)


def _reference(case: Case) -> None:
    look = _train(case, case.out(REFERENCE), REFERENCE, case.keys[:1])
    _render(case, look, REFERENCE, None)


def _plain(case: Case) -> None:
    """The same look as carried, told nothing of where the strokes went."""
    _render(case, _ours(case, case.keys[:1]), "plain", None)


def _carried(case: Case) -> None:
    _render(case, _ours(case, case.keys[:1]), "carried", _work(case, case.keys[:1]))


def _soft(case: Case) -> None:
    """Carried, with strokes softened when they are rendered."""
    _render(case, _ours(case, case.keys[:1]), SOFT, _work(case, case.keys[:1]), softness=1.0)


def _exact_track(case: Case) -> None:
    """Carried, with the right track wherever the keyframe shows the surface; the rest as ours has it."""
    keys = case.keys[:1]
    work = _exact_work(case, "exact", filled=True)
    _render(case, _ours(case, keys), EXACT, work)


def _exact_track_alone(case: Case) -> None:
    """Carried along the right track, and nothing where the keyframe does not show the surface."""
    work = _exact_work(case, "exact-alone", filled=False)
    _render(case, _ours(case, case.keys[:1]), EXACT_ALONE, work)


def _exact_work(case: Case, name: str, *, filled: bool) -> Path:
    """A work folder with the right sidecars of the scored frames, what is hidden filled from ours or not."""
    key, work, scene = case.keys[0], case.folder / name, case.scene()
    _ours(case, case.keys[:1])
    for frame in case.scored:
        points, seen = scene.coordinates(frame, key)
        height, width = seen.shape
        u, v = (points[..., 0] + 0.5) / width, 1 - (points[..., 1] + 0.5) / height
        exact = np.stack([u, v, seen.astype(np.float32)], axis=2).astype(np.float32)
        if filled:
            ours = read_stmap(sidecar_path(case.work, key, frame))
            exact = np.where(seen[..., None], exact, ours)
        write_stmap(sidecar_path(work, key, frame), exact)
    return work


def _other_key(case: Case) -> None:
    _render(case, _ours(case, case.keys[1:]), "other key", _work(case, case.keys[1:]))


def _both_keys(case: Case) -> None:
    _render(case, _ours(case, case.keys), "both keys", _work(case, case.keys))


METHODS: Mapping[str, Callable[[Case], None]] = MappingProxyType(
    {
        "identity": _identity,
        "warp": _warp,
        REFERENCE: _reference,
        "plain": _plain,
        "carried": _carried,
        SOFT: _soft,
        EXACT: _exact_track,
        EXACT_ALONE: _exact_track_alone,
    }
)
"""By name, in the order of the tables; each writes its frames into ``case.out(name)``."""

TWO_KEYS: Mapping[str, Callable[[Case], None]] = MappingProxyType({"other key": _other_key, "both keys": _both_keys})
"""What carried with the first keyframe is compared with."""


def _optional(base: str, option: str) -> Callable[[Case], None]:
    """``plain`` or ``carried`` with a guide, on the denoised plate, or crisp; one look for both."""

    def make(case: Case) -> None:
        keys = case.keys[:1]
        work = _work(case, keys, option)
        _render(case, _ours(case, keys, option), f"{base}+{option}", work if base == "carried" else None, prepared=work)

    return make


OPTIONS: Mapping[str, Callable[[Case], None]] = MappingProxyType(
    {
        f"{base}+{option}": _optional(base, option)
        for option in (*GUIDE_KINDS, "denoised", "crisp")
        for base in ("plain", "carried")
    }
)
"""What is asked for by name only: options of a look that are not its default."""


def _full_frame(augment: str | None) -> tuple[str, Callable[[Case], None]]:
    """The name of the published full-frame baseline with one of its augmentations, and what makes its frames."""
    name = FULL_FRAME if augment is None else f"{FULL_FRAME}+{augment}"

    def make(case: Case) -> None:
        look = _train(case, case.out(name), FULL_FRAME, case.keys[:1], augment)
        _render(case, look, name, None)

    return name, make


BASELINES: Mapping[str, Callable[[Case], None]] = MappingProxyType(dict(map(_full_frame, (None, *AUGMENTATIONS))))
"""Asked for by name as well: what the reference was published beside."""


def _work(case: Case, keys: Sequence[int], option: str | None = None) -> Path:
    return case.folder / "-".join(["work", *map(str, keys), *([option] if option else [])])


def _ours(case: Case, keys: Sequence[int], option: str | None = None) -> Path:
    """Our look for these keyframes, with what it needs made first, as ``run`` does it; trained once."""
    work = _work(case, keys, option)
    look = work / "look.onnx"
    if not look.is_file():
        _prepared(case, keys, work)
        if option == "denoised":
            prepare_denoised(case.plate, work, DENOISE_MODES[0])
        elif option in GUIDE_KINDS:
            prepare_guides(case.plate, keys, work, option)
        _train(case, work, OWN_RECIPE, keys, option)
    return look


def _prepared(case: Case, keys: Sequence[int], work: Path) -> None:
    """Put the sidecars of these keyframes into a work folder."""
    # A sidecar depends on its own keyframe alone, so all runs of a shot share them.
    shared = case.folder / "sidecars"
    paintings = {key: case.folder / _SCENE / f"painted.{key:04d}.png" for key in keys}
    prepare_sidecars(case.plate, keys, shared, paintings=paintings)
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "stmap").exists():
        (work / "stmap").symlink_to(Path("..", shared.name, "stmap"), target_is_directory=True)


def _train(case: Case, work: Path, recipe: str, keys: Sequence[int], option: str | None = None) -> Path:
    """Train as a user would, in a process of its own; returns the look, which appears only when it is whole."""
    work.mkdir(parents=True, exist_ok=True)
    look = work / "look.onnx"
    if look.is_file():
        return look
    paintings = case.folder / _SCENE
    job = {
        "plate": case.plate.path.text,
        "frames": str(case.plate.frames),
        "plate_colorspace": None,
        "keyframes": [{"frame": key, "painting": str(paintings / f"painted.{key:04d}.png")} for key in keys],
        "work": str(work),
        "look": str(look),
        "budget_s": case.budget_s,
        "steps": case.steps,
        "seed": case.seed,
        "device": case.device,
        "recipe": recipe,
        "features": str(case.features) if case.features and recipe != OWN_RECIPE else None,
        "preview": False,
        "crisp": option == "crisp",
        "guides": option if option in GUIDE_KINDS else None,
        "denoise": DENOISE_MODES[0] if option == "denoised" else None,
        "augment": option if option in AUGMENTATIONS else None,
    }
    try:
        train_look(job, work)
    except PaintoverError as error:
        raise PaintoverError(f"{case.name}: {error}") from error
    return look


def _render(
    case: Case, look: Path, method: str, work: Path | None, prepared: Path | None = None, softness: float = 0.0
) -> None:
    plate = Plate(case.plate.path, FrameRange(case.scored))
    out = SequencePath.parse(case.out(method) / "out.%04d.png")
    settings = RenderSettings(device=case.device, softness=softness)
    render(look, plate, out, settings, work=work, prepared=prepared, overwrite=True)
