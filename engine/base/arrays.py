"""Arrays: the numpy types that images and flow have everywhere in the engine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Bytes", "Floats", "Mask"]

Floats = npt.NDArray[np.float32]
"""Images (H, W, C) or (H, W), flow (H, W, 2): float32."""
Bytes = npt.NDArray[np.uint8]
"""8-bit images, for what takes nothing else."""
Mask = npt.NDArray[np.bool_]
"""(H, W): which pixels."""
