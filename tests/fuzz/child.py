"""The child of the fuzzer: does tries as it is told, one line of JSON for each, within limits of memory and time."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import shutil
import sys
import time
from pathlib import Path

import cv2
import OpenImageIO as oiio
import psutil

from .outcomes import Said
from .targets import attempt, write_seeds

CPU_LIMIT_S = 30.0
"""Of one try, in which a machine under load gets as far as an idle one."""
MEMORY_LIMITS_BYTES = {"looks": 3 * 2**30}
"""Of one try, beyond what the process has mapped before the first; a look may take 2 GiB."""
OTHER_LIMIT_BYTES = 3 * 2**29
"""Of one try at any other target."""


def main(folder: Path) -> int:
    """Serve until standard input ends."""
    source, sink = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    seeds, here, said_file = folder / "seeds", folder / "try", folder / "said.txt"
    said_file.touch()
    # What libraries in C print is part of what a command says.
    stream = os.open(said_file, os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    faulthandler.enable()
    if not seeds.is_dir():
        write_seeds(seeds)
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
    # Threads of a machine with many cores would take the memory that a try may have, for their stacks alone.
    cv2.setNumThreads(1)
    oiio.attribute("threads", 1)
    said = Said(said_file)
    mapped = psutil.Process().memory_info().vms
    print(json.dumps({"ready": True}), file=sink, flush=True)
    for line in source:
        asked = json.loads(line)
        os.chdir(folder)
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir(exist_ok=True)
        os.chdir(here)
        _limit_memory(mapped + MEMORY_LIMITS_BYTES.get(asked["target"], OTHER_LIMIT_BYTES))
        _limit_time()
        began_s = time.process_time()
        what, outcome = attempt(asked["target"], asked["seed"], asked["number"], seeds, said, debug=asked["debug"])
        facts = {"word": outcome.word, "what": outcome.what, "input": what, "cpu_s": time.process_time() - began_s}
        print(json.dumps(facts), file=sink, flush=True)
    # Threads that are still at work must not keep the process.
    os._exit(0)


def _limit_memory(limit: int) -> None:
    with contextlib.suppress(ImportError):
        import resource

        _set_limit(resource.RLIMIT_CORE, 0)
        if sys.platform == "linux":
            # Elsewhere the limit is not kept, or counts other things.
            _set_limit(resource.RLIMIT_AS, limit)


def _limit_time() -> None:
    with contextlib.suppress(ImportError):
        import resource

        _set_limit(resource.RLIMIT_CPU, int(time.process_time() + CPU_LIMIT_S) + 1)


def _set_limit(kind: int, limit: int) -> None:
    """The soft one, which may be raised again; the hard one is the machine's."""
    import resource

    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
