"""Settings of a render, and the hash of them that every frame carries."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from engine.base.choices import DENOISE_MODES, FLOAT_DEPTHS
from engine.base.errors import InputError
from engine.base.frames import SequencePath
from engine.look.softness import check_softness
from engine.look.tiling import check_tile

__all__ = ["RenderSettings"]

_GENERATION = 1
"""Raised when the same settings begin to give other pixels, so that frames on disk are not taken for current ones."""

_DEPTHS = ("uint8", "uint16", *FLOAT_DEPTHS)


@dataclass(frozen=True)
class RenderSettings:
    """How to render; the defaults serve.

    Raises:
        InputError: a tile under ``MIN_TILE`` other than 0, a softness beyond 0..1, an unknown depth or way to denoise,
            mattes without a frame number, or no thread.
    """

    tile: int | None = None
    """Largest side of a tile in pixels, 0 for the whole frame, None for the default grid."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    out_colorspace: str | None = None
    """OCIO name; None for the plate's or the working one, as the output's format asks."""
    bit_depth: str | None = None
    """uint8, uint16, half or float; None for the format's own."""
    compression: str | None = None
    """OIIO's name, with a level where it takes one: ``dwaa:45``; None for the format's own."""
    denoise: str | None = None
    """How the plate is denoised, one of ``engine.base.choices.DENOISE_MODES``; None for as the look was trained."""
    matte: str | None = None
    """Pattern of mattes, ``matte.%04d.exr``, or a movie: where to stylize, elsewhere the plate stays; None for all."""
    softness: float = 0.0
    """0..1: how far carried strokes are softened where the plate is out of focus; 0 leaves them as crisp as painted."""
    carried_layer: bool = False
    """Whether an EXR also holds ``paintover.carried``, how much of each pixel rides on an exemplar."""
    tensorrt: bool = False
    """Whether to run through TensorRT, which needs a CUDA device."""
    threads: int | None = None
    """CPU threads of all workers together; None for the machine's cores."""
    memory_gib: float | None = None
    """Memory to stay under; None for what is free."""

    def __post_init__(self) -> None:
        if self.tile is not None:
            check_tile(self.tile)
        check_softness(self.softness)
        if self.denoise is not None and self.denoise not in DENOISE_MODES:
            known = " or ".join(DENOISE_MODES)
            raise InputError(f"no way to denoise is called {self.denoise!r}", remedy=f"use {known}")
        if self.bit_depth is not None and self.bit_depth not in _DEPTHS:
            raise InputError(f"frames hold no numbers of depth {self.bit_depth!r}", remedy=f"use {', '.join(_DEPTHS)}")
        if self.matte is not None:
            SequencePath.parse(self.matte)
        if self.threads is not None and self.threads < 1:
            raise InputError(f"{self.threads} threads cannot render", remedy="use 1 or more")
        if self.memory_gib is not None and self.memory_gib <= 0:
            raise InputError(f"{self.memory_gib} GiB of memory is too little")

    def without_own_denoise(self, look_denoise: str | None) -> RenderSettings:
        """These settings without a way to denoise that is the look's own: both ask for the same frames."""
        return replace(self, denoise=None) if self.denoise == look_denoise else self

    def hash(self, *, plate_colorspace: str | None, config: str) -> str:
        """SHA-256 over what changes pixels, so neither device, threads nor memory.

        Args:
            plate_colorspace: as the user stated it; None where it is taken from each file.
            config: the OCIO config's name, which identifies its content.
        """
        facts: dict[str, object] = {
            "generation": _GENERATION,
            "tile": self.tile,
            "out_colorspace": self.out_colorspace,
            "bit_depth": self.bit_depth,
            "compression": self.compression,
            "carried_layer": self.carried_layer,
            "tensorrt": self.tensorrt,
            "plate_colorspace": plate_colorspace,
            "config": config,
        }
        # Left out where it is not set, so that frames of earlier versions stay right.
        if self.denoise is not None:
            facts["denoise"] = self.denoise
        # Each frame says which matte by its content; a path is no part of it, so that shots may move.
        if self.matte is not None:
            facts["matte"] = True
        if self.softness:
            facts["softness"] = self.softness
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
