"""Settings of every test."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

import pytest

# Networks here are tiny: a second thread of torch mostly waits, and beside another worker it must not wait by spinning.
# Read when torch is imported, here or in a process that a test starts; training sets its own number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Which hints this user has seen is not for tests to change.
os.environ.setdefault("PAINTOVER_HINTS", "0")

# A shell has what it starts in the background ignore Ctrl-C, and so would every process that a test sends it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from hypothesis import HealthCheck, settings

# How long an example takes, by the wall clock, is the machine's affair; each test has many of them all the same.
settings.register_profile("paintover", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("paintover")


@pytest.fixture(autouse=True)
def _engine_log() -> Iterator[None]:
    """Whoever opens events in a test's own process listens to the engine's log; the next test has it as it was."""
    log = logging.getLogger("engine")
    before = log.handlers[:]
    yield
    log.handlers[:] = before
