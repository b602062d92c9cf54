"""Keyframes from disk to training pairs: sizes, colorspaces, mattes, bad pixels, and what is wrong with them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import ImageError, InputError
from engine.base.frames import FrameRange
from engine.color import shaper
from engine.color.assignment import Assignment
from engine.color.config import ColorConfig
from engine.color.keys import fit_to_data_window
from engine.color.paintings import painting_color
from engine.images.header import Header
from engine.images.provenance import file_sha256
from engine.preparation.prepared_files import denoised_frames, guide_images
from engine.shot.paintings import PAINTED, painted_alpha
from engine.shot.plate import PlateFrame, PlateReader, plate_sha256
from engine.shot.windows import has_windows, place_by_windows
from engine.training.data.patches import Pair
from engine.training.job.job import PaintedFrame, TrainingJob
from engine.training.model.carry import StoredExemplar
from engine.training.model.edges import margins

__all__ = ["LoadedKeyframe", "load_guide", "load_keyframes", "load_plate", "pad_to_multiple"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedKeyframe:
    """A keyframe in the working colorspace."""

    frame: int
    plate: Floats
    """(H, W, 3) scene-linear, the shot's window."""
    painting: Floats
    """(H, W, 3) scene-linear; 0 where nothing is painted."""
    weight: Floats
    """(H, W) in 0..1: coverage of the painting, 0 at bad pixels."""
    sha256: str
    """Of the painting's file."""
    plate_colorspace: str
    paint_colorspace: str
    guide: Floats | None = None
    """(H, W, G) in 0..1, the plate's guide image; None where the job asks for none."""

    @property
    def exemplar(self) -> StoredExemplar:
        """What a look stores of it."""
        return StoredExemplar(self.painting, self.weight, self.plate)

    def pair(self, device: torch.device, multiple: int) -> Pair:
        """The keyframe encoded, padded and on the device."""

        def encoded(linear: Floats) -> torch.Tensor:
            x = torch.from_numpy(shaper.encode(linear)).permute(2, 0, 1)
            return pad_to_multiple(x, multiple, "replicate").to(device)

        height, width = self.weight.shape
        single = torch.from_numpy(self.weight)[None]
        weight, coverage = (pad_to_multiple(single, multiple, how).to(device) for how in ("constant", "replicate"))
        guide = None
        if self.guide is not None:
            planes = torch.from_numpy(np.ascontiguousarray(self.guide.transpose(2, 0, 1)))
            guide = pad_to_multiple(planes, multiple, "replicate").to(device)
        return Pair(self.frame, encoded(self.plate), encoded(self.painting), weight, coverage, height, width, guide)


def pad_to_multiple(x: torch.Tensor, multiple: int, mode: str) -> torch.Tensor:
    """Pad (C, H, W) by ``MARGIN`` all around, and on the right and below so that H and W are multiples."""
    return torch.nn.functional.pad(x[None], margins(x, multiple), mode=mode)[0]


def load_plate(job: TrainingJob, frame: int, config: ColorConfig) -> tuple[Floats, str, PlateFrame]:
    """A plate frame as scene-linear (H, W, 3) of the shot's window, its colorspace, and the frame as read.

    A job that asks for denoised frames gets them in the plate's place; the frame is the plate's all the same.

    Raises:
        ImageError: a frame is missing, damaged, or its denoised one is not of this plate.
    """
    sequence = job.plate_path
    read = PlateReader(sequence, job.plate_colorspace, config).read(frame)
    space = read.space
    if job.denoise is not None:
        files = denoised_frames(job.work, sequence, job.denoise)
        files.sha256(frame, plate_sha256(sequence, frame))
        return files.read(frame, *read.rgb.shape[:2]), space, read
    return config.to_working(read.rgb, space), space, read


def load_guide(job: TrainingJob, frame: int, size: tuple[int, ...]) -> Floats | None:
    """The guide image (H, W, G) of a frame, in 0..1; None where the job asks for none.

    Raises:
        ImageError: it is missing, of another kind, of another plate, or of another size.
    """
    if job.guides is None:
        return None
    files = guide_images(job.work, job.guides, [keyframe.frame for keyframe in job.keyframes])
    files.sha256(frame, plate_sha256(job.plate_path, frame))
    return files.read(frame, size[0], size[1])


def load_keyframes(job: TrainingJob, config: ColorConfig) -> list[LoadedKeyframe]:
    """Read and check every keyframe of a job.

    Raises:
        InputError: a keyframe outside the range or given twice, an empty matte.
        ImageError: a file that is missing or damaged, a painting or matte of the wrong size.
        ColorError: an unknown colorspace.
    """
    frames = FrameRange.parse(job.frames)
    seen: set[int] = set()
    loaded = []
    for keyframe in sorted(job.keyframes, key=lambda k: k.frame):
        if keyframe.frame not in frames:
            raise InputError(
                f"keyframe {keyframe.frame} is outside the frame range {frames}",
                path=keyframe.painting,
                remedy="widen --frames, or correct the keyframe's number",
            )
        if keyframe.frame in seen:
            raise InputError(f"keyframe {keyframe.frame} is given twice", path=keyframe.painting)
        seen.add(keyframe.frame)
        loaded.append(_load(job, keyframe, config))
    return loaded


