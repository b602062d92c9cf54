"""Stands in for ``python -m plugin``: a verb that says that it is half done, waits as long as it is told, and is done.

Its words are appended to FAKE_VERB_LOG, a line each; it waits FAKE_VERB_S seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main() -> int:
    log = os.environ.get("FAKE_VERB_LOG")
    if log:
        with Path(log).open("a", encoding="utf-8") as handle:
            handle.write(" ".join(sys.argv[1:]) + "\n")
    print(json.dumps({"event": "progress", "overall": 0.5, "text": "half"}), flush=True)
    time.sleep(float(os.environ.get("FAKE_VERB_S", "0")))
    print(json.dumps({"event": "finished", "overall": 1.0}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
