"""Frames of a session: what the network now makes of them, at half size or whole, fast rather than exact."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.base.arrays import Floats
from engine.base.temporaries import output_error, replacing
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.motion.stmap import find_sidecars, flow_to_stmap, read_sidecars
from engine.training.data.keyframes import LoadedKeyframe, load_plate
from engine.training.export.look import LookModule
from engine.training.job.job import TrainingJob
from engine.training.job.session import result_path
from engine.training.machine import Machine
from engine.training.model.carry import Exemplar, StoredExemplar

__all__ = ["FrameInput", "GivenUp", "SessionFrames", "half_size"]

KEPT_BYTES = 512 << 20
"""Of plates and tracks that stay in memory, for those who come back to a frame."""
STRIP_PX = 1 << 18
"""A larger picture is rendered in strips of about so many pixels: memory does not grow with it, and whoever asks for
another one waits for a strip at most."""


class GivenUp(Exception):
    """A picture that is no longer what is wanted."""


@dataclass(frozen=True, eq=False)
class FrameInput:
    """What the network sees of one frame."""

    plate: Floats
    """(H, W, 3) working encoding."""
    stmap: Floats | None
    """(H, W, 3K) for the keyframes; None where nothing is carried."""

    @property
    def size_bytes(self) -> int:
        return self.plate.nbytes + (0 if self.stmap is None else self.stmap.nbytes)


class SessionFrames:
    """Renders frames of a shot with a network that changes."""

    def __init__(
        self, job: TrainingJob, config: ColorConfig, machine: Machine, is_denoised: Callable[[int], bool]
    ) -> None:
        """
        Args:
            is_denoised: whether a denoised frame is there to take in the plate's place.
        """
        self._is_denoised = is_denoised
        self._job, self._config, self._machine = job, config, machine
        self._kept: OrderedDict[tuple[object, ...], FrameInput] = OrderedDict()
        self._exemplars: dict[tuple[int, bool], tuple[LoadedKeyframe, Exemplar]] = {}

    @torch.no_grad()
    def render(
        self,
        net: nn.Module,
        keyframes: Sequence[LoadedKeyframe],
        frame: int,
        *,
        proxy: bool,
        give_up: Callable[[], bool] = lambda: False,
    ) -> Path:
        """Render a frame and write it where :func:`result_path` says; returns that path.

        Args:
            net: in evaluation mode.
            proxy: at half size.
            give_up: asked before each strip.

        Raises:
            GivenUp: ``give_up`` said so.
            ImageError: the plate or a sidecar cannot be read.
            OutputError: the result cannot be written.
        """
        found = self._input(keyframes, frame)
        if proxy:
            found = FrameInput(half_size(found.plate), None if found.stmap is None else half_size(found.stmap))
        exemplars = [self._exemplar(keyframe, proxy) for keyframe in keyframes]
        styled, carried = self._translated(net, exemplars, found, give_up)
        limit = np.float32(shaper.LIMIT)
        linear = np.clip(np.nan_to_num(shaper.decode(styled), nan=0.0), -limit, limit)
        pixels = np.concatenate([linear, carried], axis=2).astype(np.float16)
        path = result_path(self._job.work, frame)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(path.parent, error) from error
        # It can be made again: nothing waits for the disk.
        with replacing(path, flush=False) as temporary, temporary.open("wb") as file:
            np.save(file, pixels, allow_pickle=False)
        return path

    def _translated(
        self, net: nn.Module, exemplars: list[Exemplar], found: FrameInput, give_up: Callable[[], bool]
    ) -> tuple[Floats, Floats]:
        """Result (H, W, 3), working encoding, and carried share (H, W, 1)."""
        look = LookModule(net, exemplars)  # type: ignore[arg-type]
        height, width = found.plate.shape[:2]
        multiple, reach = int(look.net.multiple), int(look.net.reach)
        halo = -(-reach // multiple) * multiple
        rows = max(multiple, STRIP_PX // width // multiple * multiple)
        parts = []
        for top in range(0, height, rows):
            if give_up():
                raise GivenUp
            bottom = min(height, top + rows)
            first, last = max(0, top - halo), min(height, bottom + halo)
            plate, stmap = (
                None if image is None else self._batch(image[first:last]) for image in (found.plate, found.stmap)
            )
            with self._machine.autocast():
                result, share = look.translate(plate, stmap)  # type: ignore[arg-type]
            both = torch.cat([result.float(), share.float()], 1)[0, :, top - first : bottom - first]
            parts.append(both.permute(1, 2, 0).cpu().numpy())
        whole = np.concatenate(parts, axis=0)
        return whole[..., :3], whole[..., 3:]

    def _batch(self, image: Floats) -> torch.Tensor:
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
        return torch.from_numpy(planes).to(self._machine.device)

    def _exemplar(self, keyframe: LoadedKeyframe, proxy: bool) -> Exemplar:
        key = (keyframe.frame, proxy)
        held = self._exemplars.get(key)
        if held is not None and held[0] is keyframe:
            return held[1]
        stored = keyframe.exemplar
        if proxy:
            planes = (half_size(plane) for plane in (stored.painting, stored.coverage, stored.plate))
            stored = StoredExemplar(*planes)
        made = Exemplar(stored.encoded.stack.to(self._machine.device))
        self._exemplars[key] = (keyframe, made)
        return made

    def _input(self, keyframes: Sequence[LoadedKeyframe], frame: int) -> FrameInput:
        numbers = [keyframe.frame for keyframe in keyframes]
        sidecars = find_sidecars(self._job.work, numbers, frame)
        stamps = [(path.stat().st_mtime_ns, path.stat().st_size) if path else None for path in sidecars]
        is_denoised = self._is_denoised(frame)
        key = (frame, is_denoised, *numbers, *stamps)
        held = self._kept.get(key)
        if held is not None:
            self._kept.move_to_end(key)
            return held
        job = self._job if is_denoised else msgspec.structs.replace(self._job, denoise=None)
        plate = shaper.encode(load_plate(job, frame, self._config)[0])
        height, width = plate.shape[:2]
        stmap = read_sidecars(sidecars, height, width, frame=frame)
        if frame in numbers and sidecars[numbers.index(frame)] is None:
            # A keyframe shows its own strokes before anything is tracked.
            stmap = np.zeros((height, width, 3 * len(numbers)), np.float32) if stmap is None else stmap
            u, v = flow_to_stmap(np.zeros((height, width, 2), np.float32), height, width)
            place = 3 * numbers.index(frame)
            stmap[..., place : place + 3] = np.stack([u, v, np.ones_like(u)], axis=2)
        made = self._kept[key] = FrameInput(plate, stmap)
        while len(self._kept) > 1 and sum(each.size_bytes for each in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return made


def half_size(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) or (H, W, C) at half its size, each pixel the mean of four."""
    height, width = image.shape[:2]
    size = (max(1, width // 2), max(1, height // 2))
    if image.ndim == 2 or image.shape[2] <= 4:
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    channels = [cv2.resize(image[..., index], size, interpolation=cv2.INTER_AREA) for index in range(image.shape[2])]
    return np.stack(channels, axis=2).astype(np.float32)
