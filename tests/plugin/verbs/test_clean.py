"""``paintover clean``: what can be made again, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.motion.stmap import sidecar_path, write_sidecar, write_stmap
from tests.support.command_line import RUN, Cli

OURS = {"stmap/key_0000/0001.exr", "stmap/key_0000/after.npz", "denoised/plate.0001.exr", "guide/0001.exr",
        "preview.png", "train/checkpoint.safetensors", "train/checkpoint.json", "desk/results/0001.npy",
        "desk/train/checkpoint.safetensors", "style/checkpoint.safetensors",
        "strokes/checkpoint.safetensors", "exemplars/labels.0007.png"}  # fmt: skip
STAYS = {"look.onnx", "stmap/key_0000/0002.exr", "stmap/notes.txt", "denoised/mine.exr", "guide/0002.exr",
         "paint/painted.png", "train/notes.txt", "job.json", "desk/desk.json", "desk/paint/1.1.png",
         "desk/results/notes.txt", "strokes/job.json", "exemplars/job.json"}  # fmt: skip


def fill(work: Path) -> None:
    flat = np.full((4, 6, 3), 0.5, np.float32)
    for name in (*OURS, *STAYS):
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    write_sidecar(sidecar_path(work, 0, 1), np.zeros((4, 6, 2), np.float32), flat[..., 0], (4, 6), "abc")
    write_stmap(sidecar_path(work, 0, 2), flat)
    for name, kind in (("denoised/plate.0001.exr", "denoised aware"), ("guide/0001.exr", "guide points of 0")):
        images.write(work / name, flat, provenance={"kind": kind, "plate": "p", "derived": "d"}, bit_depth="half")
    for name in ("denoised/mine.exr", "guide/0002.exr"):
        images.write(work / name, flat, bit_depth="half")


def files(work: Path) -> set[str]:
    return {path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file()}


def test_it_shows_and_removes_only_what_is_ours(cli: Cli) -> None:
    work = cli.folder / "work"
    fill(work)
    shown = cli("clean", "--work", "work", "--progress", "json")
    assert shown.code == 0 and files(work) == OURS | STAYS
    notes = [json.loads(line) for line in shown.out.splitlines() if '"note"' in line]
    listed = {note["what"]: note["files"] for note in notes if "what" in note}
    assert listed == {"STMaps": 2, "denoised frames": 1, "guide images": 1, "preview": 1, "checkpoint": 2,
                      "checkpoint of a painting": 2, "pictures of exemplars": 1,
                      "frames that the desk showed": 1, "the desk's checkpoint": 1}  # fmt: skip
    in_all = sum((work / name).stat().st_size for name in OURS)
    assert notes[-1]["bytes"] == in_all and notes[-1]["text"].endswith("nothing was removed, --remove does")
    removed = cli("clean", "--work", "work", "--remove")
    assert removed.code == 0 and files(work) == STAYS
    assert "looks, paintings and rendered frames stay" in removed.out
    assert "nothing there that could be made again" in cli("clean", "--work", "work").out


def test_links_are_left_alone(cli: Cli) -> None:
    elsewhere, work = cli.folder / "elsewhere", cli.folder / "work"
    fill(elsewhere)
    work.mkdir()
    try:
        for name in ("stmap", "denoised"):
            (work / name).symlink_to(elsewhere / name, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert cli("clean", "--work", "work", "--remove").code == 0
    assert files(elsewhere) == OURS | STAYS


@pytest.mark.slow
def test_a_cleaned_job_is_made_again(cli: Cli) -> None:
    """The look stays, so only motion is followed anew; the rendered frames are right already."""
    assert cli(*RUN).code == 0
    assert cli("clean", "--work", "work", "--remove").code == 0
    again = cli(*RUN)
    assert "11 made" in again.out and "Training" not in again.out and "11 were already right" in again.out
