"""What the tests of image files share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.exr_files import write_multipart


@pytest.fixture
def multipart(tmp_path: Path) -> Path:
    """An EXR with everything that a plate may carry."""
    return write_multipart(tmp_path / "plate.exr")
