"""What the file system refuses: which of it is wrong input."""

from __future__ import annotations

import errno
import os

import pytest

from engine.base.errors import InputError
from engine.base.system_errors import system_error


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENAMETOOLONG, 2),
        (errno.ELOOP, 2),
        (errno.EINVAL, 2),
        (errno.ENOTDIR, 2),
        (errno.EIO, 1),
        (errno.ESTALE, 1),
    ],
)
def test_a_name_that_no_try_makes_right_is_wrong_input(number: int, code: int) -> None:
    error = system_error(OSError(number, os.strerror(number), "/a/b"), frame=7)
    assert error.exit_code == code and isinstance(error, InputError) is (code == 2)
    line = str(error)
    assert "frame 7" in line and "/a/b" in line and "\n" not in line and bool(error.remedy) is (code == 2)
