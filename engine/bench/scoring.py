"""Scores of frames whose right painting is known: distance, steadiness, detail, and what no keyframe shows."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.base.arrays import Floats, Mask
from engine.base.errors import InputError, PaintoverError
from engine.bench.plan import SHARED
from engine.review import metrics

__all__ = ["SCORER", "Distance", "Score", "find_distance", "score", "self_test", "texture_distance"]

Distance = Callable[[Floats, Floats], float]

SCORER = SHARED / "bench" / "score.py"
_MIN_OCCLUDED = 0.002
"""Fewer pixels than this share of a picture say nothing about what was synthesized there."""


@dataclass(frozen=True)
class Score:
    """One method on one shot, mean over the scored frames."""

    distance: float
    """Perceptual distance from the truth; lower is better."""
    worst: float
    """The same of the worst frame."""
    dt: float
    """Temporal error; lower is better."""
    hf: float
    """Energy of detail over the truth's; 1 is right, less is washed out."""
    l1: float
    psnr: float
    occluded: float | None
    """Distance over pixels that no keyframe shows, per such pixel; None where there are none."""
    hidden_hf: float | None = None
    """``hf`` of those pixels alone."""
    hidden_texture: float | None = None
    """:func:`texture_distance` of them: strokes that nobody has seen have no single right place."""


def find_distance(scorer: Path = SCORER) -> tuple[str, Distance]:
    """A perceptual distance and its name: the deep one beside the checkout, or our own without a network.

    Raises:
        PaintoverError: the scorer is there and cannot be used.
    """
    if not scorer.is_file():
        return "structure", metrics.structure_distance
    spec = importlib.util.spec_from_file_location("paintover_bench_score", scorer)
    if spec is None or spec.loader is None:
        raise PaintoverError("the scorer is no Python module", path=scorer)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        net: Any = module.Perceptual()
    except (Exception, SystemExit) as error:
        raise PaintoverError(f"the scorer cannot be used: {error}", path=scorer) from error
    import torch

    computed, kept = net.features, dict[bytes, Any]()

    def remembered(image: Any) -> Any:
        # Every method is compared with the same few truths: half of the work.
        name = hashlib.blake2b(image.numpy().tobytes()).digest()
        if name not in kept:
            if len(kept) > 8:
                kept.pop(next(iter(kept)))
            kept[name] = computed(image)
        kept[name] = kept.pop(name)
        return kept[name]

    net.features = remembered

    def distance(result: Floats, truth: Floats) -> float:
        a, b = (torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None] for x in (result, truth))
        return float(net.distance(a, b))

    return "deep", distance


