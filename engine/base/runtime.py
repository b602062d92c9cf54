"""Runtime: onnxruntime as every module here takes it, with its telemetry switched off before it loads.

From 1.31 on, onnxruntime writes a device id and queued events below the user's cache folder and looks up a host for
them. Nothing of Paintover leaves the machine, so no other module imports onnxruntime itself.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = ["TELEMETRY_SWITCH", "ort"]

TELEMETRY_SWITCH = "ORT_DISABLE_TELEMETRY"
"""The variable that onnxruntime reads as it loads. Child processes inherit it."""

os.environ[TELEMETRY_SWITCH] = "1"

import onnxruntime as _onnxruntime  # noqa: E402

ort: Any = _onnxruntime
# For builds that know the call and not the variable, and for a process that had loaded it before.
ort.disable_telemetry_events()
