"""Figures of sequences: ``python -m tests.support.sequence_figures --features VGG --style IMAGE --work DIR``.

Paints the eleven lynx frames, made small: each alone, in one sweep, and in several passes; and the last two also with
painted frames resampled by bilinear weights. Prints the temporal error of each (mean change along the
plate's motion over pixels whose flow is reliable, in display codes), its contrast from the first frame to the last,
inside and in the strip at the right that enters during the shot, and CPU seconds a frame. Then, on a shot of known
answer, how much a surface that one frame hides changes, with and without long-term consistency. Run again, it goes on.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from engine import images
from engine.base.arrays import Bytes
from engine.optimize.job import StyleImage
from engine.optimize.sequence import sequence
from engine.optimize.sequence.job import SequenceJob
from engine.optimize.sequence.sequence import paint_sequence
from engine.review.steadiness import plate_step, temporal_error
from tests.support import SHARED
from tests.support.shifting_shots import change_of_hidden, shifting_plate

__all__ = ["contrast", "main"]

FRAMES = tuple(range(11))
_DETAIL_PX = 2.0
_STRIP = 1 / 16
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def contrast(picture: Bytes, *, strip: bool = False) -> float:
    """Deviation of a picture's lightness from that around it, display codes.

    Args:
        picture: (H, W, 3) uint8.
        strip: in the strip at its right; else in what is farther than that from every side.
    """
    luma = picture.astype(np.float32) @ _LUMA
    detail = luma - cv2.GaussianBlur(luma, (0, 0), _DETAIL_PX)
    wide = round(_STRIP * detail.shape[1])
    return float((detail[:, -wide:] if strip else detail[wide:-wide, wide:-wide]).std())


@dataclass
class Figures:
    """Runs and measures on the lynx."""

    options: argparse.Namespace

    def __post_init__(self) -> None:
        self.options.work.mkdir(parents=True, exist_ok=True)
        self.plates: list[Bytes] = []
        for frame in FRAMES:
            rgb = images.read(SHARED / "shots" / "lynx" / f"plate.{frame:04d}.jpg").rgb
            size = self.options.width, round(self.options.width * rgb.shape[0] / rgb.shape[1])
            small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.float32)
            images.write(self.options.work / f"plate.{frame:04d}.png", small, bit_depth="uint8")
            self.plates.append(np.asarray(small * 255 + 0.5, np.uint8))

    def paint(self, name: str, *, passes: int = 1, frames: tuple[int, ...] = FRAMES) -> float:
        """Paint frames into a folder of that name; returns CPU seconds a frame, earlier runs included."""
        options, folder = self.options, self.options.work / name
        folder.mkdir(parents=True, exist_ok=True)
        job = SequenceJob(
            plate=str(options.work / "plate.%04d.png"),
            plate_layer="",
            frames=frames,
            plate_colorspace=None,
            ocio=None,
            out=str(folder / "out.%04d.png"),
            work=folder / (f"work{frames[0]}" if len(frames) == 1 else "work"),
            styles=(StyleImage(options.style),),
            features=str(options.features),
            iterations=options.iterations if passes == 1 else options.iterations_of_pass,
            passes=passes,
            device=options.device,
            threads=options.threads,
            resume=True,
        )
        began_s = time.process_time()
        paint_sequence(job, lambda event: None)
        return self.seconds(name, time.process_time() - began_s) / len(FRAMES)

    def seconds(self, name: str, more: float) -> float:
        """CPU seconds that a folder's frames took in all."""
        path = self.options.work / name / "seconds.txt"
        total = more + (float(path.read_text()) if path.exists() else 0.0)
        path.write_text(str(total))
        return total

    def say_hidden(self) -> None:
        """Two lines on the shot of known answer, which is painted anew."""
        options = self.options
        for name, long_term in (("without", ()), ("with", (2,))):
            folder = options.work / f"hidden {name}"
            folder.mkdir(exist_ok=True)
            job = SequenceJob(
                plate=shifting_plate(folder, 4, hides=3),
                plate_layer="",
                frames=(1, 2, 3, 4),
                plate_colorspace=None,
                ocio=None,
                out=str(folder / "out.%d.png"),
                work=folder / "work",
                styles=(StyleImage(options.style),),
                features=str(options.features),
                iterations=options.iterations,
                long_term=long_term,
                device=options.device,
                threads=options.threads,
            )
            paint_sequence(job, lambda event: None)
            here, there = (images.read(folder / f"out.{frame}.png").rgb for frame in (4, 2))
            changed = change_of_hidden(here, there, hides=3)
            print(f"hidden for a frame, {name} long-term consistency: changed by {changed:.2f} codes", flush=True)

    def read(self, name: str) -> list[Bytes]:
        """The frames of a folder."""
        found = [images.read(self.options.work / name / f"out.{frame:04d}.png").rgb for frame in FRAMES]
        return [np.asarray(rgb * 255 + 0.5, np.uint8) for rgb in found]

    def say(self, name: str, painted: list[Bytes], frame_s: float) -> None:
        """One line."""
        steps = [plate_step(*pair) for pair in itertools.pairwise(self.plates)]
        pairs = zip(itertools.pairwise(painted), steps, strict=True)
        means = [error.mean for pair, step in pairs if (error := temporal_error(*pair, step)) is not None]
        inside, strip = ([contrast(picture, strip=at) for picture in painted] for at in (False, True))
        changes = [f"{found[0]:5.2f} to {found[-1]:5.2f} ({found[-1] / found[0]:.2f})" for found in (inside, strip)]
        steady = f"temporal error {np.mean(means):5.2f}"
        print(f"{name:<19} {steady}   contrast {changes[0]}, strip {changes[1]}   {frame_s:6.1f} s a frame", flush=True)


def main() -> None:
    """Paint and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path, default=SHARED / "models" / "vgg16_hed_fp16.safetensors")
    parser.add_argument("--style", type=Path, default=SHARED / "shots" / "lynx" / "painted.0000.jpg")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--width", type=int, default=160, help="of the frames, pixels")
    parser.add_argument("--iterations", type=int, default=16, help="of one sweep, and of frames alone")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--iterations-of-pass", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    figures = Figures(parser.parse_args())
    figures.say("the plate", figures.plates, 0.0)
    for frame in FRAMES:
        frame_s = figures.paint("alone", frames=(frame,))
    figures.say("alone", figures.read("alone"), frame_s)
    ours = sequence.SWEEP, sequence.MULTI_PASS
    bilinear = tuple(replace(each, filter_=cv2.INTER_LINEAR) for each in ours)
    for how, (sequence.SWEEP, sequence.MULTI_PASS) in (("", ours), (", bilinear", bilinear)):
        for name, passes in (("one sweep", 1), (f"{figures.options.passes} passes", figures.options.passes)):
            frame_s = figures.paint(name + how, passes=passes)
            figures.say(name + how, figures.read(name + how), frame_s)
    sequence.SWEEP, sequence.MULTI_PASS = ours
    figures.say_hidden()


if __name__ == "__main__":
    main()