def _load(job: TrainingJob, keyframe: PaintedFrame, config: ColorConfig) -> LoadedKeyframe:
    frame = keyframe.frame
    plate, plate_space, read = load_plate(job, frame, config)
    plate_image = read.image
    if not keyframe.painting.is_file():
        raise ImageError(
            f"frame {frame}: the painting is missing", path=keyframe.painting, remedy="correct the path of --keyframe"
        )
    painted = images.read(keyframe.painting, frame=frame)
    taken = Assignment(plate_space, "", "file")
    color = painting_color(config, painted.header, keyframe.painting, keyframe.colorspace, taken, plate_image.header)
    transform = color.transform
    whole = transform is not None and painted.rgb.shape[:2] == (transform.height, transform.width)
    painting = color.to_working(painted, config, plate=plate_image if whole else None)
    paint_space = color.taken.colorspace
    size = f"frame {frame}: the painting is {painting.shape[1]}x{painting.shape[0]}"
    painting, covered = _fit(painting, painted.header, plate_image.header, job.fit_paintings, size, keyframe.painting)
    weight = covered.astype(np.float32)
    alpha = painted_alpha(painted)
    if alpha is not None:
        weight *= _fit_coverage(alpha, painted.header, plate_image.header, job.fit_paintings)
    if keyframe.matte is not None:
        matte = images.read_matte(keyframe.matte, frame=frame)
        own = images.read_header(keyframe.matte, frame=frame, coverage=True)
        wrong = f"frame {frame}: the matte is {matte.shape[1]}x{matte.shape[0]}"
        planes = np.repeat(matte[..., None], 3, 2)
        shaped, inside = _fit(planes, own, plate_image.header, job.fit_paintings, wrong, keyframe.matte)
        weight *= shaped[..., 0] * inside
    weight = np.clip(weight, 0, 1)
    weight[weight < PAINTED] = 0
    if weight.any() and (job.unpainted or ("translate" if alpha is None else "plate")) == "plate":
        painting, weight = _over_plate(painting, read.own(plate), weight)
    for image, what in ((plate_image, "plate"), (painted, "painting")):
        if image.bad_mask is not None and image.bad_pixels:
            log.warning("frame %d: %d pixels of the %s are not finite and are left out", frame, image.bad_pixels, what)
            bad = image.bad_mask
            if bad.shape != weight.shape or has_windows(image.header, plate_image.header):
                own = image.header
                bad = _fit_coverage(bad.astype(np.float32), own, plate_image.header, job.fit_paintings) > PAINTED
            weight[bad] = 0
    if not weight.any():
        raise InputError(
            f"frame {frame}: nothing is painted, the matte or alpha is empty everywhere",
            path=keyframe.matte or keyframe.painting,
            remedy="paint some coverage into it, or leave the matte out",
        )
    painting = read.placed(np.where(weight[..., None] > 0, painting, np.float32(0)))
    weight = read.placed(weight)
    digest = file_sha256(keyframe.painting)
    guide = load_guide(job, frame, plate.shape[:2])
    return LoadedKeyframe(frame, plate, painting, weight, digest, plate_space, paint_space, guide)


def _over_plate(painting: Floats, plate: Floats, coverage: Floats) -> tuple[Floats, Floats]:
    """The painting composited over its own plate frame, and full coverage: so a look learns to leave the rest alone.

    In the working encoding, in which a soft stroke's edge looks as it does in a painting program.
    """
    share = coverage[..., None]
    below, above = shaper.encode(plate), shaper.encode(np.where(share > 0, painting, np.float32(0)))
    mixed = shaper.decode(below + share * (above - below))
    # Untouched pixels are the plate's to the last bit.
    return np.where(share > 0, np.where(share < 1, mixed, painting), plate), np.ones_like(coverage)


def _fit(
    pixels: Floats, own: Header, header: Header, resample: bool, wrong: str, path: Path
) -> tuple[Floats, NDArray[np.bool_]]:
    """Pixels (h, w, 3) of a painting or matte as the plate's data window, and where they cover it.

    One with windows of its own, on the plate's format, lies where they say; any other is of the plate's display or
    data window, by its size.
    """
    if has_windows(own, header):
        return place_by_windows(pixels, own, header)
    if _known_size(pixels, header):
        return fit_to_data_window(pixels, header)
    width, height = header.display[2:]
    if not resample:
        raise ImageError(
            f"{wrong}, its plate frame {width}x{height}",
            path=path,
            remedy=f"resize it to {width}x{height}, or pass --fit-paintings to have it resampled",
        )
    return fit_to_data_window(_resized(pixels, width, height), header)


def _fit_coverage(alpha: Floats, own: Header, header: Header, resample: bool) -> Floats:
    pixels = np.repeat(alpha[..., None], 3, 2)
    if has_windows(own, header):
        return place_by_windows(pixels, own, header)[0][..., 0]
    if not _known_size(pixels, header) and resample:
        pixels = _resized(pixels, *header.display[2:])
    shaped, inside = fit_to_data_window(pixels, header)
    return np.where(inside, shaped[..., 0], np.float32(0))


def _known_size(pixels: Floats, header: Header) -> bool:
    return (pixels.shape[1], pixels.shape[0]) in (header.display[2:], header.data[2:])


def _resized(pixels: Floats, width: int, height: int) -> Floats:
    shrinking = pixels.shape[0] > height
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
