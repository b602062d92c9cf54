"""``paintover run`` with several workers, by the crew and through Dask: real processes, the same frames."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from plugin.verbs import run as run_verb
from tests.support.command_line import Cli
from tests.support.farm_shot import make_cli

pytest.importorskip("distributed", reason="needs the extra farm")

RUN = ("run", "--plate", "plate.%04d.png", "--frames", "0-10", "--keyframe", "0=painted.0000.png", "--steps", "40",
       "--work", "work", "--device", "cpu", "--workers", "2")  # fmt: skip


@pytest.fixture
def shot(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return make_cli(tmp_path / "shot", capsys, monkeypatch)


def events(shot: Cli, *words: str) -> list[dict[str, Any]]:
    said = shot(*RUN, *words, "--progress", "json")
    assert said.code == 0, said
    return [json.loads(line) for line in said.out.splitlines()]


def frames(shot: Cli, name: str) -> dict[str, bytes]:
    return {path.name.removeprefix(name): path.read_bytes() for path in sorted(shot.folder.glob(f"{name}.*.exr"))}


@pytest.mark.slow
def test_dask_and_crew_give_the_same_frames(shot: Cli) -> None:
    by_crew = events(shot, "--out", "crew.%04d.exr")
    by_dask = events(shot, "--out", "dask.%04d.exr", "--engine", "dask")
    assert len(frames(shot, "crew")) == 11
    assert frames(shot, "crew") == frames(shot, "dask")
    (told,) = [event for event in by_dask if "chunk" in event]
    assert (told["rendered"], told["skipped"]) == (11, 0)
    assert not any("chunk" in event for event in by_crew)
    # Parts of a run follow one another, whoever renders: the look, trained once, is not trained again.
    assert [event["phase"] for event in by_dask if event["event"] == "phase"] == [
        "prepare", "render", "verify", "sheet", "report"
    ]  # fmt: skip
    again = events(shot, "--out", "dask.%04d.exr", "--engine", "dask")
    assert [(event["rendered"], event["skipped"]) for event in again if "chunk" in event] == [(0, 11)]


@pytest.mark.slow
def test_a_frame_that_fails_through_dask_is_named_and_the_others_are_done(shot: Cli) -> None:
    (shot.folder / "plate.0007.png").write_bytes(b"no image")
    line = shot.refused(*RUN, "--out", "out.%04d.exr", "--engine", "dask", "--no-stmaps")
    assert line.startswith("1 of 11 frames failed (7); frame 7: ") and "plate.0007.png" in line
    assert len(list(shot.folder.glob("out.*.exr"))) == 10


def test_without_distributed_nothing_is_trained(shot: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    line = shot.refused(*RUN, "--out", "out.%04d.exr", "--engine", "dask")
    assert "paintover[farm]" in line and not (shot.folder / "work").exists()


@pytest.mark.parametrize(
    ("words", "expected"), [((), 3), (("--workers", "2"), 2), (("--workers", "1"), 1), (("--workers", "auto"), 0)]
)
def test_the_shot_file_says_how_many_workers(
    shot: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: int
) -> None:
    asked: list[int] = []

    def render_here(plan: Any, *_: Any, workers: int) -> None:
        # The step that would be handed over leaves the threads to whoever shares them out.
        assert "--threads" not in plan.step("render").command
        asked.append(workers)

    monkeypatch.setattr(run_verb.dask, "render_here", render_here)
    (shot.folder / "shot.toml").write_text('workers = 3\n[plate]\npath = "plate.%04d.png"\nframes = "0-10"\n')
    given = RUN[: RUN.index("--workers")]
    shot("run", "shot.toml", *given[1:], "--out", "out.%04d.exr", "--engine", "dask", "--threads", "2", *words)
    assert asked == [expected]
