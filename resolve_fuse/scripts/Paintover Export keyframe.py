"""Exports the frame under the playhead for painting."""

import sys

PARTS = ""  # Where Paintover's part of Resolve lies; written at installation.
sys.path[:0] = [PARTS] if PARTS not in sys.path else []

from paintover_resolve.buttons import export_keyframe, press  # noqa: E402
from paintover_resolve.connection import connect  # noqa: E402

press(export_keyframe, connect(globals()))
