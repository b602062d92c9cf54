"""``paintover`` as a farm's machine calls it in tests: all of it is real but training, which is fake_training.py.

``FAKE_RENDER_S`` lets rendering begin so many seconds later: time to kill what runs. ``FAKE_RENDER_FAULT`` names a file
that the renderer of the frames in it removes, to end with exit code 1.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from plugin.cli import main
from plugin.training import process as training_process

if __name__ == "__main__":
    training_process.COMMAND = (sys.executable, str(Path(__file__).with_name("fake_training.py")))
    if sys.argv[1:2] == ["render"]:
        time.sleep(float(os.environ.get("FAKE_RENDER_S", "0")))
        fault = Path(os.environ.get("FAKE_RENDER_FAULT", "no fault"))
        if fault.is_file() and sys.argv[-1] == f"--frames={fault.read_text()}":
            fault.unlink()
            sys.exit(1)
    sys.exit(main())
