"""Devices that a look runs on: the CPU, or a CUDA device that is really there."""

from __future__ import annotations

import contextlib
import ctypes
import io
import re
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine.base.errors import DeviceError, InputError
from engine.base.runtime import ort

__all__ = ["NO_DRIVER", "CudaDevice", "Device", "cuda_devices", "cuda_free_bytes", "resolve_device"]


NO_DRIVER = "no NVIDIA driver on this machine"
"""Why most machines have no CUDA device."""


@dataclass(frozen=True)
class CudaDevice:
    """A CUDA device that the driver lists."""

    index: int
    name: str
    total_bytes: int


@dataclass(frozen=True)
class Device:
    """What a look runs on."""

    cuda: int | None
    """Index of the CUDA device, or None for the CPU."""
    note: str = ""
    """Why ``auto`` came to the CPU; empty where nothing needs saying."""

    def __str__(self) -> str:
        return "cpu" if self.cuda is None else f"cuda:{self.cuda}"


def resolve_device(text: str) -> Device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` means on this machine.

    Raises:
        InputError: another text.
        DeviceError: CUDA was asked for by name, and it is not usable or has no such index.
    """
    if text == "cpu":
        return Device(None)
    match = re.fullmatch(r"auto|cuda(?::(\d+))?", text)
    if match is None:
        raise InputError(f'"{text}" is not a device', remedy="use auto, cpu, cuda or cuda:0")
    index = int(match.group(1) or 0)
    devices, reason = cuda_devices()
    if devices and "CUDAExecutionProvider" not in ort.get_available_providers():
        devices, reason = (), "this build of onnxruntime has no CUDA"
    if text == "auto":
        return Device(0) if devices else Device(None, reason)
    if not devices:
        raise DeviceError(f"{text} is not usable: {reason}", remedy="use --device auto or cpu")
    if index >= len(devices):
        found = ", ".join(f"cuda:{device.index} ({device.name})" for device in devices)
        raise DeviceError(f"there is no {text}; this machine has {found}", remedy="choose one of those, or auto")
    return Device(index)


def cuda_devices() -> tuple[tuple[CudaDevice, ...], str]:
    """The CUDA devices that this process may see, and why there are none where there are none."""
    driver = _driver()
    if driver is None:
        return (), NO_DRIVER
    count = ctypes.c_int()
    if driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return (), "the NVIDIA driver lists no device (is CUDA_VISIBLE_DEVICES empty?)"
    devices = []
    for index in range(count.value):
        name, total = ctypes.create_string_buffer(256), ctypes.c_size_t()
        driver.cuDeviceGetName(name, len(name), index)
        driver.cuDeviceTotalMem_v2(ctypes.byref(total), index)
        devices.append(CudaDevice(index, name.value.decode(errors="replace"), total.value))
    return tuple(devices), ""


def cuda_free_bytes(index: int) -> int:
    """Free memory of a CUDA device, or half of its total where the driver does not tell."""
    driver, free, total = _driver(), ctypes.c_size_t(), ctypes.c_size_t()
    if driver is None:
        return 0
    driver.cuDeviceTotalMem_v2(ctypes.byref(total), index)
    context = ctypes.c_void_p()
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), index) != 0:
        return total.value // 2
    try:
        driver.cuCtxPushCurrent_v2(context)
        answered = driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
        driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(index)
    return free.value if answered else total.value // 2


@cache
def load_cuda_libraries() -> None:
    """Load CUDA and cuDNN from pip's packages where they are installed, so that the provider finds them."""
    preload = getattr(ort, "preload_dlls", None)
    if preload is not None:
        # It prints what it does not find; stdout belongs to the progress protocol.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(OSError):
            preload()


@cache
def _driver() -> Any | None:
    """The CUDA driver's library, initialized, or None where there is no driver that works.

    The driver itself rather than NVML (nvidia-ml-py): NVML ignores CUDA_VISIBLE_DEVICES and numbers devices by their
    slots, where ``cuda:1`` means the second of those that CUDA shows this process, in CUDA's order.
    """
    library: Any
    try:
        if sys.platform == "win32":
            library = ctypes.WinDLL("nvcuda.dll")
        else:
            library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return library if library.cuInit(0) == 0 else None
