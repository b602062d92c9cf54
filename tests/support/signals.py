"""Tests that send signals, where there are any."""

from __future__ import annotations

import os

import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
