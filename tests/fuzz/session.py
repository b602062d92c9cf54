"""Session of tries: one child at a time, started again where it dies or falls silent, and its faults."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import ROOT

__all__ = ["Fault", "Session", "Tally"]

SILENCE_LIMIT_S = 240.0
"""For an answer of the child, by the clock; its processor time has a limit of its own, see :mod:`tests.fuzz.child`."""
CHILD = (sys.executable, "-m", "tests.fuzz.child")
START_LIMIT_S = 600.0
CHILD_TRIES = 2500
"""Then a fresh child goes on: what a try leaves behind must not add up for hours."""
IMAGE_LIMIT_GIB = "0.25"
"""What one image may take here, so that those under the limit are soon decoded."""
MOST_KEPT = 200
"""Inputs of faults that are kept."""


@dataclass(frozen=True)
class Fault:
    """A try that ended as none should."""

    target: str
    seed: int
    number: int
    input: str
    """What was tried."""
    what: str
    """How it ended."""
    kept: str
    """Folder with its input; empty where enough others are kept."""

    @property
    def again(self) -> str:
        """The command that repeats it."""
        return f"python -m tests.fuzz --target {self.target} --seed {self.seed} --only {self.number}"

    @property
    def kind(self) -> str:
        """What it has in common with others: its message without numbers and names."""
        return re.sub(r"\d+", "N", re.sub(r"\(.*?\)|'.*?'|\".*?\"", "...", f"{self.target}: {self.what}"))[:160]


@dataclass
class Tally:
    """What became of the tries at one target."""

    words: Counter[str] = field(default_factory=Counter)
    """How many were done, refused, found, or faults."""
    slowest_s: float = 0.0
    """Processor time of the slowest."""
    slowest: int = 0
    """Its number."""

    @property
    def tried(self) -> int:
        return self.words.total()


class Session:
    """Tries with a child of their own; use it in a ``with`` block."""

    def __init__(
        self,
        folder: Path,
        faults_folder: Path,
        *,
        child: Sequence[str] = CHILD,
        silence_s: float = SILENCE_LIMIT_S,
    ) -> None:
        """
        Args:
            folder: empty, for the child to work in.
            faults_folder: where inputs of faults are kept; made when there is one.
            child: the command that starts the child, without the folder.
            silence_s: for an answer of the child.
        """
        self._child = child
        self._silence_s = silence_s
        self._folder = folder
        self._faults_folder = faults_folder
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._tries = 0
        self.tallies: dict[str, Tally] = {}
        self.faults: list[Fault] = []

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def attempt(
        self, target: str, seed: int, number: int, tell: Callable[[Fault], None] | None = None, *, debug: bool = False
    ) -> str:
        """One try; returns how it ended. A fault is kept, and told; with ``debug`` it says where it failed."""
        answer = self._ask({"target": target, "seed": seed, "number": number, "debug": debug})
        tally = self.tallies.setdefault(target, Tally())
        tally.words[answer["word"]] += 1
        if answer.get("cpu_s", 0.0) > tally.slowest_s:
            tally.slowest_s, tally.slowest = answer["cpu_s"], number
        if answer["word"] == "fault":
            kept = self._keep(target, seed, number, answer)
            fault = Fault(target, seed, number, answer.get("input", ""), answer["what"], kept)
            self.faults.append(fault)
            if tell is not None:
                tell(fault)
        return str(answer["word"])

    def said(self) -> str:
        """What the last try printed."""
        path = self._folder / "said.txt"
        return path.read_text("utf-8", "replace") if path.is_file() else ""

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._tries >= CHILD_TRIES:
            self._end()
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None and process.stdin is not None
        self._tries += 1
        try:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            line = self._answers.get(timeout=self._silence_s)
        except OSError:
            line = ""
        except queue.Empty:
            self._end()
            return {"word": "fault", "what": f"no answer for {self._silence_s:g} s"}
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = process.wait()
        self._end()
        last = [each for each in self.said().splitlines() if each.strip()][-40:]
        where = next((each.strip() for each in last if each.strip().startswith("File ")), "")
        return {"word": "fault", "what": f"the process died with {code} {where}".strip()}

    def _start(self) -> None:
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PAINTOVER_", "OCIO"))}
        environment = {
            **kept,
            "HOME": str(home), "XDG_CONFIG_HOME": str(home), "APPDATA": str(home),
            "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "MALLOC_ARENA_MAX": "2",
            "PAINTOVER_MAX_IMAGE_GIB": IMAGE_LIMIT_GIB, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8",
        }  # fmt: skip
        self._process = subprocess.Popen(
            [*self._child, str(self._folder)],
            cwd=self._folder, env=environment, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._answers = queue.SimpleQueue()
        self._tries = 0
        threading.Thread(target=_pass_on, args=(self._process.stdout, self._answers), daemon=True).start()
        try:
            ready = self._answers.get(timeout=START_LIMIT_S)
        except queue.Empty:
            ready = ""
        if not ready:
            raise RuntimeError(f"the child does not start: {self.said()[-2000:]}")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue

    def _keep(self, target: str, seed: int, number: int, answer: dict[str, Any]) -> str:
        if len(self.faults) >= MOST_KEPT:
            return ""
        place = self._faults_folder / f"{target}-{seed}-{number}"
        place.mkdir(parents=True, exist_ok=True)
        if (self._folder / "try").is_dir():
            shutil.copytree(self._folder / "try", place, dirs_exist_ok=True, symlinks=True)
        (place / "said.txt").write_text(f"{json.dumps(answer)}\n{self.said()}", encoding="utf-8")
        return str(place)


def _pass_on(stream: Any, answers: queue.SimpleQueue[str]) -> None:
    """Lines of the child, and an empty one where there are no more."""
    try:
        for line in stream:
            answers.put(line)
    except (OSError, ValueError):
        pass
    answers.put("")
