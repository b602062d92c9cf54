"""A look as TorchScript, for hosts that run nothing else: rebuilt node by node from the look's own graph.

::

    python -m engine.training.export.torchscript --look hero.onnx --out hero.pt

One packed input (1, 3 + 3M, H, W) of any size: the RGB of the plate, scene-linear values of the working colorspace,
then u, v and confidence of the first M keyframes' STMaps. One output (1, 4, H, W): stylized RGB and the carried share.
The module is scripted, never traced, and uses operators that torch has had since 1.6.

It follows its input's device and dtype. Half floats cannot hold the curve that encodes light, so it computes in
float32 whatever comes in, and weights are kept as the sum of two half floats each, which survive ``module.half()``.
Set ``precise`` to 0 to convolve half inputs in half: faster on a GPU, with a difference that the export measures.
"""

from __future__ import annotations

import argparse
import io
import linecache
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from engine.base.errors import ExportError, InputError, PaintoverError
from engine.base.events import failed_event, open_events
from engine.base.runtime import ort
from engine.base.temporaries import replacing
from engine.color import shaper
from engine.look.card import LookFile, open_look
from engine.training.export.torchscript_operators import OPERATORS, Code, Untranslatable, Value

__all__ = ["CHECK_SIZES", "MAPS", "TOLERANCE", "Differences", "build_module", "differences", "export"]

MAPS = 2
"""STMaps that fit into the channels which Nuke's models may name, besides the plate."""

TOLERANCE = 1e-3
"""Largest difference from onnxruntime: in the working encoding for colors, as it is for the carried share."""

CHECK_SIZES = ((64, 64), (61, 83), (96, 40), (37, 150), (130, 121))
"""(H, W) that an export is checked at: multiples of the network's stride and none, wide and high."""

_LIMIT = float(shaper.encode(np.array(shaper.LIMIT, np.float32)))


@dataclass(frozen=True)
class Differences:
    """How far a module is from onnxruntime, the largest over :data:`CHECK_SIZES`; see :data:`TOLERANCE` for units."""

    float32: float
    half: float
    """The module and its input in half floats."""
    half_fast: float
    """The same with ``precise`` 0; no promise, and NaN where no GPU was there to measure it: a CPU convolves in half at
    a hundredth of its speed."""


def build_module(look: LookFile, maps: int = MAPS) -> torch.jit.ScriptModule:
    """The look's graph as a scripted module; see the module's head for its input and output.

    Args:
        maps: STMaps in the packed input, at most; keyframes beyond are taken as not carried.

    Raises:
        InputError: the look needs guide images, or uses an operator that this export does not know.
    """
    if look.card.guide_channels:
        raise InputError(
            "the look needs guide images, for which a packed input has no channels",
            path=look.path,
            remedy="train it without --guides",
        )
    model = onnx.load_model_from_string(look.data)
    count = len(look.card.keyframes)
    code = _translate(model.graph, count, min(maps, count), look.path)
    module = _class(code.source())()
    for name, tensor in code.buffers.items():
        module.register_buffer(name, tensor)
    return torch.jit.script(module.eval())


def _class(source: str) -> type[torch.nn.Module]:
    """The one class of a generated module; its place is no file, because a path would become part of every export."""
    name, place = "scripted_look", "scripted_look.py"
    loaded = types.ModuleType(name)
    loaded.__file__ = place
    # The compiler asks for the source by these two ways.
    sys.modules[name] = loaded
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    exec(compile(source, place, "exec"), loaded.__dict__)
    made: type[torch.nn.Module] = loaded.ScriptedLook
    return made


def differences(module: torch.jit.ScriptModule, look: LookFile, maps: int = MAPS) -> Differences:
    """Measure a module against the look in onnxruntime, on pictures with highlights, negatives and wandering STMaps."""
    session = ort.InferenceSession(look.data, providers=["CPUExecutionProvider"])
    count = len(look.card.keyframes)
    used = min(maps, count)
    found = {"float32": 0.0, "half": 0.0}
    if torch.cuda.is_available():
        found["half_fast"] = 0.0
    for height, width in CHECK_SIZES:
        packed = _picture(height, width, used).astype(np.float16)
        stmap = np.zeros((1, 3 * count, height, width), np.float32)
        stmap[:, : 3 * used] = packed[:, 3:]
        feed = {"plate": packed[:, :3].astype(np.float32), **({"stmap": stmap} if count else {})}
        styled, carried = session.run(["styled", "carried"], feed)
        for name in found:
            got = _run(module, torch.from_numpy(packed), name)
            colors = np.abs(_encoded(got[:, :3]) - _encoded(styled)).max()
            found[name] = float(np.fmax(max(found[name], float(colors)), np.abs(got[:, 3:] - carried).max()))
    return Differences(found["float32"], found["half"], found.get("half_fast", float("nan")))


