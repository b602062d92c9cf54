"""The benchmark of sequences: its judgments by numbers, its self-test by lies, and one quick run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.choices import GUIDE_KINDS
from engine.base.errors import InputError
from engine.bench import methods, sequences
from engine.bench.__main__ import main
from engine.bench.methods import BASELINES, METHODS, OPTIONS, Case
from engine.bench.page import write_page
from engine.bench.plan import REFERENCE, SequencePlan
from engine.bench.scenes import Scene
from engine.bench.scoring import Score, score
from engine.bench.sequences import Seeds
from engine.bench.table import Table
from engine.motion.stmap import read_stmap, sidecar_path
from engine.review import metrics
from engine.training.job.job import TrainingJob
from engine.training.job.limits import AUGMENTATIONS
from tests.support.bench_shots import FRAMES, shots, small_scene, written_case

GOOD = Score(distance=0.1, worst=0.12, dt=0.01, hf=1.0, l1=0.02, psnr=30.0, occluded=0.3)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return small_scene()


@pytest.fixture(scope="module")
def case(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return written_case(scene, tmp_path_factory.mktemp("cache"))


def test_warp_carries_paint_and_identity_does_not(case: Case) -> None:
    found = {}
    for method in ("identity", "warp"):
        METHODS[method](case)
        pictures = {frame: case.picture(method, frame) for frame in FRAMES}
        found[method] = score(pictures, shots(case, "painted"), shots(case, "occ"), metrics.structure_distance)
    assert found["warp"].l1 < 0.6 * found["identity"].l1
    assert found["warp"].distance < 0.8 * found["identity"].distance
    assert np.abs(case.picture("identity", 3) - case.read("plate", 3)).max() < 1e-6


def test_warp_goes_both_ways_from_a_key_in_the_middle(case: Case, tmp_path: Path) -> None:
    middle = replace(case, folder=tmp_path / "filter-0", keys=(4, 7), scored=(2, 3, 5, 6))
    middle.write()
    assert not list(tmp_path.rglob("painted.0000.png")), "only what is needed is drawn"
    METHODS["warp"](middle)
    for frame in middle.scored:
        truth = middle.read("painted", frame)
        assert metrics.l1(middle.picture("warp", frame), truth) < 0.6 * metrics.l1(middle.read("plate", frame), truth)


def test_frames_made_elsewhere_are_taken_or_missed_by_name(case: Case, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a frame to score is missing") as caught:
        methods.take_frames(case, "other", tmp_path)
    assert caught.value.frame == 3
    (tmp_path / "filter-0").mkdir()
    for frame in FRAMES:
        images.write(tmp_path / "filter-0" / f"out.{frame:04d}.png", case.read("plate", frame), bit_depth="uint8")
    methods.take_frames(case, "other", tmp_path)
    assert (case.picture("other", 4) == case.read("plate", 4)).all()


def test_a_run_goes_on_from_stored_scores(case: Case) -> None:
    calls: list[str] = []

    def make(case: Case) -> None:
        calls.append(case.name)
        METHODS["identity"](case)

    lines: list[str] = []
    runner = sequences._Runner(metrics.l1, lines.append)
    first = runner.run(case, "identity", make, "1/1")
    again = sequences._Runner(metrics.l1, lines.append).run(case, "identity", make, "1/1")
    assert first == again and calls == ["filter-0"]
    assert len(lines) == 1 and lines[0].startswith("sequences: 1/1 filter-0 identity: distance 0.")


def results(**changes: Score) -> dict[str, dict[str, list[Score]]]:
    worse = replace(GOOD, distance=0.4, dt=0.02, occluded=0.6)
    by_method = {"identity": worse, "warp": replace(GOOD, distance=0.11, occluded=0.5), REFERENCE: worse}
    by_method |= {"plain": worse, "carried": GOOD, "other key": GOOD, "both keys": replace(GOOD, distance=0.09)}
    by_method |= {name.replace("_", " "): value for name, value in changes.items()}
    return {method: {"sky": [value], "grade": [value]} for method, value in by_method.items()}


def verdicts(table: Table) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in table.rows:
        found.setdefault(row.name, set()).add(row.verdict())
    return found


def test_requirements_that_are_met() -> None:
    table = sequences._tables(results(), ())[0]
    assert {verdict for each in verdicts(table).values() for verdict in each} == {"met"}
    measured = {row.name: row.cells["measured"] for row in table.rows}
    assert measured[f"distance over {REFERENCE}'s, mean"] == pytest.approx(0.25)
    assert measured["occluded over warp's, mean"] == pytest.approx(0.6)
    assert measured["sky: two keys over the better one"] == pytest.approx(0.9)
    assert "sky: hf" in measured and "grade: hf" not in measured


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"carried": replace(GOOD, distance=0.14)}, f"distance over {REFERENCE}'s, mean"),
        ({"carried": replace(GOOD, distance=0.115)}, "sky: distance over warp's"),
        ({"carried": replace(GOOD, dt=0.013)}, f"dt over {REFERENCE}'s, mean"),
        ({"carried": replace(GOOD, occluded=0.4)}, "occluded over warp's, mean"),
        ({"carried": replace(GOOD, hf=0.8)}, "sky: hf"),
        ({"carried": replace(GOOD, hf=1.2)}, "sky: hf"),
        ({"both_keys": replace(GOOD, distance=0.101)}, "sky: two keys over the better one"),
    ],
)
def test_requirements_that_are_not_met(changes: dict[str, Score], row: str) -> None:
    assert "NOT MET" in verdicts(sequences._tables(results(**changes), ())[0])[row]


def test_tables_give_mean_and_spread_over_seeds() -> None:
    seeds = [replace(GOOD, distance=value) for value in (0.1, 0.2, 0.6)]
    found = results()
    found["carried"] = {"sky": seeds, "grade": [GOOD, GOOD, GOOD]}
    table = sequences._tables(found, ())[1]
    assert str(table.rows[0].cells["carried"]) == "0.3 (0.1..0.6)"
    # For every seed the mean over families.
    overall = table.rows[-1].cells["carried"]
    assert isinstance(overall, Seeds) and overall.values == pytest.approx((0.1, 0.15, 0.35))
    assert overall.to_json()["mean"] == pytest.approx(0.2)


def test_the_page_shows_tables_and_pictures(case: Case, tmp_path: Path) -> None:
    METHODS["warp"](case)
    write_page(tmp_path, sequences._tables(results(), ("a note",)), [case], ["warp"], lambda method, family: 0.123)
    text = (tmp_path / "README.md").read_text()
    assert "| sky: two keys over the better one | 0.900 | <= 1 | met |" in text
    assert "- a note" in text and "![filter](filter.jpg)" in text
    assert images.read(tmp_path / "filter.jpg").rgb.shape[1] > 800


def test_a_family_with_a_length_of_its_own_is_scored_where_it_comes_back() -> None:
    usual = sequences.Format()
    assert usual.of("sky") is usual
    loop = usual.of("loop")
    assert (loop.frames, loop.keys, loop.scored) == (200, (0, 199), (99, 100, 198, 199))


def test_exact_tracks_exchange_the_sidecars_alone(case: Case, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: dict[str, Path] = {}

    def ours(case: Case, keys: Sequence[int], option: str | None = None) -> Path:
        case.prepare()
        return Path("look.onnx")

    monkeypatch.setattr(methods, "_ours", ours)
    monkeypatch.setattr(methods, "_render", lambda case, look, method, work: rendered.update({method: work}))
    for method in (methods.EXACT, methods.EXACT_ALONE):
        METHODS[method](case)
    points, seen = scene.coordinates(4, 0)
    tracked = read_stmap(sidecar_path(case.work, 0, 4))
    filled, alone = (read_stmap(sidecar_path(rendered[name], 0, 4)) for name in (methods.EXACT, methods.EXACT_ALONE))
    for stmap in (filled, alone):
        assert np.abs(stmap[seen][:, 0] - (points[seen][:, 0] + 0.5) / 160).max() < 1e-6
        assert (stmap[seen][:, 2] == 1).all()
    assert (~seen).any() and (alone[~seen][:, 2] == 0).all()
    assert (filled[~seen] == tracked[~seen]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--families", "rain"], "no family rain"),
        (["--seeds", "a"], "--seeds a are not numbers"),
        (["--seeds=-1"], "must be 0 or more"),
        (["--frames-from", "ebsynth"], "is not NAME=DIR"),
        (["--frames-from", "warp=."], "a method of the benchmark's own"),
    ],
)
def test_wrong_options_give_one_line_and_exit_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--only", "sequences", "--quick", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.slow
def test_options_are_compared_by_name_and_not_by_default(
    case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not {*OPTIONS} & {*METHODS}
    kinds = (*GUIDE_KINDS, "denoised", "crisp")
    assert {f"{base}+{kind}" for base in ("plain", "carried") for kind in kinds} == {*OPTIONS}
    known = "no method plain+dots; known are identity, warp"
    assert main(["--only", "sequences", "--quick", "--methods", "plain, plain+dots"]) == 2
    assert known in capsys.readouterr().err
    jobs = []

    def trained(case: Case, work: Path, recipe: str, keys: Sequence[int], option: str | None = None) -> Path:
        jobs.append((work.name, recipe, tuple(keys), option, sorted(path.name for path in work.iterdir())))
        return work / "look.onnx"

    rendered = []
    monkeypatch.setattr(methods, "_train", trained)
    monkeypatch.setattr(methods, "_render", lambda *words, prepared: rendered.append((*words[2:], prepared)))
    OPTIONS["plain+grid"](case)
    OPTIONS["carried+denoised"](case)
    grid, denoised = case.folder / "work-0-grid", case.folder / "work-0-denoised"
    assert jobs == [
        ("work-0-grid", "paintover", (0,), "grid", ["guide", "stmap"]),
        ("work-0-denoised", "paintover", (0,), "denoised", ["denoised", "stmap"]),
    ]
    assert rendered == [("plain+grid", None, grid), ("carried+denoised", denoised, denoised)]


def test_steps_take_the_place_of_a_budget() -> None:
    assert SequencePlan(budget_s=None, steps=7).steps == 7
    with pytest.raises(InputError, match="7 steps of training; give 1 or more, and no budget"):
        SequencePlan(steps=7)


def test_a_plan_refuses_a_name_given_twice() -> None:
    with pytest.raises(InputError, match="a name may be given once"):
        SequencePlan(frames_from=(("a", Path("x")), ("a", Path("y"))))


@pytest.mark.slow
def test_a_quick_run_compares_every_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--only", "sequences", "--quick", "--families", "filter", "--cache", str(tmp_path / "cache")]
    out = tmp_path / "bench.json"
    assert main([*arguments, "--pictures", str(tmp_path / "page"), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    data = json.loads(out.read_text())
    assert str(tmp_path) not in out.read_text(), "results are published"
    tables = {table["title"]: table for table in data["parts"]["sequences"]["tables"]}
    distances = tables["Perceptual distance from the right painting (lower is better)"]["rows"][0]["cells"]
    assert list(distances) == list(METHODS)
    assert distances["carried"]["mean"] < distances["plain"]["mean"]
    assert "self-test passed" in captured.err and captured.err.count("filter-0") == len(METHODS)
    assert (tmp_path / "page" / "filter.jpg").is_file()
    assert main(arguments) == 0
    assert "filter-0" not in capsys.readouterr().err  # everything came from the cache


def test_the_published_baselines_are_methods(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["texler2020-fullframe", *(f"texler2020-fullframe+{name}" for name in AUGMENTATIONS)]
    assert list(BASELINES) == names
    assert list(sequences._makers(names[:2])) == names[:2]
    jobs: list[Mapping[str, object]] = []
    monkeypatch.setattr(methods, "train_look", lambda job, folder: jobs.append(job))
    monkeypatch.setattr(methods, "render", lambda *args, **options: None)
    for name in names:
        BASELINES[name](case)
    assert [job["recipe"] for job in jobs] == ["texler2020-fullframe"] * 6
    assert [job["augment"] for job in jobs] == [None, *AUGMENTATIONS]
    assert len({job["look"] for job in jobs}) == 6
    for job in jobs:
        TrainingJob.load(written(job, case.folder))


def written(job: Mapping[str, object], folder: Path) -> Path:
    path = folder / "checked.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path
