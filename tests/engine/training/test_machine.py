"""The training machine: the same sums in every run."""

from __future__ import annotations

import os

import pytest

torch = pytest.importorskip("torch", reason="training is not installed")

from engine.training.machine import Machine


def test_no_algorithm_is_chosen_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    for name, answer in (("is_available", True), ("device_count", 1), ("is_bf16_supported", True)):
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    # Set first, so that it is as it was afterwards.
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    assert Machine.choose("auto", threads=threads) == Machine(torch.device("cuda", 0), torch.bfloat16)
    assert torch.backends.cudnn.benchmark is False
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
