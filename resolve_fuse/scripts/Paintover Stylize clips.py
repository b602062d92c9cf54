"""Renders the chosen clips and brings them back on a duplicate of the timeline."""

import sys

PARTS = ""  # Where Paintover's part of Resolve lies; written at installation.
sys.path[:0] = [PARTS] if PARTS not in sys.path else []

from paintover_resolve.buttons import press, stylize  # noqa: E402
from paintover_resolve.connection import connect  # noqa: E402

press(stylize, connect(globals()))
