"""Where a look's operators run: which of them have a CUDA kernel in which onnxruntime.

::

    python -m engine.training.export.kernels hero.onnx

prints a row for each operator of the look: the opset version that its meaning is from, how many nodes there are, and
for several versions of onnxruntime-gpu the CUDA kernel that takes it. A node without one is computed on the CPU, its
pictures copied there and back. Then it lets the installed onnxruntime place the nodes, where its CUDA provider loads.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from engine.base.errors import PaintoverError
from engine.look.card import open_look

__all__ = ["CUDA_KERNELS", "RUNTIMES", "OperatorKernel", "Placement", "installed_placement", "kernel_for", "table"]

RUNTIMES = ("1.19.2", "1.23.2", "1.31.1")
"""Versions of onnxruntime-gpu whose kernels are recorded here."""

CUDA_KERNELS: Mapping[str, tuple[str, str, str]] = {
    "Abs": ("13+", "13+", "13+"),
    "Add": ("13 14+", "13 14+", "13 14+"),
    "AveragePool": ("11+", "11+", "11-18 19-21 22+"),
    "Cast": ("13-18 19+", "13-18 19+", "13-18 19-20 21-22 23-24 25+"),
    "Clip": ("13+", "13+", "13+"),
    "Concat": ("13+", "13+", "13+"),
    "Conv": ("11+", "11+", "11-21 22+"),
    "DepthToSpace": ("13+", "13+", "13+"),
    "Div": ("13 14+", "13 14+", "13 14+"),
    "Exp": ("13+", "13+", "13+"),
    "Expand": ("13+", "13+", "13+"),
    "Floor": ("13+", "13+", "13+"),
    "Gather": ("13+", "13+", "13+"),
    "GridSample": ("16+", "16+", "16-19 20-21 22+"),
    "Identity": ("13 14-18 19+", "13 14-18 19+", "13 14-18 19-20 21-22 23-24 25+"),
    "LeakyRelu": ("6-15 16+", "6-15 16+", "6-15 16+"),
    "LessOrEqual": ("12-15 16+", "12-15 16+", "12-15 16+"),
    "Log": ("13+", "13+", "13+"),
    "Max": ("13+", "13+", "13+"),
    "Min": ("13+", "13+", "13+"),
    "Mod": ("13+", "13+", "13+"),
    "Mul": ("13 14+", "13 14+", "13 14+"),
    "Neg": ("13+", "13+", "13+"),
    "Pad": ("13-17 18+", "13-17 18+", "13-17 18 19-20 21-22 23 24 25+"),
    "Pow": ("13-14 15+", "13-14 15+", "13-14 15+"),
    "ReduceMean": ("1-17 18+", "1-17 18+", "1-17 18+"),
    "Relu": ("13 14+", "13 14+", "13 14+"),
    "Resize": ("13-17 18+", "13-17 18+", "13-17 18 19+"),
    "Shape": ("13-14 15-18 19+", "13-14 15-18 19+", "13-14 15-18 19-20 21-22 23-24 25+"),
    "Sigmoid": ("13+", "13+", "13+"),
    "Sign": ("13+", "13+", "13+"),
    "Slice": ("13+", "13+", "13+"),
    "SpaceToDepth": ("13+", "13+", "13+"),
    "Sqrt": ("13+", "13+", "13+"),
    "Sub": ("13 14+", "13 14+", "13 14+"),
    "Sum": ("13+", "13+", "13+"),
    "Tanh": ("13+", "13+", "13+"),
    "Transpose": ("13+", "13+", "13-20 21-22 23-24 25+"),
    "Where": ("9-15 16+", "9-15 16+", "9-15 16+"),
}
"""Opset versions of the CUDA kernels for float32, for each of :data:`RUNTIMES`, as its ``get_all_opkernel_def`` lists
them: ``16-19``, or ``13+`` for one that was registered from 13 on and never since."""

FROM = {"CUDAExecutionProvider": "GPU", "CPUExecutionProvider": "CPU"}


@dataclass(frozen=True)
class OperatorKernel:
    """One operator of a look."""

    operator: str
    since: int
    """The opset version that its meaning is from."""
    nodes: int
    kernels: tuple[str, ...]
    """The CUDA kernel that takes it in each of :data:`RUNTIMES`; empty where none does."""


@dataclass(frozen=True)
class Placement:
    """Where the installed onnxruntime puts a look's nodes, after its own simplification."""

    gpu: int
    cpu: Mapping[str, int]
    """Nodes on the CPU by operator."""


def kernel_for(since: int, kernels: str) -> str:
    """The kernel that takes an operator of opset version ``since``; empty where none does.

    onnxruntime takes a kernel that was registered without an end only for the very version that it was registered for:
    the operator's later versions may mean something else.
    """
    for kernel in kernels.split():
        first, _, last = kernel.rstrip("+").partition("-")
        if int(first) <= since <= int(last or first):
            return kernel
    return ""


def table(model: onnx.ModelProto) -> list[OperatorKernel]:
    """A row for each operator of a graph, by name."""
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    rows = []
    for operator, nodes in sorted(Counter(node.op_type for node in model.graph.node).items()):
        since = onnx.defs.get_schema(operator, opset).since_version
        recorded = CUDA_KERNELS.get(operator, ("",) * len(RUNTIMES))
        rows.append(OperatorKernel(operator, since, nodes, tuple(kernel_for(since, each) for each in recorded)))
    return rows


PLACE = """
import sys, onnxruntime
options = onnxruntime.SessionOptions()
options.log_severity_level = 0
options.log_verbosity_level = 1
wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=wanted)
print(onnxruntime.__version__, *session.get_providers())
"""


def installed_placement(look: Path) -> Placement | None:
    """Let the installed onnxruntime place a look's nodes; None where its CUDA provider is not there or does not load.

    It tells the placement in its log only, which is read from another process.
    """
    done = subprocess.run([sys.executable, "-c", PLACE, str(look)], capture_output=True, text=True, errors="replace")
    if done.returncode or "CUDAExecutionProvider" not in done.stdout:
        return None
    return read_placement(done.stderr)


def read_placement(log: str) -> Placement:
    """The placement that a verbose log of onnxruntime tells."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in FROM.values()}
    place = None
    for line in log.splitlines():
        head = re.search(r"placed on \[(\w+)\]", line)
        entry = re.search(r"\]\s+(\w+) \(", line)
        if head:
            place = FROM.get(head[1])
        elif place and entry and "VerifyEachNodeIsAssigned" in line:
            counts[place][entry[1]] += 1
    return Placement(sum(counts["GPU"].values()), dict(sorted(counts["CPU"].items())))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.training.export.kernels")
    parser.add_argument("look", type=Path)
    path: Path = parser.parse_args(arguments).look
    try:
        rows = table(onnx.load_model_from_string(open_look(path).data))
    except PaintoverError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("operator", "opset", "nodes", *(f"CUDA kernel of {runtime}" for runtime in RUNTIMES), sep=" | ")
    for row in rows:
        print(row.operator, row.since, row.nodes, *(kernel or "none" for kernel in row.kernels), sep=" | ")
    placed = installed_placement(path)
    if placed is None:
        print("the installed onnxruntime could not place it: its CUDA provider is not there or does not load here")
    else:
        on_cpu = ", ".join(f"{operator} {count}" for operator, count in placed.cpu.items()) or "none"
        print(f"the installed onnxruntime places {placed.gpu} nodes on the GPU; on the CPU: {on_cpu}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