def export(look_path: Path, out: Path, maps: int = MAPS) -> Differences:
    """Write a look as TorchScript, after it was found equal to the look in onnxruntime.

    Args:
        look_path: the ``.onnx``.
        out: the ``.pt``; replaced atomically.

    Raises:
        LookError: not a look.
        InputError: see :func:`build_module`.
        ExportError: the module differs by more than :data:`TOLERANCE`; nothing is written.
        OutputError: it cannot be written.
    """
    look = open_look(look_path)
    module = build_module(look, maps)
    measured = differences(module, look, maps)
    largest = max(measured.float32, measured.half)
    if not largest <= TOLERANCE:
        raise ExportError(
            f"the TorchScript differs from the look by {largest:.2g}, more than {TOLERANCE:g}",
            path=out,
            remedy="nothing was written; send the look with the output of paintover doctor",
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        temporary.write_bytes(_saved(module).getvalue())
    return measured


def main(arguments: Sequence[str] | None = None) -> int:
    """The export's process: events as JSON lines on stdout; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.training.export.torchscript")
    parser.add_argument("--look", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--maps", type=int, default=MAPS)
    options = parser.parse_args(arguments)
    emit = open_events()
    torch.set_num_threads(max(1, min(2, torch.get_num_threads())))
    try:
        measured = export(options.look, options.out, options.maps)
    except PaintoverError as error:
        emit(failed_event(error))
        return error.exit_code
    emit({"event": "finished", "path": str(options.out), "torch": torch.__version__, **vars(measured)})
    return 0


def _translate(graph: onnx.GraphProto, count: int, used: int, path: Path) -> Code:
    code = Code()
    values: dict[str, Value] = {}
    for tensor in graph.initializer:
        values[tensor.name] = numpy_helper.to_array(tensor)
    values["plate"] = code.assign("image[:, 0:3]")
    carried = f"image[:, 3:{3 + 3 * used}]"
    if used < count:
        nothing = f"torch.zeros_like(image[:, 0:1]).expand(-1, {3 * (count - used)}, -1, -1)"
        carried = f"torch.cat([{carried}, {nothing}], 1)"
    if count:
        values["stmap"] = code.assign(carried)
    for node in graph.node:
        try:
            values[node.output[0]] = _node_value(code, node, values)
        except (ValueError, KeyError, IndexError) as error:
            raise _unknown(node.op_type, error, path) from error
    try:
        code.finish(values["styled"], values["carried"])
    except (ValueError, KeyError) as error:
        raise _unknown("its outputs", error, path) from error
    return code


def _node_value(code: Code, node: onnx.NodeProto, values: Mapping[str, Value]) -> Value:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Constant":
        return numpy_helper.to_array(attributes["value"])
    emit = OPERATORS.get(node.op_type)
    if emit is None or len(node.output) != 1:
        raise Untranslatable("no such operator")
    return emit(code, [values[name] if name else None for name in node.input], attributes)


def _unknown(what: str, error: Exception, path: Path) -> InputError:
    # What stands elsewhere than an operator expects shows as one of Python's own errors.
    why = str(error) if isinstance(error, Untranslatable) else "its inputs or attributes"
    return InputError(
        f"the look uses {what} in a way that the export to TorchScript does not know: {why}",
        path=path,
        remedy="train it again with this version",
    )


def _picture(height: int, width: int, maps: int) -> NDArray[np.float32]:
    """(1, 3 + 3 maps, H, W): forms and grain, a highlight of 40, a negative corner, and STMaps that bend."""
    rng = np.random.default_rng(height * 1000 + width)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = (x + 0.5) / width, 1 - (y + 0.5) / height
    forms = [0.5 + 0.4 * np.sin(7 * u + phase) * np.cos(5 * v - phase) for phase in (0.0, 1.0, 2.0)]
    planes = [np.square(form) + 0.02 * rng.standard_normal((height, width)) for form in forms]
    for plane in planes:
        plane[height // 2 :, width // 2 :] *= 40.0
        plane[:8, :8] -= 0.3
    for index in range(maps):
        confidence = np.clip(0.5 + 0.8 * np.sin(9 * u + 5 * v + index), 0, 1)
        planes += [u + 0.02 * np.sin(6 * v + index), v + 0.02 * np.cos(7 * u), confidence]
    return np.stack(planes)[None].astype(np.float32)


def _run(module: torch.jit.ScriptModule, packed: Tensor, how: str) -> NDArray[np.float32]:
    """The module's answer, float32."""
    # As a host has it: saved and loaded. half() changes the module that it is called on.
    copy = torch.jit.load(_saved(module))
    device = "cpu"
    if how == "half_fast":
        copy.precise, device = 0, "cuda"
    copy = copy.to(device)
    copy = copy.float() if how == "float32" else copy.half()
    with torch.no_grad():
        answer: Tensor = copy(packed.to(device, torch.float32 if how == "float32" else torch.float16))
    return answer.float().cpu().numpy()


def _saved(module: torch.jit.ScriptModule) -> io.BytesIO:
    # Not to a path: its name would become part of the file.
    saved = io.BytesIO()
    torch.jit.save(module, saved)
    saved.seek(0)
    return saved


def _encoded(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(shaper.encode(linear), -_LIMIT, _LIMIT)


if __name__ == "__main__":
    sys.exit(main())
