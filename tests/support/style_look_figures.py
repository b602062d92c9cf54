"""Figures of looks from style images: ``python -m tests.support.style_look_figures --features FILE``.

Trains small looks on the first frames of a shot, 0-5 of ../shared/shots/lynx at a fifth of its size, and judges them on
these and on the others, 6-10: losses, temporal error, and how far tiles are from the whole frame; with and without the
temporal loss, and with the instance norm of Ulyanov et al. in the place of our folded norms.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from engine import images
from engine.base.arrays import Floats
from engine.base.frames import FrameRange, SequencePath
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.look.session import Look
from engine.optimize.feedforward import recipe as recipes
from engine.optimize.feedforward.frames import load_frames
from engine.optimize.feedforward.losses import LAYERS
from engine.optimize.feedforward.network import StyleTranslator
from engine.optimize.feedforward.recipe import StyleRecipe
from engine.optimize.gatys import VggMaps
from engine.review.steadiness import plate_step, temporal_error
from engine.shot.plate import PlateReader
from engine.training.export.look import reference, write_look
from engine.training.machine import Machine
from engine.training.model.features import load_features
from engine.training.model.network import Architecture, ConvNorm
from tests.support import SHARED
from tests.support.style_looks import style_card

SEEN, UNSEEN = range(0, 6), range(6, 11)


class InstanceNormTranslator(StyleTranslator):
    """The network with Ulyanov's norms: each frame, or tile, by its own mean and deviation."""

    def __init__(self, architecture: Architecture, *, lightness: bool = False) -> None:
        super().__init__(architecture, lightness=lightness)
        for module in list(self.modules()):
            if isinstance(module, ConvNorm):
                module.norm = nn.InstanceNorm2d(module.norm.num_features, affine=True)  # type: ignore[assignment]


class InstanceNormRecipe(StyleRecipe):
    network = InstanceNormTranslator


def small_shot(shot: Path, folder: Path, height: int) -> SequencePath:
    """The shot's frames, made smaller, as PNG."""
    for path in sorted(shot.glob("plate.*.jpg")):
        rgb = images.read(path).rgb
        width = round(rgb.shape[1] * height / rgb.shape[0])
        small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        images.write(folder / f"{path.stem}.png", small, bit_depth="uint8")
    return SequencePath.parse(str(folder / "plate.%04d.png"))


def judged(
    recipe: StyleRecipe, reader: PlateReader, frames: Sequence[int], results: dict[int, Floats]
) -> dict[str, float]:
    """Mean losses of whole frames; the results, working encoding, are kept."""
    found: dict[str, list[float]] = {}
    for frame in frames:
        plate = reader.encoded(frame)
        results[frame] = reference(recipe.result(), shaper.decode(plate))
        with torch.no_grad():
            for name, loss in recipe.loss(_tensor(results[frame]), _tensor(plate)).items():
                found.setdefault(name, []).append(float(loss))
    return {name: float(np.mean(each)) for name, each in found.items() if name != "variation"}


def temporal(pictures: dict[int, Floats], plates: dict[int, Floats], config: ColorConfig) -> float:
    """Mean temporal error over the unseen frames, in codes of 255."""
    codes = [{f: _codes(each[f], config) for f in UNSEEN} for each in (pictures, plates)]
    errors = []
    for frame in UNSEEN[:-1]:
        step = plate_step(codes[1][frame], codes[1][frame + 1])
        error = temporal_error(codes[0][frame], codes[0][frame + 1], step)
        errors += [] if error is None else [error.mean]
    return float(np.mean(errors))


def tile_difference(net: nn.Module, plate: Floats) -> float:
    """Largest difference, working encoding, of the middle of a frame and the same with 64 pixels around it alone."""
    height, width = plate.shape[:2]
    window = (slice(height // 4 // 8 * 8, height), slice(width // 4 // 8 * 8, width))
    whole, part = reference(net, plate), reference(net, np.ascontiguousarray(plate[window]))
    return float(np.abs(whole[window] - part)[64:, 64:].max())


def main(arguments: list[str] | None = None) -> int:
    """Train each variant, print its row and the pictures' folder; a JSON line at the end."""
    parser = argparse.ArgumentParser(description="Figures of looks from style images.")
    parser.add_argument("--features", type=Path, default=SHARED / "models" / "vgg16_hed_fp16.safetensors")
    parser.add_argument("--shot", type=Path, default=SHARED / "shots" / "lynx")
    parser.add_argument("--style", type=Path, default=SHARED / "shots" / "lynx" / "painted.0000.jpg")
    parser.add_argument("--height", type=int, default=108)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--only", nargs="*", default=["folded", "unsteady", "instance"])
    parser.add_argument("--out", type=Path, help="a folder for pictures")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    recipes.CROP_PX = options.crop
    config, machine = ColorConfig.active(None), Machine.choose("cpu", 1)
    rows = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        reader = PlateReader(small_shot(options.shot, folder, options.height), None, config, keep=16)
        frames = load_frames(reader, FrameRange.of(SEEN), config)
        style = shaper.encode(config.to_working(images.read(options.style).rgb, "sRGB - Texture"))
        maps = VggMaps(load_features(str(options.features), LAYERS))
        plates = {frame: reader.encoded(frame) for frame in (*SEEN, *UNSEEN)}
        for name in options.only:
            torch.manual_seed(0)
            kind = InstanceNormRecipe if name == "instance" else StyleRecipe
            steadiness = 0.0 if name == "unsteady" else 1.0
            recipe = kind(frames, [(style, 1.0)], maps, machine, np.random.default_rng(0), steadiness=steadiness)
            began = time.process_time()
            for step in range(options.steps):
                recipe.step(step / options.steps)
            step_s = (time.process_time() - began) / options.steps
            results: dict[int, Floats] = {}
            row: dict[str, object] = {"seen": judged(recipe, reader, SEEN, results)}
            row["unseen"] = judged(recipe, reader, UNSEEN, results)
            row["temporal error"], row["of the plate"] = (temporal(each, plates, config) for each in (results, plates))
            row["tile difference"] = tile_difference(recipe.result(), shaper.decode(plates[6]))
            row["core seconds a step"] = step_s
            if name != "instance":
                look = folder / f"{name}.onnx"
                write_look(look, recipe.result(), (), style_card(), shaper.decode(plates[0]))
                row["core seconds a frame of 960x540"] = _render_s(look)
            rows[name] = row
            print(name, json.dumps(row), flush=True)
            if options.out is not None:
                options.out.mkdir(parents=True, exist_ok=True)
                for frame in (0, 9):
                    shown = _codes(results[frame], config).astype(np.float32) / 255
                    images.write(options.out / f"{name}.{frame}.png", shown, bit_depth="uint8")
    print(json.dumps(rows))
    return 0


def _render_s(look: Path) -> float:
    """Of one core, whatever else runs on the machine."""
    found = []
    with Look.load(look, device="cpu", threads=1) as loaded:
        plate = np.full((540, 960, 3), 0.2, np.float32)
        for _ in range(3):
            began = time.process_time()
            loaded.stylize(plate)
            found.append(time.process_time() - began)
    return min(found)


def _codes(encoded: Floats, config: ColorConfig) -> np.ndarray:
    """uint8 sRGB of the working encoding."""
    shown = config.from_working(shaper.decode(np.ascontiguousarray(encoded)), "sRGB - Texture")
    return (np.clip(shown, 0, 1) * 255 + 0.5).astype(np.uint8)


def _tensor(picture: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]


if __name__ == "__main__":
    raise SystemExit(main())
