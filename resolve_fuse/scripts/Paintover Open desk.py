"""Opens the clip under the playhead in the browser, to paint on it and see it change."""

import sys

PARTS = ""  # Where Paintover's part of Resolve lies; written at installation.
sys.path[:0] = [PARTS] if PARTS not in sys.path else []

from paintover_resolve.buttons import open_desk, press  # noqa: E402
from paintover_resolve.connection import connect  # noqa: E402

press(open_desk, connect(globals()))
