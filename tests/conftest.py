"""Settings of every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long an example takes, by the wall clock, is the machine's affair; each test has many of them all the same.
settings.register_profile("paintover", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("paintover")
