"""Softness of a look: one number among its constants, by which whoever renders softens carried strokes.

Where the plate is out of focus nothing says whether a track is a pixel aside. Crisp strokes are what the artist
painted; soft ones are nearer to the right frame on average. A host that does not know the number gets crisp ones.
"""

from __future__ import annotations

import math

from engine.base.errors import InputError, LookError

__all__ = ["SOFTNESS", "check_softness", "with_softness"]

SOFTNESS = "softness"
"""Name of the constant, (1, 1, 1, 1) float32 in 0..1."""


def check_softness(softness: float) -> None:
    """Refuse what is no share.

    Raises:
        InputError: it is not within 0..1.
    """
    if not (math.isfinite(softness) and 0 <= softness <= 1):
        raise InputError(f"a softness of {softness:g} is not within 0..1", remedy="0 is as painted, 1 the softest")


def with_softness(data: bytes, softness: float) -> bytes:
    """The bytes of a look, softened; those that are given where ``softness`` is 0.

    Raises:
        InputError: a softness that is not within 0..1.
        LookError: the look has none.
    """
    check_softness(softness)
    if softness == 0:
        return data
    # Settings are checked by verbs that load no look, and answer sooner without it.
    import numpy as np
    import onnx
    from onnx import numpy_helper

    model = onnx.ModelProto.FromString(data)
    for constant in model.graph.initializer:
        if constant.name == SOFTNESS:
            constant.CopyFrom(numpy_helper.from_array(np.full((1, 1, 1, 1), softness, np.float32), SOFTNESS))
            return bytes(model.SerializeToString())
    raise LookError(
        "the look has no softness: how soft its strokes are was decided when it was trained",
        remedy="leave --softness out, or train again without --crisp",
    )
