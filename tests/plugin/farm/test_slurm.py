"""``paintover submit --engine slurm``: the scripts, and what a real cluster of two nodes does with them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from plugin.farm import slurm
from plugin.farm.plan import FarmPlan, plan_from
from plugin.verbs.submit import parser
from tests.support.command_line import Cli
from tests.support.farm_cluster import NODES, SlurmCluster
from tests.support.farm_shot import make_cli, make_program

pytestmark = pytest.mark.cluster

ARRAY_SIZE = 4
"""MaxArraySize of the test cluster: six chunks need two arrays."""

SHOT = ("--plate", "plate.%04d.png", "--frames", "0-10", "--keyframe", "0=painted.0000.png", "--work", "the work",
        "--out", "out.%04d.png", "--device", "cpu")  # fmt: skip
SUBMIT = ("submit", "--engine", "slurm", *SHOT, "--chunk", "2")

bash = pytest.mark.skipif(shutil.which("bash") is None, reason="job scripts need bash")


@pytest.fixture
def shot(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A small shot in a folder whose name a shell would take apart."""
    return make_cli(tmp_path / "Bob's $HOME 100% shot", capsys, monkeypatch)


@pytest.fixture
def program(tmp_path: Path) -> str:
    """``paintover`` with a stand-in for training."""
    return make_program(tmp_path / "paint over")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    with SlurmCluster(tmp_path_factory.mktemp("slurm") / "cluster", array_size=ARRAY_SIZE) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a failed test leaves in the queue must not fail the next one."""
    yield
    if "cluster" in request.fixturenames:
        request.getfixturevalue("cluster").cancel_all()


class Submitted:
    """A shot that was handed to the cluster, from the command line."""

    def __init__(self, shot: Cli, cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
        for name in ("SLURM_CONF", "LD_LIBRARY_PATH", "PATH"):
            monkeypatch.setenv(name, cluster.environment[name])
        said = shot(*SUBMIT, *words, "--progress", "json")
        assert (said.code, said.err) == (0, "")
        events = [json.loads(line) for line in said.out.splitlines()]
        self.said = said.out
        self.ids = {event["text"].partition(":")[0]: event["job"] for event in events if "job" in event}
        self.folder = shot.folder
        self._cluster = cluster

    def states(self, name: str) -> list[str]:
        """The states of a job's tasks, in order."""
        own = self.ids[name]
        return [state for job, state in sorted(self._cluster.job_states().items()) if job.partition("_")[0] == own]

    def log(self, name: str) -> str:
        """What the tasks of a job's step have said."""
        step = name.partition("_")[0]
        logs = sorted((self.folder / "the work" / "farm" / "slurm" / "logs").glob(f"{step}-*.log"))
        return "".join(log.read_text() for log in logs)

    def frames(self) -> list[str]:
        """Names of the rendered frames."""
        return sorted(path.name for path in self.folder.glob("out.*.png"))


def planned(shot: Cli, *words: str) -> tuple[FarmPlan, tuple[slurm.SlurmJob, ...]]:
    options = parser().read([*SUBMIT[1:], *words])
    plan = plan_from(options, max_chunks=slurm.MAX_CHUNKS)
    return plan, slurm.jobs_from(plan, options, ARRAY_SIZE)


ALL_FRAMES = [f"out.{frame:04d}.png" for frame in range(11)]


# The real cluster


