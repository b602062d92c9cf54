"""Machine and versions with which a benchmark ran."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import engine
from engine.base.device import cuda_devices
from engine.base.machine import cpu_count, cpu_name, total_bytes

__all__ = ["describe"]

PACKAGES = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "torch", "OpenImageIO", "opencolorio")
ROOT = Path(__file__).resolve().parents[2]


def describe() -> dict[str, object]:
    """Commit, versions and hardware, as JSON values."""
    status = _git("status", "--porcelain", "--untracked-files=no")
    load = [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
    return {
        "paintover": engine.__version__,
        "commit": _git("rev-parse", "HEAD"),
        "modified": None if status is None else bool(status),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "cpu": cpu_name(),
        "cores": cpu_count(),
        "memory_gib": round(total_bytes() / 2**30, 1),
        "gpus": [device.name for device in cuda_devices()[0]],
        "load_before": load,
    }


def _git(*arguments: str) -> str | None:
    """Git's answer; None where there is no git, or the installed package is no checkout."""
    if not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
