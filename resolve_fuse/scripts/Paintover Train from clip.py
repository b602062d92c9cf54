"""Trains a look from the painted keyframes of the clip under the playhead."""

import sys

PARTS = ""  # Where Paintover's part of Resolve lies; written at installation.
sys.path[:0] = [PARTS] if PARTS not in sys.path else []

from paintover_resolve.buttons import press, train  # noqa: E402
from paintover_resolve.connection import connect  # noqa: E402

press(train, connect(globals()))
