"""Cores and memory as containers and schedulers limit them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.base import machine


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups of a process in ``job/step``, and a machine of 16 cores."""
    step = tmp_path / "job" / "step"
    step.mkdir(parents=True)
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(machine, "_cgroup_folders", lambda: [step, step.parent, tmp_path, tmp_path / "memory"])
    monkeypatch.setattr(machine, "usable_threads", lambda: 32)
    monkeypatch.setattr(machine, "physical_cores", lambda: 16)
    return tmp_path


def test_quotas_of_containers_count_whole_cores(groups: Path) -> None:
    assert machine.cpu_count() == 16
    (groups / "job" / "cpu.max").write_text("250000 100000\n")
    assert machine.cpu_count() == 3
    (groups / "job" / "step" / "cpu.max").write_text("max 100000\n")
    assert machine.cpu_count() == 3
    (groups / "job" / "step" / "cpu.max").write_text("50000 100000\n")
    assert machine.cpu_count() == 1


def test_training_takes_the_cores_of_its_container(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="the training extra is not installed")
    from engine.training.machine import Machine

    before = torch.get_num_threads()
    try:
        (groups / "job" / "cpu.max").write_text("300000 100000\n")
        Machine.choose("cpu")
        assert torch.get_num_threads() == 3
        Machine.choose("cpu", threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_narrowest_memory_limit_counts(groups: Path) -> None:
    assert machine.memory_limit_bytes() is None
    (groups / "memory").mkdir()
    # So large is no limit: the first version of control groups says it where there is none.
    (groups / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert machine.memory_limit_bytes() is None
    (groups / "job" / "memory.max").write_text("2147483648\n")
    (groups / "job" / "step" / "memory.max").write_text("max\n")
    assert machine.memory_limit_bytes() == 2 << 30
    (groups / "job" / "memory.current").write_text("2147483000\n")
    assert machine.free_bytes() == 648
    (groups / "job" / "memory.stat").write_text("anon 7\ninactive_file 1000\n")
    assert machine.free_bytes() == 1648


def test_this_machine() -> None:
    assert 1 <= machine.cpu_count() <= (os.cpu_count() or 1)
    assert 0 < machine.free_bytes() <= machine.total_bytes()
    assert machine.cpu_name()
