"""The plan of a shot, its chunks, path mapping, shards: data in, data out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.base.choices import DENOISE_MODES
from engine.base.errors import InputError, LookError
from engine.base.frames import FrameRange
from engine.images.provenance import file_sha256
from engine.shot.shot import Keyframe
from engine.shot.shot import Shot as ShotFile
from plugin.arguments.engine_options import OPTIONS_OF_ENGINE
from plugin.arguments.options import Options
from plugin.arguments.path_mapping import PathMapping, PathRule
from plugin.arguments.settle import settle
from plugin.arguments.shard import Shard
from plugin.arguments.values import parse_seconds
from plugin.cli import main
from plugin.farm.capacity import Farm, Load, capacity
from plugin.farm.plan import FarmStep, chunked, frames_per_chunk, plan_from
from plugin.phases.sidecars import chains
from plugin.verbs.submit import ENGINES, load_engine, parser
from tests.support.farm_shot import Shot, make_shot

# Chunks


@pytest.mark.parametrize(
    ("frames", "frame_s", "workers", "most", "size"),
    [
        (1000, 5.0, None, None, 18),  # 4.3 s of start are a twentieth of 18 frames
        (1000, 0.2, None, None, 430),
        (1000, 5.0, 20, None, 13),  # four chunks each
        (1000, 0.2, 20, None, 50),  # one each: ten seconds of work do not pay for a second start
        (1000, 600.0, None, None, 1),  # a lost machine costs a quarter of an hour
        (3, 0.1, None, None, 3),
        (100_000, 5.0, None, 1000, 100),  # what the engine takes
        (10, 5.0, 200, None, 1),
    ],
)
def test_frames_per_chunk(frames: int, frame_s: float, workers: int | None, most: int | None, size: int) -> None:
    assert frames_per_chunk(frames, frame_s, workers=workers, most=most) == size


def test_a_frame_without_a_time_cannot_be_planned() -> None:
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="cannot be planned for"):
            frames_per_chunk(10, seconds)


def test_chunks_are_in_our_dialect() -> None:
    assert chunked(FrameRange((1, 3, 5, 7, 8, 9, 10)), 4) == ("1-7x2", "8-10")
    assert chunked(FrameRange((-2, -1, 0, 1)), 3) == ("-2-0", "1")


# Plans


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path / "shot", frames=10)


def painted(shot: Shot, **changes: object) -> Options:
    """A shot to train: frame 1 and 4 painted, no look yet."""
    paintings = [Keyframe(frame, shot.plate.path.path(frame)) for frame in (1, 4)]
    return shot.options(**{"keyframes": paintings, "look": str(shot.folder / "new.onnx"), "steps": 10, **changes})


def test_a_painted_shot_is_four_steps(shot: Shot) -> None:
    plan = plan_from(painted(shot, chunk=4, timeout=30.0))
    assert [step.name for step in plan.steps] == ["train", "prepare", "render", "verify"]
    assert [step.needs for step in plan.steps] == [(), (), ("train", "prepare"), ("render",)]
    assert [step.tasks for step in plan.steps] == [1, 3, 3, 1]
    train, prepare, render, verify = plan.steps
    assert train.words(0)[-1] == prepare.words(0)[-2] == verify.words(0)[-1] == "--frames=1-10"
    assert [prepare.words(task)[-1] for task in range(3)] == ["--shard=1/3", "--shard=2/3", "--shard=3/3"]
    assert [render.words(task)[-1] for task in range(3)] == ["--frames=1-4", "--frames=5-8", "--frames=9-10"]
    assert render.timeout_s == 4 * 30 + 900
    assert "--expect-stmaps" in render.command
    assert render.command[render.command.index("--expect-look") + 1] == "trained"
    with pytest.raises(IndexError):
        render.words(3)
    assert {str(shot.plate.path), str(shot.plate.path.path(1))} <= set(plan.inputs)


def test_every_command_of_a_plan_is_one_that_the_verbs_take(shot: Shot) -> None:
    from plugin.cli import _verb

    plan = plan_from(painted(shot, budget=90.0, steps=None, out_colorspace="sRGB", ocio="ocio://default", seed=3))
    for step in plan.steps:
        options = _verb(step.name).parser().read(step.words(0)[1:])
        assert options.frames == "1-10"
        assert Path(options.plate or "").is_absolute()
    train = _verb("train").parser().read(plan.steps[0].words(0)[1:])
    assert (train.budget, train.seed, train.ocio) == (90.0, 3, "ocio://default")
    assert _verb("verify").parser().read(plan.steps[3].words(0)[1:]).out_colorspace == "sRGB"


def test_a_finished_look_is_not_trained_again_and_is_pinned(shot: Shot) -> None:
    plan = plan_from(shot.options())
    assert [step.name for step in plan.steps] == ["render", "verify"]
    render = plan.steps[0]
    assert render.command[render.command.index("--expect-look") + 1] == file_sha256(shot.look)
    assert "--expect-stmaps" not in render.command
    assert str(shot.look) in plan.inputs


def test_without_keyframes_a_look_is_needed(shot: Shot) -> None:
    shot.look.unlink()
    with pytest.raises(LookError, match="cannot read the look"):
        plan_from(shot.options())


def test_a_farm_that_is_to_repaint_nothing_prepares_so(shot: Shot) -> None:
    for asked in (False, True):
        prepare = next(s for s in plan_from(painted(shot, no_repaint=asked)).steps if s.name == "prepare")
        assert ("--no-repaint" in prepare.command) == asked


def test_no_guides_no_preparing(shot: Shot) -> None:
    plan = plan_from(painted(shot, no_stmaps=True))
    assert [step.name for step in plan.steps] == ["train", "render", "verify"]
    assert "--no-stmaps" in plan.steps[1].command and "--no-stmaps" in plan.steps[2].command


def test_denoised_frames_and_guide_images_come_before_training(shot: Shot) -> None:
    plan = plan_from(painted(shot, denoise="aware", guides="points", chunk=5))
    assert [step.name for step in plan.steps] == ["prepare", "train", "render", "verify"]
    assert [step.needs for step in plan.steps] == [(), ("prepare",), ("prepare", "train"), ("render",)]
    for step in plan.steps:
        assert step.command[step.command.index("--denoise") + 1] == "aware"
    assert ["--guides" in step.command for step in plan.steps] == [True, True, False, False]
    alone = plan_from(shot.options(denoise=DENOISE_MODES[-1]))
    assert [step.name for step in alone.steps] == ["prepare", "render", "verify"]
    with pytest.raises(InputError, match="guide images follow keyframes"):
        plan_from(shot.options(guides="points"))
    with pytest.raises(InputError, match="texler2020 takes no guide"):
        plan_from(painted(shot, guides="points", recipe="texler2020"))


def test_a_baseline_is_trained_with_its_augmentation(shot: Shot) -> None:
    from plugin.cli import _verb

    train = plan_from(painted(shot, recipe="texler2020-fullframe", augment="occlusion")).steps[0]
    asked = _verb("train").parser().read(train.words(0)[1:])
    assert (asked.recipe, asked.augment) == ("texler2020-fullframe", "occlusion")
    with pytest.raises(InputError, match="the recipe paintover has no augmentations"):
        plan_from(painted(shot, augment="occlusion"))


def test_a_gpu_is_for_training_and_rendering(shot: Shot) -> None:
    plan = plan_from(painted(shot, gpu=True))
    assert [step.needs_gpu for step in plan.steps] == [True, False, True, False]
    assert not any(step.needs_gpu for step in plan_from(painted(shot)).steps)


def test_more_chunks_than_an_engine_takes_are_refused_or_made_larger(shot: Shot) -> None:
    with pytest.raises(InputError, match=r"10 tasks, and 4 is the limit here; give --chunk 3 or more"):
        plan_from(shot.options(chunk=1), max_chunks=4)
    plan = plan_from(shot.options(frame_time=600.0), max_chunks=4)
    assert plan.steps[0].chunks == ("1-3", "4-6", "7-9", "10")


def test_a_shot_file_is_a_plan_with_its_name(shot: Shot) -> None:
    file = ShotFile(
        shot.plate,
        keyframes=(Keyframe(2, shot.plate.path.path(2), colorspace="sRGB"),),
        out=shot.out,
        work=shot.folder / "work",
        steps=5,
        tile=128,
        out_colorspace="sRGB",
    )
    path = shot.folder / "hero shot 7.toml"
    file.save(path)
    plan = plan_from(Options(shot=str(path)))
    assert plan.name == "hero_shot_7"
    render = plan.step("render")
    assert render is not None and {"--tile", "128", "--out-colorspace", "sRGB"} <= set(render.command)
    train = plan.step("train")
    assert train is not None and any(word.endswith(",colorspace=sRGB") for word in train.command)
    assert plan.step("nothing") is None


def test_many_frames_are_verified_side_by_side(tmp_path: Path) -> None:
    few = make_shot(tmp_path / "few", frames=2)
    frame = few.plate.path.path(1)
    for number in range(3, 502):
        few.plate.path.path(number).hardlink_to(frame)
    verify = plan_from(few.options(frames="1-501")).step("verify")
    assert verify is not None and verify.chunks == ("1-250", "251-500", "501")
    alone = plan_from(few.options(frames="1-500")).step("verify")
    assert alone is not None and alone.words(0)[-1] == "--frames=1-500"


# Capacity


def test_ten_thousand_frames_on_two_hundred_machines() -> None:
    found = capacity(Load(), Farm())
    assert found.chunks == 770
    # Four rounds of 13 frames of 5 s and a start of 4.3 s; 10,000 x 3 STMaps of 23 MB through one 10 Gbit/s port.
    assert found.compute_s == pytest.approx(4 * (4.3 + 65.0))
    assert found.sidecar_s == pytest.approx(552.0)
    assert found.look_s == pytest.approx(770 * 78e6 / 1.25e9)
    # 30,000 steps of 1.2 s; and afterwards 830 GB once more, for their hashes.
    assert (found.prepare_s, found.verify_s) == (pytest.approx(180.0), pytest.approx(664.0))
    assert (found.bottleneck, round(found.wall_s)) == ("disk", 180 + 712 + 664)
    assert found.efficiency == pytest.approx(250 / found.wall_s)


def test_the_bottleneck_moves_with_what_is_changed() -> None:
    plain = replace(Load(), keyframes=0)
    assert capacity(plain, Farm()).bottleneck == "compute"
    assert capacity(replace(plain, chunk=1), Farm()).bottleneck == "opens"
    assert capacity(plain, replace(Farm(), tasks_per_s=1.0)).bottleneck == "scheduler"
    assert capacity(plain, replace(Farm(), machine_bytes_per_s=1e6)).bottleneck == "network"
    assert capacity(Load(), replace(Farm(), disk_bytes_per_s=5e9)).bottleneck == "compute"
    # One shot of all frames: a keyframe is followed through it on one machine.
    assert capacity(replace(Load(), shot_frames=10_000), Farm()).prepare_s == pytest.approx(12_000.0)
    assert capacity(plain, Farm()).prepare_s == 0.0
    one, forty = (capacity(replace(Load(), verify_tasks=tasks), Farm()).verify_s for tasks in (1, 40))
    assert one == pytest.approx(10 * 664.0) and forty == pytest.approx(664.0)


def test_no_farm_and_no_job() -> None:
    with pytest.raises(InputError, match="machines 0"):
        Farm(machines=0)
    with pytest.raises(InputError, match="frame_s -1"):
        Load(frame_s=-1)


# Measuring


@pytest.mark.slow
def test_a_measured_job_of_stand_in_frames() -> None:
    pytest.importorskip("distributed", reason="needs the extra farm")
    from plugin.farm.measure import Scaling, Scheduling, measure_scheduling

    found = measure_scheduling(20, 0.05, workers=2)
    assert (found.tasks, found.chunk) == (2, 10)
    assert found.wall_s >= found.ideal_s == pytest.approx(0.5)
    assert Scheduling(1000, 0.2, 2, 500, 2, 105.0, 4.0).cost == pytest.approx(0.05)
    assert Scheduling(1000, 0.2, 2, 500, 2, 105.0, 4.0).cost_without_starts == pytest.approx(0.03)
    assert Scaling(2, 9, (1.0, 1.2, 9.0), (2.0, 2.4, 2.2)).gain == pytest.approx(2.2 / 1.2)


def test_wrong_input_is_found_when_planning(shot: Shot) -> None:
    shot.plate.path.path(4).unlink()
    with pytest.raises(InputError, match="lacks frame 4"):
        plan_from(shot.options())


@pytest.mark.parametrize("facts", [{"shards": 0}, {"shards": 2, "chunks": ("1",)}, {"retries": -1}, {"timeout_s": 0.0}])
def test_impossible_steps(facts: dict[str, object]) -> None:
    with pytest.raises(InputError, match="step render"):
        FarmStep("render", ("render",), "1-2", **facts)  # type: ignore[arg-type]


# The verb


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--engine is missing; name one of dask, slurm"),
        (("--engine", "lsf"), "has no engine 'lsf'; engines are dask, "),
        (("--engine", "dask", "--chunk", "0"), "--chunk"),
        (("--engine", "dask", "--timeout", "soon"), '"soon" is not a time'),
    ],
)
def test_wrong_submissions(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", *words]) == 2
    assert message in capsys.readouterr().err


def test_engines_are_modules_with_the_same_face(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ENGINES:
        try:
            engine = load_engine(name)
        except InputError:
            continue
        assert engine.MAX_CHUNKS > 0 and engine.SUMMARY
        assert callable(engine.submit) and OPTIONS_OF_ENGINE[name]
        with pytest.raises(SystemExit):
            parser().read(["--engine", name, "--help"])
        assert "--chunk" in capsys.readouterr().out


# Shards


def test_shards_are_the_whole_and_share_nothing() -> None:
    frames = FrameRange(tuple(range(1, 12)))
    parts = [Shard(index, 3).of(frames.frames) for index in (1, 2, 3)]
    assert parts[0] == (1, 4, 7, 10)
    assert sorted(sum(parts, ())) == list(frames)
    assert Shard(12, 12).of(frames.frames) == ()


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "-1/3", "a/b", "1/2/3", "1/9999999"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(InputError, match="no part of a job"):
        Shard.parse(text)


def test_rendered_shards_make_the_whole_range(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    for index in (1, 2, 3):
        assert main(shot.words("render", "--shard", f"{index}/3", "--progress", "lines")) == 0
    said = capsys.readouterr().out
    assert f"frame 4: done (look {file_sha256(shot.look)[:12]})" in said
    assert main(shot.words("verify", "--progress", "none")) == 0
    assert main(shot.words("render", "--shard", "11/11", "--progress", "lines")) == 0
    assert "no frame is left for it" in capsys.readouterr().out


def test_keyframes_are_followed_apart() -> None:
    frames = FrameRange(tuple(range(1, 6)))
    assert [(key, str(part)) for key, part in chains(frames, (1, 3, 5))] == [
        (1, "1-5"),
        (3, "3-5"),
        (3, "1-3"),
        (5, "1-5"),
    ]
    assert chains(FrameRange((7,)), (7,)) == ((7, FrameRange((7,))),)


def test_shards_prepare_what_one_process_prepares(tmp_path: Path) -> None:
    shot = make_shot(tmp_path / "shot", frames=5, height=64, width=64)
    words = ["--plate", shot.plate.path.text, "--keyframe", "3", "--colorspace", "scene_linear", "--progress", "none"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["prepare", *words, "--work", str(whole)]) == 0
    for index in (1, 2, 3):
        assert main(["prepare", *words, "--work", str(parts), "--shard", f"{index}/3"]) == 0
    made = {path.name: path.read_bytes() for path in (whole / "stmap" / "key_0003").glob("*.exr")}
    assert len(made) == 5
    assert {path.name: path.read_bytes() for path in (parts / "stmap" / "key_0003").glob("*.exr")} == made


# Paths


RULES = PathMapping(
    (
        PathRule("POSIX", "/mnt/shows", "/farm/shows"),
        PathRule("POSIX", "/mnt/shows/hero", "/fast/hero"),
        PathRule("WINDOWS", "P:\\Shows", "/farm/shows"),
        PathRule("WINDOWS", "\\\\server\\share", "/farm/share"),
    )
)


@pytest.mark.parametrize(
    ("path", "mapped"),
    [
        ("/mnt/shows/a/p.%04d.exr", "/farm/shows/a/p.%04d.exr"),
        ("/mnt/shows/hero/p.exr", "/fast/hero/p.exr"),
        ("/mnt/shows", "/farm/shows"),
        ("/mnt/showsB/p.exr", "/mnt/showsB/p.exr"),
        ("/MNT/shows/p.exr", "/MNT/shows/p.exr"),
        ("p:\\shows\\a\\p.%04d.exr", "/farm/shows/a/p.%04d.exr"),
        ("P:/Shows/a/p.exr", "/farm/shows/a/p.exr"),
        ("P:\\ShowsB\\p.exr", "P:\\ShowsB\\p.exr"),
        ("\\\\SERVER\\share\\p.exr", "/farm/share/p.exr"),
        ("relative/p.exr", "relative/p.exr"),
    ],
)
@pytest.mark.skipif("sys.platform == 'win32'", reason="destinations are POSIX paths")
def test_paths_are_mapped_by_the_deepest_rule(path: str, mapped: str) -> None:
    assert RULES.apply(path) == mapped


@pytest.mark.parametrize("text", ["{}", '{"version": "pathmapping-1.0", "path_mapping_rules": []}'])
def test_a_session_without_rules_changes_no_path(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(text, encoding="utf-8")
    mapping = PathMapping.load(file)
    assert mapping.rules == () and mapping.apply("/mnt/shows/p.exr") == "/mnt/shows/p.exr"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ('{"path_mapping_rules": []}', "no path mapping of a version known here"),
        ("[]", "no path mapping of a version known here"),
        ('{"version": "pathmapping-2.0"}', "no path mapping of a version known here"),
        ('{"version": "pathmapping-1.0", "path_mapping_rules": 3}', "no list of rules"),
        ('{"version": "pathmapping-1.0", "path_mapping_rules": [{"source_path": "/a"}]}', "source_path_format"),
        (
            '{"version": "pathmapping-1.0", "path_mapping_rules": [{"source_path_format": "VMS", "source_path": "/a",'
            ' "destination_path": "/b"}]}',
            'unknown source_path_format "VMS"',
        ),
        (
            '{"version": "pathmapping-1.0", "path_mapping_rules": [{"source_path_format": "POSIX", "source_path": "a",'
            ' "destination_path": "/b"}]}',
            "is not absolute",
        ),
    ],
)
def test_rules_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        PathMapping.load(file)
    assert caught.value.path == file


def test_a_worker_renders_the_submitters_paths(shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {"source_path_format": "WINDOWS", "source_path": "P:\\hero", "destination_path": str(shot.folder)}
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": [rules]}), encoding="utf-8")
    words = ["render", "--look", "P:\\hero\\hero.onnx", "--plate", "p:/hero/plate.%04d.exr", "--frames", "1-2"]
    words += ["--out", "P:\\hero\\out\\out.%04d.exr", "--device", "cpu", "--progress", "none"]
    assert main([*words, "--path-mapping", str(file)]) == 0
    assert tuple(shot.out.existing() or ()) == (1, 2)
    monkeypatch.setenv("PAINTOVER_PATH_MAPPING", str(file))
    painted = Keyframe.parse("3=P:/hero/p,a.png,matte=P:\\hero\\m.png,colorspace=sRGB")
    options = settle(Options(keyframes=[painted], keyframe_numbers=[4]))
    assert options.keyframes is not None
    assert [keyframe.text for keyframe in options.keyframes] == [
        f"3={shot.folder}/p,a.png,matte={shot.folder}/m.png,colorspace=sRGB"
    ]
    assert options.keyframe_numbers == [4]


def test_seconds() -> None:
    assert (parse_seconds("90"), parse_seconds("0.5s")) == (90.0, 0.5)
    for text in ("0", "-1", "inf", "nan", "1h"):
        with pytest.raises(InputError, match="is not a time"):
            parse_seconds(text)
