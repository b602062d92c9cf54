"""A plate of six frames, and a small look for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.shot.shot import Plate
from tests.support import lookfactory
from tests.support.rendering import SMALL, make_plate


@pytest.fixture
def plate(tmp_path: Path) -> Plate:
    return make_plate(tmp_path / "plate")


@pytest.fixture
def look(tmp_path: Path) -> Path:
    return lookfactory.network(tmp_path / "look.onnx", **SMALL)