def test_from_keyframes_to_verified_frames(
    shot: Cli, cluster: SlurmCluster, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Submitted(shot, cluster, monkeypatch, "--program", program, "--partition", "main")
    assert list(job.ids) == ["train", "prepare", "render_1", "render_2", "verify"]
    assert f"cancel with: scancel {' '.join(job.ids.values())}" in job.said
    cluster.wait_for_jobs(240)
    assert all(set(job.states(name)) == {"COMPLETED"} for name in job.ids), cluster.job_states()
    assert [len(job.states(name)) for name in ("render_1", "render_2")] == [4, 2]
    assert "11 frames verified" in job.log("verify")
    assert job.frames() == ALL_FRAMES
    assert (shot.folder / "the work" / "stmap" / "key_0000" / "0010.exr").is_file()


def test_failed_training_cancels_the_rest(
    shot: Cli, cluster: SlurmCluster, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRAINING", "error")
    job = Submitted(shot, cluster, monkeypatch, "--program", program)
    cluster.wait_for_jobs(120)
    assert job.states("train") == ["FAILED"]
    assert cluster.facts(job.ids["train"])["ExitCode"] == "2:0"
    assert cluster.facts(job.ids["train"])["Restarts"] == "0"
    for name in ("render_1", "render_2", "verify"):
        assert set(job.states(name)) == {"CANCELLED"}
    assert "empty matte (m.png); paint some of it" in job.log("train")
    assert job.frames() == []


@pytest.mark.slow
def test_only_a_lost_nodes_chunk_and_one_that_failed_run_again(
    shot: Cli, cluster: SlurmCluster, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_RENDER_S", "4")
    fault = shot.folder / "fault"
    # The last chunk of its array: its task has the array's own id.
    fault.write_text("6-7")
    monkeypatch.setenv("FAKE_RENDER_FAULT", str(fault))
    job = Submitted(shot, cluster, monkeypatch, "--program", program)
    cluster.wait(lambda: len(cluster.processes("farm_paintover.py")) > 1 and "RUNNING" in job.states("render_1"), 180,
                 "renderers on both nodes")  # fmt: skip
    tasks = cluster.job_states()
    lost = cluster.running_on(NODES[0])
    assert len(lost) == 1
    cluster.kill_node(NODES[0])
    try:
        cluster.wait_for_jobs(240)
    finally:
        cluster.start_node(NODES[0])
    assert all(set(job.states(name)) == {"COMPLETED"} for name in job.ids), cluster.job_states()
    again = {task: cluster.facts(task)["Restarts"] for task in cluster.job_states() if task in tasks}
    failed = f"{job.ids['render_1']}_3"
    assert {task: count for task, count in again.items() if count != "0"} == {lost[0]: "1", failed: "1"}
    assert "exit code 1, to be tried again" in job.log("render_1")
    assert cluster.facts(lost[0])["NodeList"] == NODES[1]
    assert "11 frames verified" in job.log("verify") and job.frames() == ALL_FRAMES
    cluster.wait(lambda: cluster.node_states() == dict.fromkeys(NODES, "idle"), 120, "the node to come back")


@pytest.mark.slow
def test_verify_names_what_a_killed_script_leaves(
    shot: Cli, cluster: SlurmCluster, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_RENDER_S", "4")
    job = Submitted(shot, cluster, monkeypatch, "--program", program)
    cluster.wait(lambda: bool(cluster.processes("--frames=2-3")), 180, "the second chunk")
    renderer = cluster.processes("--frames=2-3")[0]
    script = renderer.parent()
    assert script is not None and any("slurm_script" in word for word in script.cmdline())
    # What is short of memory is killed script and all, and SLURM requeues nothing for it.
    for process in (script, renderer):
        process.kill()
    cluster.wait_for_jobs(240)
    assert job.states("render_1") == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]
    assert job.states("render_2") == ["COMPLETED"] * 2
    assert cluster.facts(job.ids["verify"])["ExitCode"] == "3:0"
    assert re.search(r"paintover: .*\b2-3\b", job.log("verify"))
    assert job.frames() == [name for name in ALL_FRAMES if name not in ("out.0002.png", "out.0003.png")]
    # Handing it over again completes the shot; the look is not trained a second time.
    monkeypatch.setenv("FAKE_RENDER_S", "0")
    job = Submitted(shot, cluster, monkeypatch, "--program", program)
    assert "train" not in job.ids
    cluster.wait_for_jobs(240)
    assert job.states("verify") == ["COMPLETED"] and job.frames() == ALL_FRAMES


def test_the_printed_line_takes_everything_back(
    shot: Cli, cluster: SlurmCluster, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_RENDER_S", "60")
    job = Submitted(shot, cluster, monkeypatch, "--program", program, "--at-once", "1")
    cluster.wait(lambda: bool(cluster.processes("--frames=0-1")), 180, "the first chunk")
    assert job.states("render_1").count("RUNNING") == 1
    line = re.search(r"cancel with: (scancel [\d ]+)", job.said)
    assert line is not None
    cluster.command(*line[1].split(), check=True)
    cluster.wait_for_jobs(90)
    assert {state for name in ("render_1", "render_2", "verify") for state in job.states(name)} == {"CANCELLED"}
    cluster.wait(lambda: not cluster.processes("farm_paintover.py"), 60, "the renderers to end")
    assert job.frames() == []


def test_what_sbatch_refuses_leaves_nothing_behind(
    shot: Cli, cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_CONF", "LD_LIBRARY_PATH", "PATH"):
        monkeypatch.setenv(name, cluster.environment[name])
    before = set(cluster.job_states())
    line = shot.refused(*SUBMIT, "--partition", "nowhere")
    assert line.startswith("sbatch refuses train.sh: ") and "invalid partition" in line and "check --partition" in line
    assert set(cluster.job_states()) == before
    # The cluster has no GPUs: training asks for none and is queued, rendering is refused.
    assert shot(*SUBMIT, "--write-only").code == 0
    script = shot.folder / "the work" / "farm" / "slurm" / "submit.sh"
    text = script.read_text().replace("--array=0-3", "--gres=gpu:9 --array=0-3")
    script.write_text(text)
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    cluster.wait_for_jobs(90)
    new = {job: state for job, state in cluster.job_states().items() if job not in before}
    assert len(new) == 2 and set(new.values()) == {"CANCELLED"}


# The scripts


def test_dry_run_shows_everything_and_does_nothing(shot: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "max_array_size", lambda: ARRAY_SIZE)
    words = ("--partition", "gpu nodes", "--account", "show", "--qos", "night", "--gpu", "--cpus", "8", "--memory",
             "8G", "--at-once", "2", "--sbatch=--exclude=n7", "--timeout", "90")  # fmt: skip
    said = shot(*SUBMIT, *words, "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert not (shot.folder / "the work" / "farm").exists()
    assert (
        "train=$(sbatch --parsable --job-name=look.train --output=logs/train-%j.log --open-mode=append --requeue"
        " '--partition=gpu nodes' --account=show --qos=night --gres=gpu:1 --cpus-per-task=8 --mem=8G --time=16"
        " --exclude=n7 train.sh)"
    ) in said.out
    assert (
        '--array=0-1%2 --exclude=n7 "--dependency=afterok:${train}:${prepare}" --kill-on-invalid-dep=yes render_2.sh)'
    ) in said.out
    assert (
        '"--dependency=afterok:${train}:${prepare},afterany:${render_1}:${render_2}" --kill-on-invalid-dep=yes'
        " verify.sh"
    ) in said.out
    prepare, verify = (re.search(rf"{name}=\$\(.*", said.out) for name in ("prepare", "verify"))
    assert prepare and verify and "gres" not in prepare[0] + verify[0]
    assert said.out.count("#!/bin/bash") == 6


def test_arrays_stay_under_the_clusters_size(shot: Cli) -> None:
    plan, jobs = planned(shot)
    chunks = [line for job in jobs if job.step.name == "render" for line in slurm.script(plan, job, ["p"]).splitlines()
              if re.fullmatch(r"  [\d-]+", line)]  # fmt: skip
    assert [line.strip() for line in chunks] == ["0-1", "2-3", "4-5", "6-7", "8-9", "10"]
    assert [(job.name, job.first, job.count) for job in jobs if job.step.name == "render"] == [
        ("render_1", 0, 4),
        ("render_2", 4, 2),
    ]
    verify = replace(plan.steps[-1], chunks=("0-5", "6-10"))
    made = slurm.jobs_from(replace(plan, steps=(*plan.steps[:-1], verify)), parser().read(SUBMIT[1:]), ARRAY_SIZE)
    assert made[-1].after_any == ("render_1", "render_2") and "--array=0-1" in made[-1].options
    shards = replace(plan, steps=(replace(plan.steps[1], shards=9),))
    made = slurm.jobs_from(shards, parser().read(SUBMIT[1:]), ARRAY_SIZE)
    assert [(job.first, job.count) for job in made] == [(0, 4), (4, 4), (8, 1)]
    assert '"--shard=$((${SLURM_ARRAY_TASK_ID:-0} + 9))/9"' in slurm.script(shards, made[2], ["p"])


@pytest.mark.parametrize(
    ("said", "size"),
    [("MaxArraySize            = 40001\n", 40001), ("MaxMemPerNode = UNLIMITED\n", 1001), (None, 1001)],
)
@bash
def test_the_size_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, size: int) -> None:
    if said is not None:
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\necho 'MaxJobCount = 10000\n{said}'\n")
        (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    assert slurm.max_array_size() == size


@bash
@pytest.mark.parametrize(
    ("code", "starts", "requeued"),
    [(0, 0, False), (1, 0, True), (1, 1, True), (1, 2, False), (2, 0, False), (3, 0, False), (137, 0, True)],
)
def test_only_what_may_succeed_is_tried_again(
    shot: Cli, tmp_path: Path, code: int, starts: int, requeued: bool
) -> None:
    plan, jobs = planned(shot)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (
        ("paint over", f'printf "%s\\n" "$@" > words; exit {code}'),
        ("scontrol", "echo $* > asked; exit 1"),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    script = tmp_path / "script.sh"
    script.write_text(slurm.script(plan, jobs[3], [str(tools / "paint over")]))
    environment = {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": "1",
        "SLURM_ARRAY_JOB_ID": "70",
        "SLURM_JOB_ID": "70",
        "SLURM_RESTART_COUNT": str(starts),
    }
    done = subprocess.run(["bash", str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    words = (tmp_path / "words").read_text().splitlines()
    assert words[0] == "render" and words[-1] == "--frames=10"
    assert words[words.index("--out") + 1] == str(shot.folder / "out.%04d.png")
    asked = tmp_path / "asked"
    assert (asked.read_text().split() == ["requeue", "70_1"]) if requeued else not asked.exists()


@bash
@pytest.mark.parametrize(
    ("refusal", "code", "words"),
    [("exit 1", 2, "sbatch refuses prepare.sh: no such account"), ("kill -TERM $PPID; sleep 1; exit 1", 143, "")],
)
def test_a_submission_that_ends_halfway_is_cancelled(
    shot: Cli, tmp_path: Path, refusal: str, code: int, words: str
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (
        ("sbatch", f'case "$*" in *train.sh) echo "41;here"; exit 0;; esac; echo "no such account" >&2; {refusal}'),
        ("scancel", f'echo "$@" > "{tmp_path}/cancelled"'),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "plugin", *SUBMIT, "--progress", "none"],
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert (tmp_path / "cancelled").read_text().split() == ["41"]


def test_scripts_for_another_machine(shot: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    said = shot(*SUBMIT, "--write-only", "--program", "/opt/paintover/bin/paintover")
    folder = shot.folder / "the work" / "farm" / "slurm"
    assert said.code == 0 and "submit them with: bash " in said.out and "submit.sh" in said.out
    assert sorted(path.name for path in folder.iterdir()) == [
        "logs", "prepare.sh", "render.sh", "submit.sh", "train.sh", "verify.sh"
    ]  # fmt: skip
    text = (folder / "render.sh").read_bytes()
    assert b"\r" not in text and b"/opt/paintover/bin/paintover render --look " in text
    line = shot.refused(*SUBMIT)
    assert line.startswith("there is no sbatch on this machine (") and "the scripts are written" in line


@pytest.mark.parametrize("words", [("--at-once", "0"), ("--cpus", "many")])
def test_wrong_usage(shot: Cli, words: tuple[str, str]) -> None:
    said = shot.refused(*SUBMIT, *words)
    assert words[0] in said and "give 1 or more" in said and "argument" not in said
