"""The child's end of engine.rendering.workers, alone."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.support import ROOT

CHILD = textwrap.dedent(
    """
    import sys
    from engine.rendering import workers as crew
    from engine.base.errors import InputError

    def refuse(facts):
        raise InputError("nothing to do")

    crew.RenderJob.from_json = refuse
    sys.exit(crew.main())
    """
)


@pytest.mark.parametrize("said", ["", '{"job": {}, "threads": 1, "memory_bytes": 1}\n'])
def test_a_worker_whose_parent_is_gone_leaves_quietly(said: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None
    child.stdout.close()
    child.stdin.write(said)
    child.stdin.close()
    stderr = child.stderr.read()
    child.stderr.close()
    assert (child.wait(timeout=30), stderr) == (1, "")
