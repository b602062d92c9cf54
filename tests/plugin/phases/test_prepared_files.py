"""``--denoise`` and ``--guides`` on the command line: prepare, train, run, render, verify, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import images
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.farm.plan import plan_from
from tests.support import lookfactory
from tests.support.command_line import PLATE, RENDER, RUN, TRAIN, Cli
from tests.support.pictures import picture

PREPARE = ("prepare", *PLATE, "--frames", "0-10", "--work", "work")
FRAMES = [f"{frame:04d}" for frame in range(11)]


def guided(folder: Path, kind: str = "points") -> None:
    """Replaces the look that the fake training makes."""
    exemplar = {"frame": 0, "exemplar_sha256": "0", "width": 16, "height": 12}
    lookfactory.guided(folder / "hero.onnx", kind, keyframes=[exemplar])


def made(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in (folder / "work").glob(pattern))


def test_denoising_alone_needs_no_keyframe(cli: Cli) -> None:
    said = cli(*PREPARE, "--denoise")
    assert (said.code, said.err) == (0, "")
    color, phase = said.out.splitlines()[:2]
    assert color.startswith("plate taken as sRGB Encoded Rec.709 (sRGB): ")
    assert phase == "Denoising 11 frames" and "Following" not in said.out
    assert "work/denoised: denoised frames (aware), 11 made" in said.out
    assert made(cli.folder, "denoised/*.exr") == [f"plate.{frame}.exr" for frame in FRAMES]
    assert "11 were already right" in cli(*PREPARE, "--denoise", "aware", "--threads", "1").out
    assert "denoised frames (published), 11 made" in cli(*PREPARE, "--denoise=published").out
    assert "no keyframe given" in cli.refused(*PREPARE, "--denoise", "--guides", "points")


def test_guides_come_with_stmaps(cli: Cli) -> None:
    said = cli(*PREPARE, "--keyframe", "0", "--keyframe", "5", "--guides", "grid")
    assert said.code == 0
    assert "work/stmap: STMaps, 22 made" in said.out and "work/guide: guide images (grid), 11 made" in said.out
    assert made(cli.folder, "guide/*.exr") == [f"{frame}.exr" for frame in FRAMES]
    assert images.read_provenance(cli.folder / "work/guide/0003.exr")["kind"] == "guide grid of 0,5"
    picture(cli.folder / "plate.0007.png", seed=77)
    again = cli(*PREPARE, "--keyframe", "0", "--keyframe", "5", "--guides", "grid", "--progress", "json")
    notes = [event for event in map(json.loads, again.out.splitlines()) if event["event"] == "note"]
    # What lies behind the changed frame, as seen from either keyframe.
    assert (notes[-1]["made"], notes[-1]["kept"]) == (4, 7)


def test_shards_share_the_frames_and_the_first_draws_the_guide(cli: Cli) -> None:
    words = (*PREPARE, "--keyframe", "0", "--denoise", "--guides", "points")
    second = cli(*words, "--shard", "2/2")
    assert second.code == 0, second
    assert made(cli.folder, "guide/*.exr") == []
    assert made(cli.folder, "denoised/*.exr") == [f"plate.{frame}.exr" for frame in FRAMES[1::2]]
    assert cli(*words, "--shard", "1/2").code == 0
    assert len(made(cli.folder, "guide/*.exr")) == len(made(cli.folder, "denoised/*.exr")) == 11
    whole = cli(*words)
    assert whole.out.count("0 made, 11 were already right") == 3


def test_the_shot_file_may_follow_denoise() -> None:
    parser = Parser(COMMANDS["prepare"])
    for words, expected in {
        ("--denoise", "shot.toml"): ("aware", "shot.toml"),
        ("shot.toml", "--denoise"): ("aware", "shot.toml"),
        ("--denoise", "published", "shot.toml"): ("published", "shot.toml"),
        ("shot.toml",): (None, "shot.toml"),
    }.items():
        options = parser.read(words)
        assert (options.denoise, options.shot) == expected


@pytest.mark.slow
def test_run_makes_what_it_needs_and_verifies_it(cli: Cli) -> None:
    guided(cli.folder)
    first = cli(*RUN, "--denoise", "--guides", "points")
    assert first.code == 0, first
    for line in ("denoised frames (aware), 11 made", "guide images (points), 11 made", "11 frames verified"):
        assert line in first.out
    job = json.loads((cli.folder / "work/job.json").read_text())
    assert (job["denoise"], job["guides"]) == ("aware", "points")
    facts = images.read_provenance(cli.folder / "out.0004.png")
    assert {"denoised", "guide", "stmap"} <= facts.keys()
    second = cli(*RUN, "--denoise", "--guides", "points", "--progress", "lines")
    assert "already trained from these inputs" in second.out and "11 were already right" in second.out
    # Without STMaps the guide is still there.
    assert cli(*RUN, "--guides", "points", "--no-stmaps").code == 0
    assert "guide" in images.read_provenance(cli.folder / "out.0004.png")
    # Another guide is another training.
    guided(cli.folder, "grid")
    third = cli(*RUN, "--guides", "grid")
    assert third.code == 0 and "already trained" not in third.out and "guide images (grid), 11 made" in third.out


@pytest.mark.slow
def test_a_shot_file_asks_for_them(cli: Cli) -> None:
    guided(cli.folder)
    (cli.folder / "shot.toml").write_text(
        'denoise = "aware"\nguides = "points"\nlook = "work/look.onnx"\nout = "out.%04d.png"\nwork = "work"\n'
        '[plate]\npath = "plate.%04d.png"\nframes = "0-4"\n[[keyframes]]\nframe = 0\npainting = "painted.0000.png"\n'
    )
    assert "the denoised frame is missing" in cli.refused("train", "shot.toml")
    said = cli("prepare", "shot.toml")
    assert "denoised frames (aware), 5 made" in said.out and "guide images (points), 5 made" in said.out
    plan = plan_from(Options(shot="shot.toml", engine="dask"))
    assert [step.name for step in plan.steps] == ["prepare", "train", "render", "verify"]
    for step in plan.steps:
        assert step.command[step.command.index("--denoise") + 1] == "aware"
    assert cli("run", "shot.toml").code == 0
    job = json.loads((cli.folder / "work/job.json").read_text())
    assert (job["denoise"], job["guides"]) == ("aware", "points")
    assert {"denoised", "guide"} <= images.read_provenance(cli.folder / "out.0004.png").keys()
    # Verifying and the report expect what rendering took, and an option overrides the file.
    assert cli("verify", "shot.toml").code == 0
    assert json.loads(cli("report", "shot.toml", "--json").out)["states"] == {"whole": 5}
    assert '"denoised published" is needed' in cli.refused("verify", "shot.toml", "--denoise", "published")
    assert cli("train", "shot.toml", "--recipe", "texler2020").err.endswith("drop --guides or --recipe\n")


def test_training_says_what_is_not_prepared(cli: Cli) -> None:
    remedy = "run paintover prepare --guides points --keyframe 0 with the same --plate, --frames and --work"
    err = cli.refused(*TRAIN, "--guides", "points")
    assert "frame 0: the guide image is missing" in err and remedy in err
    assert "frame 0: the denoised frame is missing" in cli.refused(*TRAIN, "--denoise")
    assert "takes no guide" in cli.refused(*TRAIN, "--guides", "points", "--recipe", "texler2020")
    assert "invalid choice: 'dots'" in cli.refused(*TRAIN, "--guides", "dots")


def test_rendering_says_what_is_not_prepared(cli: Cli) -> None:
    guided(cli.folder)
    err = cli.refused(*RENDER, "--work", "work")
    assert "no guide image is there for 0-10" in err and "run paintover prepare --guides points --keyframe 0" in err
    lookfactory.gain(cli.folder / "hero.onnx", 0.5)
    assert cli(*PREPARE, "--frames", "0-4", "--denoise").code == 0
    err = cli(*RENDER, "--work", "work", "--denoise").err
    assert "6 of 11 frames failed (5-10); frame 5: the denoised frame is missing" in err
    words = ("--work", "work", "--frames", "0-4", *PLATE, "--out", "out.%04d.png", "--look", "hero.onnx")
    assert cli("verify", *words, "--denoise").code == 0
    assert "foreign 0-4" in cli.refused("verify", *words, code=3)
    picture(cli.folder / "plate.0002.png", seed=5)
    stale = cli(*RENDER, "--work", "work", "--denoise", "--frames", "1-3")
    assert stale.code == 2 and "1 of 3 frames failed (2); frame 2: the denoised frame is stale" in stale.err


def test_a_run_without_stmaps(cli: Cli) -> None:
    said = cli(*RUN, "--no-stmaps")
    assert said.code == 0 and "Following" not in said.out
    assert not (cli.folder / "work" / "stmap").exists()
