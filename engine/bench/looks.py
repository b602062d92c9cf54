"""Looks with untrained weights, one of each recipe; ``python -m engine.bench.looks FOLDER`` writes them.

Speed does not depend on the weights. A process of its own, because the ones that measure must not load torch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from engine.base.errors import PaintoverError
from engine.bench.plan import REFERENCE
from engine.bench.shots import texture

__all__ = ["build", "main"]

EXEMPLAR = (540, 960)
"""Height and width of the embedded painting."""


def build(folder: Path) -> dict[str, Path]:
    """Have the looks written by another process: ``ours`` and the reference.

    Raises:
        PaintoverError: that process failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "engine.bench.looks", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PaintoverError(f"the looks to measure could not be built: {last}")
    return {name: folder / f"{name}.onnx" for name in ("ours", REFERENCE)}


def main(arguments: list[str] | None = None) -> int:
    """Write the looks."""
    import torch

    from engine.color.config import ColorConfig
    from engine.training.export.look import build_look
    from engine.training.job.job import Settings
    from engine.training.model.carry import StoredExemplar
    from engine.training.model.network import Architecture, Translator
    from engine.training.model.texler import GeneratorJ

    parser = argparse.ArgumentParser(prog="python -m engine.bench.looks")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args(arguments).folder
    torch.manual_seed(0)
    settings, config = Settings(), ColorConfig.active()
    ours = Translator(Architecture(width=settings.width, blocks=settings.blocks)).eval()
    reference = GeneratorJ().eval()
    exemplar = np.ascontiguousarray(texture(*EXEMPLAR, 0))
    for name, recipe, net in (("ours", "paintover", ours), (REFERENCE, REFERENCE, reference)):
        card = {
            "name": name,
            "working_colorspace": config.working,
            "ocio_config": config.name,
            "keyframes": [{"frame": 0, "exemplar_sha256": "0" * 64, "width": EXEMPLAR[1], "height": EXEMPLAR[0]}],
            "trained": {"recipe": recipe, "steps": 0, "seconds": 0.0, "seed": 0, "loss": 0.0, "losses": {}},
            "plate_colorspace": config.working,
            "paint_colorspace": config.working,
        }
        stored = StoredExemplar(exemplar, np.ones(EXEMPLAR, np.float32), exemplar)
        model = build_look(net, [stored], card)  # type: ignore[arg-type]
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    return 0


if __name__ == "__main__":
    sys.exit(main())
