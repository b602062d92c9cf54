"""A host's session: the desk that a button opens."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("torch")
pytest.importorskip("starlette")

from plugin.client.errors import RequestFailed
from plugin.client.fake_host import FakeHost
from plugin.client.host import Session
from plugin.client.job import Job
from plugin.progress.child import child_environment
from tests.support.desks import WAIT_S, plate, wait_for


@pytest.fixture
def session(tmp_path: Path) -> Session:
    plate(tmp_path)
    job = Job(plate=str(tmp_path / "plate.%04d.png"), frames="0-3", work=str(tmp_path / "work"), device="cpu")
    # A browser that does nothing.
    environment = {**child_environment(), "BROWSER": f"{sys.executable} -c pass"}
    return Session(FakeHost(job), command=[sys.executable, "-m", "plugin"], environment=environment)


@pytest.mark.slow
def test_a_host_opens_the_desk_and_leaves_it_open(session: Session) -> None:
    with session:
        process = session.open_desk()
        try:
            address = urlsplit(next(note for note in process.poll().notes if note.startswith("http://")))
            connection = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=WAIT_S)
            connection.request("GET", f"/?{address.query}")
            assert connection.getresponse().status == 303
            connection.close()
            assert "the desk is open in the browser" in str(session.host.messages[-1])
        finally:
            process.cancel()
            wait_for(lambda: process.poll().finished, "its end")
    assert process.poll().exit_code == 0


@pytest.mark.slow
def test_a_desk_that_cannot_open_is_the_button_s_error(session: Session, tmp_path: Path) -> None:
    (tmp_path / "plate.0002.png").unlink()
    with session, pytest.raises(RequestFailed, match="the plate lacks frame 2"):
        session.open_desk()
