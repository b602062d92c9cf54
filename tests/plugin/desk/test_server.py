"""The desk's server: who is let in, what is served, what becomes of layers, and two tabs that see one state."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

from websockets.exceptions import InvalidStatus

from engine import images
from engine.base.errors import InputError
from engine.shot.matte_sequence import MatteSequence
from engine.shot.shot import Shot
from engine.training.job.session import result_path
from plugin.desk.paintings import Paintings
from plugin.desk.port import listen_again
from plugin.desk.server import listen
from tests.support.desks import HEIGHT, WIDTH, Served, hear, layer, plate, served, stand_in, wait_for
from tests.support.matte_files import write_mattes

pytestmark = pytest.mark.slow


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    stand_in(monkeypatch, tmp_path)
    with served(tmp_path) as found:
        yield found


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def keyframe(here: Served, frame: int) -> int:
    here.desk.add(frame)
    return next(each.id for each in here.desk.paintings.all() if each.frame == frame)


def test_the_token_lets_in_and_leaves_the_address(here: Served) -> None:
    path = here.access.address.partition(here.access.hosts[0])[2]
    status, _, headers = here.ask(path, Cookie=None, Origin=None)
    assert (status, headers["location"]) == (303, "/")
    assert headers["set-cookie"] == f"{here.cookie}; Path=/; HttpOnly; SameSite=Strict"
    status, page, headers = here.ask("/")
    assert status == 200 and b"/page/desk.js" in page
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "changes",
    [
        {"Cookie": None},
        {"Cookie": "paintover-desk-1=wrong"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_nobody_else_is_let_in(here: Served, changes: dict[str, str | None]) -> None:
    for path in ("/", "/plate/0", "/page/desk.js"):
        assert here.ask(path, **changes)[0] == 403
    number = keyframe(here, 1)
    assert here.ask(f"/painting/{number}", "PUT", layer(), **changes)[0] == 403
    with pytest.raises(InvalidStatus) as caught:
        here.socket(**changes)
    assert caught.value.response.status_code == 403
    assert not here.desk.paintings.find(number).painting


def test_a_wrong_token_is_told_nothing(here: Served) -> None:
    status, said, headers = here.ask("/?token=wrong", Cookie=None, Origin=None)
    assert status == 403 and b"paintover desk" in said and "set-cookie" not in headers


def test_what_changes_something_needs_an_origin(here: Served) -> None:
    number = keyframe(here, 1)
    assert here.ask(f"/painting/{number}", "PUT", layer(), Origin=None)[0] == 403
    with pytest.raises(InvalidStatus):
        here.socket(Origin=None)


@pytest.mark.parametrize(
    "path",
    [
        "/page/../desk.py",
        "/page/%2e%2e%2fdesk.py",
        "/page/..%2f..%2f..%2fsetup.py",
        "/page//etc/passwd",
        "/page/desk.js%00",
        "/plate/..%2f..%2fsetup.py",
        "/painting/..%2f1",
    ],
)
def test_no_path_reaches_the_disk(here: Served, path: str) -> None:
    status, said, _ = here.ask(path)
    assert status in (400, 404) and b"import" not in said and b"root:" not in said


def test_pictures_are_of_the_plate_and_follow_the_exposure(here: Served) -> None:
    status, plate, headers = here.ask("/plate/2")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    own = images.read(here.folder / "plate.0002.png").rgb[..., ::-1] * 255
    assert decoded(plate).shape == (HEIGHT, WIDTH, 3)
    # Noise, as JPEG.
    assert np.abs(decoded(plate) - own).mean() < 10
    brighter = decoded(here.ask("/plate/2?exposure=2")[1])
    assert brighter.mean() > decoded(plate).mean() + 20
    assert here.ask("/thumbnail/2")[0] == 200
    # Nothing is rendered: no error, or the browser's console would show one.
    assert [here.ask(path)[0] for path in ("/result/2", "/carried/2")] == [204, 204]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/plate/99", "frame 99 is outside the frame range 0-3"),
        ("/plate/x", "a frame is a number"),
        ("/plate/0?exposure=nan", "an exposure of nan stops is out of range"),
        ("/plate/0?exposure=x", "an exposure is a number of stops"),
        ("/painting/7", "there is no keyframe 7 any more"),
        ("/values/0?x=1", "a pixel is x and y"),
    ],
)
def test_what_is_not_there_is_one_line(here: Served, path: str, said: str) -> None:
    status, body, _ = here.ask(path)
    assert (status, json.loads(body)) == (400, {"error": said})


def test_values_are_scene_linear(here: Served) -> None:
    found = json.loads(here.ask("/values/1?x=5&y=7")[1])
    linear = here.desk.pictures.linear(1)[7, 5]
    assert found["plate"] == pytest.approx([float(value) for value in linear])
    assert found["result"] is None
    assert json.loads(here.ask(f"/values/1?x={WIDTH}&y=0")[1]) == {"plate": None, "result": None}


def test_a_layer_becomes_the_painting_and_comes_back_as_it_was(here: Served) -> None:
    number = keyframe(here, 1)
    status, said, _ = here.ask(f"/painting/{number}?by=tab", "PUT", layer())
    assert status == 200 and json.loads(said)["revision"] == 1
    held = here.desk.paintings.find(number)
    assert (held.painted, held.whole, held.by) == (True, False, "tab")
    back = decoded(here.ask(f"/painting/{number}")[1])
    assert np.array_equal(back[..., 3], decoded(layer())[..., 3])
    assert back[20, 20].tolist() == [40, 120, 200, 255]
    # Training takes it as it takes any key: through the transform that is written in it.
    assert images.read_provenance(held.painting)["key"]
    told = wait_for(lambda: lines(here.folder / "session.log"), "what the trainer is told")
    command = json.loads(told[0])
    assert command["do"] == "paint" and command["keyframes"][0]["painting"] == str(held.painting)


def test_an_empty_layer_is_no_painting(here: Served) -> None:
    number = keyframe(here, 1)
    assert here.ask(f"/painting/{number}", "PUT", layer(box=None))[0] == 200
    assert here.desk.paintings.trained_from() == []
    assert here.ask(f"/painting/{number}")[0] == 204


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"no picture", 400, "what was sent is no PNG"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, 400, "the layer cannot be read"),
        (layer()[:300], 400, "the layer cannot be read"),
        (cv2.imencode(".png", np.zeros((8, 8, 4), np.uint8))[1].tobytes(), 400, "the layer is 8x8, the plate 96x64"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * (1 << 18), 413, "the layer is too large"),
    ],
    ids=["text", "empty", "truncated", "small", "large"],
)
def test_what_is_no_layer_is_refused(here: Served, body: bytes, status: int, said: str) -> None:
    number = keyframe(here, 1)
    got, answer, _ = here.ask(f"/painting/{number}", "PUT", body)
    assert got == status and json.loads(answer)["error"].startswith(said)
    assert str(here.folder) not in json.loads(answer)["error"]
    assert here.desk.paintings.find(number).painting is None
    assert [path.name for path in (here.folder / "work" / "desk").glob(".upload*")] == []


def test_a_matte_limits_a_painting_and_goes_when_it_is_empty(here: Served) -> None:
    number = keyframe(here, 1)
    here.ask(f"/painting/{number}", "PUT", layer())
    assert here.ask(f"/matte/{number}")[0] == 204
    assert here.ask(f"/matte/{number}", "PUT", layer(box=(0, 0, 20, 20)))[0] == 200
    matte = here.desk.paintings.find(number).matte
    coverage = images.read_matte(matte)
    assert coverage[:20, :20].min() == 1 and coverage[20:].max() == 0
    assert decoded(here.ask(f"/matte/{number}")[1])[5, 5, 3] == 255
    here.ask(f"/matte/{number}", "PUT", layer(box=None))
    assert here.desk.paintings.find(number).matte is None


def test_a_second_tab_sees_the_same_state(here: Served) -> None:
    with here.socket() as one, here.socket() as two:
        first = [hear(tab, lambda message: message["type"] == "state") for tab in (one, two)]
        assert first[0] == first[1] and first[0]["frames"] == [0, 1, 2, 3]
        one.send(json.dumps({"do": "add", "frame": 2}))
        for tab in (one, two):
            state = hear(tab, lambda message: message["type"] == "state" and message["keyframes"] != [])
            assert [each["frame"] for each in state["keyframes"]] == [2]
        number = state["keyframes"][0]["id"]
        here.ask(f"/painting/{number}", "PUT", layer())
        for tab in (one, two):
            hear(tab, lambda message: message["type"] == "result" and message["frame"] == 0)
        two.send(json.dumps({"do": "look_at", "frame": 3}))
        hear(one, lambda message: message["type"] == "result" and message["frame"] == 3)
        assert here.ask("/result/3")[0] == 200


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("no JSON", "not a request"),
        ("[" * 20000, "not a request"),
        ('{"do": "look_at"}', "not a request"),
        ('{"do": "look_at", "frame": 1, "path": "/etc/passwd"}', "not a request"),
        ('{"do": "open", "id": "../x"}', "not a request"),
        ('{"do": "look_at", "frame": 99}', "frame 99 is outside the frame range 0-3"),
        ('{"do": "add", "frame": -1}', "frame -1 is outside the frame range 0-3"),
        ('{"do": "open", "id": 5}', "there is no keyframe 5 any more"),
        ('{"do": "commit", "render": false}', "there is nothing to commit yet"),
    ],
    ids=["text", "deep", "lacking", "more", "kind", "frame", "before", "id", "nothing"],
)
def test_a_wrong_request_is_told_to_its_own_tab(here: Served, request_: str, said: str) -> None:
    with here.socket() as one:
        one.send(request_)
        message = hear(one, lambda found: found["type"] == "message")
        assert message["level"] == "error" and message["text"].startswith(said)
        one.send('{"do": "look_at", "frame": 1}')
        wait_for(lambda: here.desk.state()["view"] == 1, "the next request")


def test_a_killed_trainer_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("there is no SIGKILL here")
    stand_in(monkeypatch, tmp_path)
    monkeypatch.setenv("FAKE_SESSION", "dies")
    with served(tmp_path) as here:
        number = keyframe(here, 1)
        here.ask(f"/painting/{number}", "PUT", layer())
        wait_for(lambda: here.desk.state()["results"], "a result of the second trainer")
        texts = [message["text"] for message in here.desk.state()["messages"]]
        assert any("started again from its checkpoint" in text for text in texts)
    job = json.loads((tmp_path / "work" / "desk" / "job.json").read_text(encoding="utf-8"))
    assert job["resume"] is True


def test_a_commit_exports_renders_and_reports(here: Served) -> None:
    number = keyframe(here, 1)
    here.ask(f"/painting/{number}", "PUT", layer())
    wait_for(lambda: here.desk.state()["training"].get("step"), "a step")
    here.desk.commit(render=True)
    wait_for(lambda: here.desk.state()["tasks"]["commit"]["text"] == "committed", "the commit")
    assert (here.folder / "work" / "look.onnx").read_bytes() == b"a look"
    verbs = [line.split()[0] for line in lines(here.folder / "verbs.log")]
    assert verbs[-2:] == ["render", "report"] and "prepare" in verbs


def test_a_commit_may_be_canceled(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    number = keyframe(here, 1)
    here.ask(f"/painting/{number}", "PUT", layer())
    wait_for(lambda: here.desk.state()["training"].get("step"), "a step")
    wait_for(lambda: here.desk.state()["tasks"].get("prepare", {}).get("state") == "done", "the tracks")
    monkeypatch.setenv("FAKE_VERB_S", "600")
    here.desk.commit(render=True)
    wait_for(lambda: here.desk.state()["tasks"]["commit"]["text"].startswith("rendering all frames: half"), "rendering")
    with here.socket() as tab:
        tab.send('{"do": "cancel", "task": "commit"}')
        wait_for(lambda: here.desk.state()["tasks"]["commit"]["state"] == "canceled", "the end of it")


def test_a_commit_that_waits_for_tracks_may_be_canceled(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VERB_S", "600")
    number = keyframe(here, 1)
    here.ask(f"/painting/{number}", "PUT", layer())
    wait_for(lambda: here.desk.state()["training"].get("step"), "a step")
    here.desk.commit(render=True)
    wait_for(lambda: here.desk.state()["tasks"]["commit"]["text"].startswith("first following 1 keyframe"), "waiting")
    assert here.desk.alone_s == 0.0
    here.desk.cancel("commit")
    wait_for(lambda: here.desk.state()["tasks"]["commit"]["state"] == "canceled", "the end of it")
    assert here.desk.state()["tasks"]["prepare"]["state"] == "running", "only the commit"
    # Whoever cancels the tracks as well gets them again, by asking or by a commit.
    here.desk.cancel("prepare")
    wait_for(lambda: here.desk.state()["tasks"]["prepare"]["state"] == "canceled", "the end of the tracks")
    monkeypatch.setenv("FAKE_VERB_S", "0")
    here.desk.commit(render=True)
    wait_for(lambda: here.desk.state()["tasks"]["commit"]["text"] == "committed", "the commit")
    with here.socket() as tab:
        tab.send('{"do": "follow"}')
        wait_for(lambda: here.desk.state()["tasks"]["prepare"]["state"] == "done", "the tracks")
    verbs = [line.split()[0] for line in lines(here.folder / "verbs.log")]
    assert verbs == ["prepare", "prepare", "render", "report", "prepare"]


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with listen(0) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(InputError) as caught:
            listen(port)
    assert str(caught.value).startswith(f"port {port} cannot be used: ")
    assert caught.value.exit_code == 2 and str(caught.value).endswith("give another --port, or 0 for any free one")


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def test_a_desk_is_found_again_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def listens(at: int) -> socket.socket:
        asked.append(at)
        return listen(0 if at == port else at)

    with listen_again(None, tmp_path) as first:
        port = first.getsockname()[1]
        # Another desk of the same folder, meanwhile.
        with listen_again(None, tmp_path) as second:
            assert second.getsockname()[1] != port
    (tmp_path / "desk" / "port").write_text(f"{port}\n", encoding="ascii")
    with monkeypatch.context() as patch:
        # Somebody else may have it by now.
        patch.setattr("plugin.desk.port.listen", listens)
        listen_again(None, tmp_path).close()
    assert asked == [port]
    for damaged in (b"", b"x" * 99, b"-5", b"80", b"99999999"):
        (tmp_path / "desk" / "port").write_bytes(damaged)
        with listen_again(None, tmp_path) as bound:
            assert 1024 <= bound.getsockname()[1] <= 65535
    with listen_again(0, tmp_path) as bound:
        assert (tmp_path / "desk" / "port").read_text(encoding="ascii") == f"{bound.getsockname()[1]}\n"


def test_nothing_listens_beyond_the_loopback() -> None:
    with listen(0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"


def test_keyframes_are_followed_together_and_a_new_one_joins(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VERB_S", "600")
    keyframe(here, 1)
    wait_for(lambda: lines(here.folder / "verbs.log"), "the first one")
    monkeypatch.setenv("FAKE_VERB_S", "0")
    keyframe(here, 2)
    wait_for(lambda: len(lines(here.folder / "verbs.log")) == 2, "both")
    wait_for(lambda: here.desk.state()["tasks"]["prepare"]["state"] == "done", "their end")
    first, both = lines(here.folder / "verbs.log")
    assert first.count("--keyframe") == 1 and both.count("--keyframe") == 2


def test_a_keyframe_that_was_removed_comes_back_as_it_was(here: Served) -> None:
    number = keyframe(here, 1)
    here.ask(f"/painting/{number}", "PUT", layer())
    painting = here.desk.paintings.find(number).painting
    here.desk.remove(number)
    state = here.desk.state()
    assert (state["keyframes"], state["removed"]) == ([], [{"id": number, "frame": 1}])
    assert here.ask(f"/painting/{number}")[0] == 400
    # Also for whoever opens the desk again.
    again = Paintings(here.folder / "work", here.desk.pictures)
    assert ([each.id for each in again.all()], [each.id for each in again.removed]) == ([], [number])
    with here.socket() as tab:
        tab.send(json.dumps({"do": "restore", "id": number}))
        wait_for(here.desk.paintings.all, "the keyframe")
        held = here.desk.paintings.find(number)
        assert (held.frame, held.painting, held.painted) == (1, painting, True)
        # Nothing is brought back over what was painted since.
        here.desk.remove(number)
        other = keyframe(here, 1)
        assert other != number and here.desk.state()["removed"] == []
        tab.send(json.dumps({"do": "restore", "id": number}))
        said = hear(tab, lambda found: found["type"] == "message" and found["level"] == "error")
        assert said["text"] == f"keyframe {number} cannot be restored; remove the one that took its place"


def test_results_are_the_plate_outside_the_mattes_of_every_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, tmp_path)
    covered = np.zeros((HEIGHT, WIDTH), np.float32)
    covered[:, :40], covered[:, 40:48] = 1.0, 0.5
    mattes = write_mattes(tmp_path, dict.fromkeys(range(4), covered))
    shot = Shot(plate(tmp_path), work=tmp_path / "work", budget_s=10.0, matte=MatteSequence(mattes), repaint=False)
    with served(tmp_path, shot) as here:
        number = keyframe(here, 1)
        here.ask(f"/painting/{number}", "PUT", layer())
        here.desk.look_at(2)
        wait_for(lambda: here.desk.pictures.result(2) is not None, "a result")
        own = here.desk.pictures.linear(2)
        result = here.desk.pictures.result(2)
        gray = float(np.load(result_path(here.desk.work, 2))[0, 0, 0])
        assert np.allclose(result[:, :40], gray) and np.array_equal(result[:, 48:, :3], own[:, 48:])
        assert np.allclose(result[:, 40:48, :3], 0.5 * gray + 0.5 * own[:, 40:48])
        assert result[0, 44, 3] == pytest.approx(0.5 * gray) and not result[:, 48:, 3].any()
        # At half size as well, and with the mattes as they are now.
        result_path(here.desk.work, 3).parent.mkdir(parents=True, exist_ok=True)
        np.save(result_path(here.desk.work, 3), np.full((HEIGHT // 2, WIDTH // 2, 4), 0.25, np.float16))
        assert here.desk.pictures.result(3)[0, [0, -1], 3].tolist() == [0.25, 0.0]
        write_mattes(tmp_path, {3: 1 - np.ceil(covered)})
        wait_for(lambda: here.desk.pictures.result(3)[0, [0, -1], 3].tolist() == [0.0, 0.25], "the other matte")
        small = cv2.resize(here.desk.pictures.linear(3), (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
        assert np.array_equal(here.desk.pictures.result(3)[:, :20, :3], small[:, :20])
        wait_for(lambda: here.desk.state()["tasks"].get("prepare", {}).get("state") == "done", "the tracks")
        here.desk.commit(render=True)
        wait_for(lambda: here.desk.state()["tasks"]["commit"]["text"] == "committed", "the commit")
    for line in lines(tmp_path / "verbs.log"):
        assert f"--matte {mattes.text} --matte-use both" in line
        assert ("--no-repaint" in line) == line.startswith("prepare")


def test_denoised_frames_are_all_made_by_a_commit_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, tmp_path)
    shot = Shot(plate(tmp_path), work=tmp_path / "work", budget_s=10.0, denoise="aware")
    with served(tmp_path, shot) as here:
        number = keyframe(here, 1)
        here.ask(f"/painting/{number}", "PUT", layer())
        wait_for(lambda: here.desk.state()["training"].get("step"), "a step")
        wait_for(lambda: here.desk.state()["tasks"].get("prepare", {}).get("state") == "done", "the tracks")
        here.desk.commit(render=True)
        wait_for(lambda: here.desk.state()["tasks"]["commit"]["text"] == "committed", "the commit")
    job = json.loads((tmp_path / "work" / "desk" / "job.json").read_text(encoding="utf-8"))
    assert job["denoise"] == "aware"
    first, *committed = lines(tmp_path / "verbs.log")
    assert first.startswith("prepare ") and "--denoise" not in first
    assert [line.split()[0] for line in committed] == ["prepare", "render", "report"]
    assert "--denoise aware" in committed[0]
