"""What this machine offers: the first line of every bug report."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import os
import platform
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from engine import __version__
from engine.base.errors import PaintoverError
from engine.base.machine import (
    cpu_count,
    cpu_name,
    free_bytes,
    memory_limit_bytes,
    physical_cores,
    total_bytes,
    usable_threads,
)
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.progress.protocol import Progress, quiet_errors, visible
from plugin.progress.stop import StopRequest

__all__ = ["Finding", "examine", "parser", "run"]

_GIB = 1024**3
_LOW_MEMORY_GIB = 4.0
_VALUE_WIDTH = 100

_MARKS = {"ok": "✓", "bad": "✗", "missing": "-", "fact": " "}
_PLAIN_MARKS = {"ok": "+", "bad": "x", "missing": "-", "fact": " "}

_NEEDED = (
    ("numpy", "numpy"),
    ("OpenImageIO", "OpenImageIO"),
    ("OpenColorIO", "opencolorio"),
    ("ONNX", "onnx"),
    ("OpenCV", "opencv-python-headless"),
    ("fileseq", "fileseq"),
    ("PyAV", "av"),
    ("rich", "rich"),
    ("tomlkit", "tomlkit"),
    ("psutil", "psutil"),
)


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    section: str
    """The heading it stands under."""
    name: str
    """What was looked at."""
    state: str
    """``ok``, ``bad`` (something needed is broken), ``missing`` (something optional), or ``fact``."""
    value: str
    """What was found."""


def parser() -> Parser:
    """The options of ``paintover doctor``."""
    return Parser(COMMANDS["doctor"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Print the report; 1 if something needed is broken."""
    findings = examine(options.ocio)
    healthy = all(finding.state != "bad" for finding in findings)
    if options.json:
        print(json.dumps({"healthy": healthy, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        _print(findings, healthy=healthy)
    return 0 if healthy else 1


def _print(findings: list[Finding], *, healthy: bool) -> None:
    try:
        "✓✗".encode(sys.stdout.encoding or "ascii")
        marks = _MARKS
    except UnicodeEncodeError:
        marks = _PLAIN_MARKS
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            print(f"\n{section}" if finding is not findings[0] else section)
        lines = textwrap.wrap(finding.value, _VALUE_WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
        print(f"  {marks[finding.state]} {finding.name:<14} {visible(lines[0])}".rstrip())
        for line in lines[1:]:
            print(f"{'':19}{visible(line)}")
    print(f"\n{'Everything needed is here.' if healthy else 'Something needed is broken; see the lines marked above.'}")


def examine(ocio: str | None = None) -> list[Finding]:
    """Look at everything, in the order of the report. A check that fails is a finding, never an exception.

    Args:
        ocio: an OCIO config to look at instead of the active one.
    """
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("Paintover", _paintover),
        ("Packages", _packages),
        ("Machine", _machine),
        ("Rendering", _rendering),
        ("Training", _training),
        ("Images and movies", _codecs),
        ("Color", lambda: _color(ocio)),
        ("Paths", _paths),
    ]
    findings = []
    for section, check in checks:
        try:
            findings += list(check())
        except Exception as fault:
            reason = fault.message if isinstance(fault, PaintoverError) else f"{type(fault).__name__}, {fault}"
            findings.append(Finding(section, section.lower(), "bad", quiet_errors(reason)))
    return findings


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _paintover() -> Iterator[Finding]:
    section = "Paintover"
    yield Finding(section, "paintover", "ok", __version__)
    yield Finding(section, "Python", "ok", f"{platform.python_version()} ({platform.python_implementation()})")
    yield Finding(section, "system", "fact", f"{platform.platform()} {platform.machine()}")


def _packages() -> Iterator[Finding]:
    section = "Packages"
    for name, distribution in _NEEDED:
        found = _version(distribution)
        if found is None and name == "OpenCV":
            found = _version("opencv-python") or _version("opencv-contrib-python")
        yield Finding(section, name, "ok" if found else "bad", found or f"not installed: pip install {distribution}")
    for distribution in ("onnxruntime-gpu", "onnxruntime"):
        found = _version(distribution)
        if found:
            yield Finding(section, "ONNX Runtime", "ok", f"{found} ({distribution})")
            break
    else:
        yield Finding(section, "ONNX Runtime", "bad", "not installed: pip install onnxruntime")


def _machine() -> Iterator[Finding]:
    section = "Machine"
    cores = f"{physical_cores()} cores, {usable_threads()} usable threads"
    yield Finding(section, "CPU", "fact", f"{cpu_name()}, {cores}, {cpu_count()} taken")
    features = _cpu_features()
    yield Finding(section, "CPU features", "fact", " ".join(features) or "none that matter")
    total, limit = total_bytes(), memory_limit_bytes()
    text = f"{total / _GIB:.1f} GiB, {free_bytes() / _GIB:.1f} GiB free"
    if limit is not None and limit < total:
        text += f", limited to {limit / _GIB:.1f} GiB for this process"
    enough = min(total, limit or total) >= _LOW_MEMORY_GIB * _GIB
    yield Finding(section, "memory", "ok" if enough else "missing", text if enough else f"{text}; 8K needs 4 GiB")


def _cpu_features() -> list[str]:
    """The instruction sets that inference and training gain from."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith(("flags", "features")):
                known = ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16")
                have = set(line.split(":", 1)[1].split())
                return [name for name in known if name in have]
    import numpy

    extensions = numpy.show_config(mode="dicts")["SIMD Extensions"]
    return [*extensions.get("baseline", []), *extensions.get("found", [])]


def _rendering() -> Iterator[Finding]:
    section = "Rendering"
    import onnx
    from onnx import TensorProto, helper

    from engine.base.device import cuda_devices, load_cuda_libraries
    from engine.base.runtime import TELEMETRY_SWITCH, ort

    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])

    graph = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "doctor", [value("a")], [value("b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    available = ort.get_available_providers()

    def works(provider: str) -> bool:
        quiet = ort.SessionOptions()
        quiet.log_severity_level = 4
        # Where a provider does not load, the runtime says so on stdout and goes on with the CPU.
        with contextlib.redirect_stdout(io.StringIO()):
            session = ort.InferenceSession(model, quiet, providers=[provider])
        return provider in session.get_providers()

    yield Finding(section, "CPU", "ok" if works("CPUExecutionProvider") else "bad", "inference works")
    ort.set_default_logger_severity(4)
    devices, reason = cuda_devices()
    for device in devices:
        yield Finding(section, f"cuda:{device.index}", "ok", f"{device.name}, {device.total_bytes / _GIB:.0f} GiB")
    if devices:
        load_cuda_libraries()
    for provider, name, lacking in (
        ("CUDAExecutionProvider", "CUDA", "are CUDA and cuDNN installed?"),
        ("TensorrtExecutionProvider", "TensorRT", "is TensorRT installed?"),
    ):
        if provider not in available:
            yield Finding(section, name, "missing", "not in this build of ONNX Runtime; the CPU renders")
        elif not devices:
            yield Finding(section, name, "missing", f"{reason}; the CPU renders")
        elif works(provider):
            yield Finding(section, name, "ok", "works")
        else:
            yield Finding(section, name, "missing", f"its libraries do not load ({lacking})")
    yield Finding(section, "providers", "fact", ", ".join(available))
    off = os.environ.get(TELEMETRY_SWITCH) == "1"
    yield Finding(section, "telemetry", "ok" if off else "bad", "switched off; nothing leaves this machine")


def _training() -> Iterator[Finding]:
    # Asked of the installation, not of torch: importing it takes seconds and gigabytes.
    section = "Training"
    for name in ("torch", "safetensors"):
        found = _version(name)
        missing = 'not installed; training needs pip install "paintover[train]", rendering does not'
        yield Finding(section, name, "ok" if found else "missing", found or missing)
    for name in ("starlette", "uvicorn", "websockets"):
        found = _version(name)
        missing = 'not installed; paintover desk needs pip install "paintover[desk]"'
        yield Finding(section, name, "ok" if found else "missing", found or missing)


def _codecs() -> Iterator[Finding]:
    section = "Images and movies"
    import av
    import OpenImageIO

    formats = str(OpenImageIO.get_string_attribute("format_list")).split(",")
    lacking = [name for name in ("openexr", "tiff", "png", "jpeg", "dpx") if name not in formats]
    state = "bad" if lacking else "ok"
    text = f"cannot read {', '.join(lacking)}" if lacking else "EXR, TIFF, PNG, JPEG, DPX and more"
    yield Finding(section, "images", state, text)
    yield Finding(section, "FFmpeg", "ok", f"{getattr(av, 'ffmpeg_version_info', 'unknown version')} (in PyAV)")
    codecs: tuple[tuple[str, Literal["r", "w"], str], ...] = (
        ("h264", "r", "read H.264"),
        ("prores", "r", "read ProRes"),
        ("libx264", "w", "write MP4"),
    )
    for codec, mode, name in codecs:
        try:
            av.codec.Codec(codec, mode)
            yield Finding(section, name, "ok", codec)
        except Exception:
            yield Finding(section, name, "missing", f"this PyAV has no {codec}")
    program = shutil.which("ffmpeg")
    yield Finding(section, "ffmpeg command", "fact", program or "none, and none needed")


def _color(ocio: str | None) -> Iterator[Finding]:
    from engine.color.config import ColorConfig

    section = "Color"
    config = ColorConfig.active(ocio)
    source = "--ocio" if ocio else "$OCIO" if os.environ.get("OCIO") else "built into OCIO, since $OCIO is not set"
    yield Finding(section, "config", "ok", f"{config.name} ({source})")
    yield Finding(section, "$OCIO", "fact", os.environ.get("OCIO") or "not set")
    yield Finding(section, "working space", "fact", config.working)
    yield Finding(section, "display, view", "fact", ", ".join(config.default_display_view()))
    yield Finding(section, "colorspaces", "fact", ", ".join(config.names()))


def _paths() -> Iterator[Finding]:
    section = "Paths"
    yield Finding(section, "paintover", "fact", str(Path(__file__).resolve().parents[2]))
    yield Finding(section, "interpreter", "fact", sys.executable)
    yield Finding(section, "command", "fact", shutil.which("paintover") or "not on PATH; python -m plugin works too")
    here = Path.cwd()
    yield Finding(section, "this folder", "fact", str(here))
    temporary = Path(tempfile.gettempdir())
    free = shutil.disk_usage(temporary).free / _GIB
    yield Finding(section, "temporary", "fact", f"{temporary}, {free:.1f} GiB free")
