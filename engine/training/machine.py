"""Machine that training runs on: its device, threads and precision."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from engine.base.errors import DeviceError
from engine.base.machine import cpu_count

__all__ = ["Machine"]


@dataclass(frozen=True)
class Machine:
    """A device and how to compute on it."""

    device: torch.device
    precision: torch.dtype
    """Of convolutions: bfloat16 where the hardware multiplies it, else float32. Weights stay float32."""

    @classmethod
    def choose(cls, name: str, threads: int | None = None) -> Machine:
        """Pick the device for ``auto``, ``cpu`` or ``cuda:N`` and set the number of CPU threads.

        Raises:
            DeviceError: ``cuda:N`` is asked for and not there, or the name is unknown.
        """
        torch.set_num_threads(threads or cpu_count())
        if name == "auto":
            name = "cuda:0" if torch.cuda.is_available() else "cpu"
        if name == "cpu":
            return cls(torch.device("cpu"), torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32)
        kind, _, index = name.partition(":")
        if kind != "cuda" or not (index or "0").isdigit():
            raise DeviceError(f"unknown device {name!r}", remedy="give auto, cpu or cuda:N")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            found = f"torch sees {count} CUDA devices" if count else "torch sees no CUDA device"
            raise DeviceError(f"device {name} is not available: {found}", remedy="use --device auto, or --device cpu")
        device = torch.device("cuda", int(index or 0))
        # What is fastest would be measured anew in every run, and sums come out in another order.
        torch.backends.cudnn.benchmark = False
        # Products of matrices sum in one order only with a workspace of a known size; read when the first is made.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        return cls(device, torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32)

    def autocast(self) -> AbstractContextManager[None]:
        """The mixed-precision region of a forward pass."""
        mixed = self.precision is not torch.float32
        return torch.autocast(self.device.type, self.precision, enabled=mixed)

    def synchronize(self) -> None:
        """Wait for the device; for clocks."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _cpu_multiplies_bfloat16() -> bool:
    """True where bfloat16 products are native; emulated they are slower than float32."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    probes = [getattr(torch.cpu, name, None) for name in names]
    return any(probe() for probe in probes if probe is not None)
