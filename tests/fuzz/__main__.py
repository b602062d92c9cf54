"""The command ``python -m tests.fuzz``: tries until a number or a time is reached, and says what came of them."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .session import Fault, Session

SHARES = {"images": 10, "looks": 4, "texts": 2, "lines": 2, "movies": 2}
"""How many tries of each target there are among twenty."""
EXPECTED = ("done", "refused", "found")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns 1 where a fault was found."""
    options = _options(arguments)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="paintover-fuzz-", ignore_cleanup_errors=True) as folder:
        with Session(Path(folder), options.faults) as session:
            if options.only is not None:
                return _once(session, options)
            progress = _Progress(options)
            try:
                for target, number in _plan(options):
                    if options.minutes is not None and time.monotonic() - began_s > 60 * options.minutes:
                        break
                    session.attempt(target, options.seed, number, progress.tell)
                    progress.step(target)
            except KeyboardInterrupt:
                print("stopped on request", file=sys.stderr)
            progress.end()
            result = _result(session, options, time.monotonic() - began_s)
    print("\n".join(_table(result)))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 1 if result["faults"] else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--tries", type=int, metavar="N", help="how many, of all targets together")
    parser.add_argument("--minutes", type=float, metavar="M", help="how long, instead or as well")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another one is another series (default: 1)")
    parser.add_argument("--target", choices=list(SHARES), action="append", help="only this one; repeat for more")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="number of the first try (default: 0)")
    parser.add_argument("--only", type=int, metavar="K", help="one try of --target again, with all that it says")
    parser.add_argument("--faults", type=Path, default=Path("fuzz-faults"), metavar="DIR",
                        help="where inputs that lead to a fault are kept (default: fuzz-faults)")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here as well")
    options = parser.parse_args(arguments)
    if options.only is not None and len(options.target or ()) != 1:
        parser.error("--only needs one --target")
    if options.tries is None and options.minutes is None:
        options.tries = 2000
    return options


def _plan(options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Target and number of each try: the targets in turn, each by its share."""
    shares = {name: share for name, share in SHARES.items() if name in (options.target or SHARES)}
    done, count = dict.fromkeys(shares, options.first), 0
    while options.tries is None or count < options.tries:
        target = min(shares, key=lambda name: (done[name] - options.first) / shares[name])
        yield target, done[target]
        done[target] += 1
        count += 1


def _once(session: Session, options: argparse.Namespace) -> int:
    (target,) = options.target
    word = session.attempt(target, options.seed, options.only, debug=True)
    print(session.said())
    for fault in session.faults:
        print(f"{fault.input}: {fault.what}\nits input is in {fault.kept}")
    print(f"{target} {options.only}: {word}")
    return 1 if session.faults else 0


class _Progress:
    """One line that changes on a terminal; elsewhere one line for every tenth."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._total = options.tries
        self._ends_s = None if options.minutes is None else time.monotonic() + 60 * options.minutes
        self._began_s = time.monotonic()
        self._count = self._faults = self._tenth = 0
        self._is_terminal = sys.stderr.isatty()

    def tell(self, fault: Fault) -> None:
        self._faults += 1
        self._line(f"fault: {fault.input}: {fault.what}\n       again: {fault.again}\n")

    def step(self, target: str) -> None:
        self._count += 1
        now_s = time.monotonic()
        share = self._count / self._total if self._total else 0.0
        if self._ends_s is not None:
            share = max(share, (now_s - self._began_s) / max(1e-9, self._ends_s - self._began_s))
        text = f"{min(share, 1):4.0%}  {self._count} tried, {self._faults} faults, now {target}"
        if self._is_terminal:
            bar = "#" * int(24 * min(share, 1))
            self._line(f"[{bar:<24}] {text}")
        elif int(10 * share) > self._tenth:
            self._tenth = int(10 * share)
            self._line(text + "\n")

    def end(self) -> None:
        if self._is_terminal:
            self._line("")

    def _line(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}" if self._is_terminal else text)
        sys.stderr.flush()


def _result(session: Session, options: argparse.Namespace, elapsed_s: float) -> dict[str, Any]:
    targets = {
        name: {
            "tried": tally.tried,
            **{word: tally.words[word] for word in EXPECTED},
            "faults": tally.words["fault"],
            "slowest_cpu_s": round(tally.slowest_s, 2),
            "slowest": tally.slowest,
        }
        for name, tally in session.tallies.items()
    }
    faults = [
        {"target": each.target, "number": each.number, "input": each.input, "what": each.what, "kind": each.kind,
         "again": each.again, "kept": each.kept}
        for each in session.faults
    ]  # fmt: skip
    facts = {"seed": options.seed, "first": options.first, "elapsed_s": round(elapsed_s, 1)}
    return {**facts, "targets": targets, "faults": faults}


def _table(result: dict[str, Any]) -> Iterator[str]:
    heads = ("tried", *EXPECTED, "faults", "slowest_cpu_s")
    yield f"{'target':<8}" + "".join(f"{head:>15}" for head in heads)
    for name, row in result["targets"].items():
        yield f"{name:<8}" + "".join(f"{row[head]:>15}" for head in heads)
    yield f"seed {result['seed']}, {result['elapsed_s']:.0f} s"
    kinds: dict[str, list[dict[str, Any]]] = {}
    for fault in result["faults"]:
        kinds.setdefault(fault["kind"], []).append(fault)
    for kind, faults in sorted(kinds.items(), key=lambda item: -len(item[1])):
        yield f"{len(faults):>5} x {kind}"
        yield f"        {faults[0]['input']}; again: {faults[0]['again']}"


if __name__ == "__main__":
    sys.exit(main())