def score(
    results: Mapping[int, Floats], truths: Mapping[int, Floats], hidden: Mapping[int, Floats], distance: Distance
) -> Score:
    """Compare a method's frames with the truth.

    Args:
        results, truths: by frame, (H, W, 3) display-referred 0..1; the truth's frames are scored.
        hidden: by frame, (H, W) or (H, W, 3), above 0.5 where no keyframe shows the surface.
        distance: as :func:`find_distance` gives it.

    Raises:
        ImageError: shapes differ.
        InputError: no two neighbors among the frames.
    """
    frames = sorted(truths)
    pairs = [(a, b) for a, b in itertools.pairwise(frames) if b == a + 1]
    if not pairs:
        raise InputError(f"frames {frames} hold no two neighbors, so steadiness cannot be judged")
    shown = {frame: np.clip(results[frame], 0, 1) for frame in frames}
    far = [distance(shown[frame], truths[frame]) for frame in frames]
    occluded, detail, texture = [], [], []
    for frame in frames:
        mask = (hidden[frame] if hidden[frame].ndim == 3 else hidden[frame][..., None])[..., :1] > 0.5
        if mask.mean() > _MIN_OCCLUDED:
            # The surround is the truth's, so only the hidden pixels count.
            patched = np.where(mask, shown[frame], truths[frame])
            occluded.append(distance(patched, truths[frame]) / float(mask.mean()))
            inner = cv2.erode(mask[..., 0].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            if inner.mean() > _MIN_OCCLUDED / 2:
                mine, right = (cv2.Laplacian(x, cv2.CV_32F)[inner].std() for x in (shown[frame], truths[frame]))
                detail.append(float(mine / max(right, 1e-6)))
                texture.append(texture_distance(shown[frame], truths[frame], inner))
    return Score(
        distance=statistics.fmean(far),
        worst=max(far),
        dt=statistics.fmean(metrics.temporal((shown[a], shown[b]), (truths[a], truths[b])) for a, b in pairs),
        hf=statistics.fmean(metrics.high_frequency(shown[frame], truths[frame]) for frame in frames),
        l1=statistics.fmean(metrics.l1(shown[frame], truths[frame]) for frame in frames),
        psnr=statistics.fmean(metrics.psnr(shown[frame], truths[frame]) for frame in frames),
        occluded=statistics.fmean(occluded) if occluded else None,
        hidden_hf=statistics.fmean(detail) if detail else None,
        hidden_texture=statistics.fmean(texture) if texture else None,
    )


def texture_distance(result: Floats, truth: Floats, where: Mask) -> float:
    """How unlike two textures are, wherever their strokes lie: 0 for the same statistics.

    At three scales, of each color's mean, deviation, and deviation of its slopes along four directions, over the pixels
    asked for; deviations by their ratio. Without a network; compare it only with itself.

    Args:
        result, truth: (H, W, 3) display-referred 0..1.
        where: (H, W); some must be true.
    """
    total, scales = 0.0, 0
    mask = where.astype(np.float32)
    for _ in range(3):
        inside = mask > 0.99
        if inside.sum() < 16:
            break
        mine, right = (_statistics(image, inside) for image in (result, truth))
        total += float(np.abs(mine[0] - right[0]).mean() * 4 + np.abs(np.log(mine[1] / right[1])).mean())
        scales += 1
        size = (mask.shape[1] // 2, mask.shape[0] // 2)
        result, truth, mask = (
            np.asarray(cv2.resize(x, size, interpolation=cv2.INTER_AREA), np.float32) for x in (result, truth, mask)
        )
    return total / max(scales, 1)


def _statistics(image: Floats, inside: Mask) -> tuple[Floats, Floats]:
    """Means (3,) and deviations (5, 3) of a picture's pixels, and of slopes between two of them."""
    deviations = [image[inside].std(axis=0)]
    for step in ((0, 1), (1, 0), (1, 1), (1, -1)):
        both = inside & np.roll(inside, step, axis=(0, 1))
        slopes = (image - np.roll(image, step, axis=(0, 1)))[both]
        deviations.append(slopes.std(axis=0) if len(slopes) else np.zeros(3, np.float32))
    # Less than the grain of an 8-bit picture says nothing.
    return np.asarray(image[inside].mean(axis=0), np.float32), np.stack(deviations) + np.float32(0.004)


def self_test(
    drawn: Mapping[int, Floats],
    truths: Mapping[int, Floats],
    plates: Mapping[int, Floats],
    hidden: Mapping[int, Floats],
    distance: Distance,
) -> None:
    """Check that the figures can tell right from wrong before they judge anything.

    Args:
        drawn: the truth straight from the generator; the others come from files.

    Raises:
        PaintoverError: the truth does not clearly beat blurred truth, flickering truth, or the plate.
    """

    def judged(pictures: Mapping[int, Floats]) -> Score:
        return score(pictures, truths, hidden, distance)

    right, plate = judged(drawn), judged(plates)
    blurred = judged({frame: cv2.GaussianBlur(x, (0, 0), 0.8) for frame, x in drawn.items()})
    flickering = judged({frame: x * np.float32(1.05 if frame % 2 else 0.95) for frame, x in drawn.items()})
    found = []
    for name, wrong in (("blurred truth", blurred), ("flickering truth", flickering), ("the plate", plate)):
        for figure in ("distance", "worst", "dt", "occluded"):
            best, other = getattr(right, figure), getattr(wrong, figure)
            if best is not None and not best < 0.5 * other:
                found.append(f"{figure} gives the truth {best:.4f} and {name} {other:.4f}")
    if not abs(right.hf - 1) < 0.05:
        found.append(f"hf gives the truth {right.hf:.3f}")
    if not blurred.hf < 0.9:
        found.append(f"hf gives blurred truth {blurred.hf:.3f}")
    if found:
        raise PaintoverError(f"the benchmark's self-test failed: {'; '.join(found)}")
