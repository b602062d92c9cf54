"""A Paintover node's knobs as a job, driven through a stand-in for Nuke."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tkinter", reason="the stand-in for Nuke reads node text with the Tcl of tkinter")
from tests.support.nuke import stub as nuke_stub
from tests.support.nuke_stage import Nuke
from tests.support.nuke_stage import nuke as nuke


def job_of(nuke: Nuke, node: Any, view: str | None = None) -> Any:
    return nuke.host(node, view).job()


def test_an_untouched_node_takes_everything_from_the_read_and_the_project(nuke: Nuke) -> None:
    nuke_stub.state.root["name"].setValue("/shots/a/comp.nk")
    node = nuke.node("/shots/a/plate.####.exr", (1001, 1100))
    node.input(0)["colorspace"].setValue("default (ACES2065-1)")
    job = job_of(nuke, node)
    assert (job.plate, job.frames, job.colorspace) == ("/shots/a/plate.####.exr", "1001-1100", "ACES2065-1")
    assert job.work == "/shots/a/paintover/Paintover1" and job.look is None
    assert job.out == "/shots/a/paintover/Paintover1/out/out.%04d.exr"
    assert (job.out_colorspace, job.budget_s, job.steps, job.tile) == ("ACEScg", 60.0, None, None)
    assert (job.carried, job.guides, job.keyframes, job.host) == (False, True, (), "Nuke 16.0v3")
    node.input(0)["raw"].setValue(True)
    assert job_of(nuke, node).colorspace == "ACEScg", "a raw Read is taken to hold the working space"


def test_knobs_that_are_filled_in_count(nuke: Nuke, tmp_path: Path) -> None:
    (tmp_path / "m.1040.png").write_bytes(b"")
    node = nuke.node(
        "/a/p.%04d.exr", (1, 9), work="/w", out="/o/o.%04d.exr", look="/l/hero.onnx", frames="1-9x2", steps=20, seed=7,
        keyframes="1001, 1040", paintings="/paint/v2/%04d.tif", matte=str(tmp_path / "m.%04d.png"), tile=512,
        colorspace_in="sRGB - Texture", colorspace_out="ACES2065-1", ocio="/c/studio.ocio", carried=True, follow=False,
        mattes="/m/object.%04d.exr", matte_use="track",
    )  # fmt: skip
    job = job_of(nuke, node)
    assert (job.frames, job.look_path, job.steps, job.budget_s, job.seed) == ("1-9x2", "/l/hero.onnx", 20, None, 7)
    assert [(k.frame, k.painting, k.matte) for k in job.keyframes] == [
        (1001, "/paint/v2/1001.tif", None),
        (1040, "/paint/v2/1040.tif", str(tmp_path / "m.1040.png")),
    ]
    assert (job.colorspace, job.out_colorspace, job.ocio) == ("sRGB - Texture", "ACES2065-1", "/c/studio.ocio")
    assert (job.tile, job.carried, job.guides) == (512, True, False)
    assert (job.matte, job.matte_use) == ("/m/object.%04d.exr", "track")


def test_the_project_s_color_config_is_found(nuke: Nuke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = nuke.node("/a/p.%04d.exr", (1, 9), work="/w", out="/o/o.%04d.exr")
    assert job_of(nuke, node).ocio is None
    nuke_stub.env["ExecutablePath"] = str(tmp_path / "Nuke16.0")
    config = tmp_path / "plugins" / "OCIOConfigs" / "configs" / "aces_1.2" / "config.ocio"
    config.parent.mkdir(parents=True)
    config.write_text("")
    nuke_stub.state.root["OCIO_config"].setValue("aces_1.2")
    assert job_of(nuke, node).ocio == str(config)
    nuke_stub.state.root["OCIO_config"].setValue("custom")
    nuke_stub.state.root["customOCIOConfigPath"].setValue("/studio/[file tail /x/config.ocio]")
    assert job_of(nuke, node).ocio == "/studio/config.ocio"
    monkeypatch.setenv("OCIO", "/farm/config.ocio")
    assert job_of(nuke, node).ocio == "/farm/config.ocio"


def test_proxy_mode_reads_the_full_size_files(nuke: Nuke) -> None:
    node = nuke.node("/a/full.%04d.exr", (1, 9), work="/w", out="/o/o.%04d.exr")
    node.input(0)["proxy"].setValue("/a/half.%04d.jpg")
    before = job_of(nuke, node)
    nuke_stub.state.root["proxy"].setValue(True)
    assert job_of(nuke, node) == before and before.plate == "/a/full.%04d.exr"


@pytest.mark.parametrize(
    ("file", "plate"),
    [
        ("/a/p.[frame].exr", "/a/p.%d.exr"),
        ("/a/p.[format %04d [frame]].exr", "/a/p.%04d.exr"),
        ('/a/p.[format "%06d" [ frame ]].exr', "/a/p.%06d.exr"),
        ("[file dirname [value root.name]]/p.%04d.exr", "/shots/a/p.%04d.exr"),
        ("[file dirname [value root.name]]/p.[format %04d [frame]].exr", "/shots/a/p.%04d.exr"),
        ("/a/it's {odd} $x.%04d.exr", "/a/it's {odd} $x.%04d.exr"),
    ],
)
def test_a_sequence_stays_a_sequence(nuke: Nuke, file: str, plate: str) -> None:
    nuke_stub.state.root["name"].setValue("/shots/a/comp.nk")
    node = nuke.node(file, (1, 9), work="/w", out="/o/o.%04d.exr")
    for frame in (1, 7):
        nuke_stub.state.frame = frame
        assert job_of(nuke, node).plate == plate


def test_views_have_files_of_their_own(nuke: Nuke) -> None:
    nuke_stub.state.views = ["left", "right"]
    node = nuke.node("/a/p_%V.%04d.exr", (1, 9), work="/w/%V", out="/o/%v/o.%04d.exr")
    left, right = (job_of(nuke, node, view) for view in ("left", "right"))
    assert (left.plate, left.work, left.out) == ("/a/p_left.%04d.exr", "/w/left", "/o/l/o.%04d.exr")
    assert (right.plate, right.work, right.out) == ("/a/p_right.%04d.exr", "/w/right", "/o/r/o.%04d.exr")
    assert [host.view for host in nuke.host(node).by_view()] == ["left", "right"]
    node["out"].setValue("/o/o.%04d.exr")
    with pytest.raises(Exception, match=r"knob out of Paintover1 does not: .*; put %V into it"):
        job_of(nuke, node)
    node["plate"].setValue("/a/p.%04d.exr")
    node["work"].setValue("/w")
    assert len(nuke.host(node).by_view()) == 1


def between(nuke: Nuke, node: Any, kind: str) -> Any:
    made = nuke_stub.createNode(kind)
    made.setInput(0, node.input(0))
    node.setInput(0, made)
    return made


def test_what_the_files_do_not_show_is_refused(nuke: Nuke) -> None:
    node = nuke.node("/a/p.%04d.exr", (1, 9), work="/w", out="/o/o.%04d.exr")
    between(nuke, node, "Dot")
    assert job_of(nuke, node).plate == "/a/p.%04d.exr"
    grade = between(nuke, node, "Grade")
    with pytest.raises(Exception, match=r"Grade1 lies between Paintover1 and its Read.*; move Grade1 below"):
        job_of(nuke, node)
    grade["disable"].setValue(True)
    assert job_of(nuke, node).plate == "/a/p.%04d.exr"
    nuke_stub.state.nodes["Read1"]["frame"].setValue("frame+100")
    with pytest.raises(Exception, match="Read1 shifts its frames"):
        job_of(nuke, node)
    node["plate"].setValue("/a/q.%04d.exr")
    assert (job_of(nuke, node).plate, job_of(nuke, node).frames) == ("/a/q.%04d.exr", "1-100")


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"work": ""}, "the knob work of Paintover1 is empty; save the script, or give a folder"),
        ({"work": "paint"}, 'the knob work of Paintover1 gives "paint", which is no whole path'),
        ({"out": "[value nowhere.x]/o.%04d.exr"}, "the knob out of Paintover1 holds .*cannot be evaluated"),
        ({"keyframes": "12 thirteen"}, '"thirteen" is no frame and no range'),
        ({"frames": "9-1"}, '"9-1" ends before it begins; write 1-9'),
        ({"budget": 1.0}, "budget_s is 1, the least is 5"),
        ({"keyframes": "3", "paintings": "rel.%04d.png"}, "the knob paintings of Paintover1"),
    ],
)
def test_a_wrong_knob_is_named(nuke: Nuke, knobs: dict[str, Any], said: str) -> None:
    node = nuke.node("/a/p.%04d.exr", (1, 9), **{"work": "/w", "out": "/o/o.%04d.exr", **knobs})
    with pytest.raises(nuke.part("client.errors").HostError, match=said) as caught:
        job_of(nuke, node)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_ranges_are_those_of_the_command_line(nuke: Nuke) -> None:
    from engine.base.frames import FrameRange, SequencePath

    patterns = nuke.part("patterns")
    for text in ("1-9x2", "1-9:4", "5", "-3-2", "-9--5", "1-3,7,9-12x3", " 1001 - 1003 ".replace(" ", "")):
        frames = FrameRange.parse(text)
        assert sorted(patterns.frame_list(text)) == list(frames), text
        assert patterns.range_ends(text)[0] == frames.first, text
    for pattern in (
        "/a/p.%04d.exr",
        "/a/p.####.exr",
        "/a/p.@@@.exr",
        "/a/p.$F4.exr",
        "/a_%02d/p%d.exr",
        "/a/p.%6d.png",
    ):
        for frame in (7, 12345, -5):
            assert patterns.frame_path(pattern, frame) == str(SequencePath.parse(pattern).path(frame)), pattern


@pytest.mark.parametrize(
    ("label", "display_and_view"),
    [
        ("sRGB (ACES)", ("ACES", "sRGB")),
        ("ACES 2.0 - SDR 100 nits (Rec.709) (sRGB - Display)", ("sRGB - Display", "ACES 2.0 - SDR 100 nits (Rec.709)")),
        ("Film (Display (P3))", ("Display (P3)", "Film")),
        ("rec709", (None, "rec709")),
        ("None", (None, None)),
    ],
)
def test_frames_are_painted_under_the_viewer_s_transform(
    nuke: Nuke, label: str, display_and_view: tuple[str | None, str | None]
) -> None:
    node = nuke.node("/a/p.%04d.exr", (1, 9), work="/w", out="/o/o.%04d.exr")
    nuke_stub.state.root["monitorLut"].setValue("Film (P3)")
    viewer = nuke_stub.createNode("Viewer")
    viewer["viewerProcess"].setValue(label)
    nuke_stub.state.viewer = nuke_stub._Viewer(viewer)
    assert nuke.host(node).painting_view() == display_and_view
    nuke_stub.state.viewer = None
    assert nuke.host(node).painting_view() == ("P3", "Film")


HOSTILE = "/shots/[python nuke.scriptClose()] \\[exec x]\\n"


def test_a_bracket_in_a_folder_stays_a_bracket(nuke: Nuke) -> None:
    """What Tcl made of the knob out goes into the Read's knob, where Tcl must not make more of it."""
    patterns = nuke.part("patterns")
    node = nuke.node("/a/p.%04d.exr", (1, 9), work="/w", out=patterns.in_knob(f"{HOSTILE}/o.%04d.exr"))
    job = job_of(nuke, node)
    assert job.out == f"{HOSTILE}/o.%04d.exr"
    host = nuke.host(node)
    host.point_result(job)
    read = node.children["Result"]
    assert nuke_stub.evaluated(str(read["file"].value()), read) == job.out
    assert host.result_matches(job)


def test_texts_on_the_node_are_no_code(nuke: Nuke) -> None:
    patterns = nuke.part("patterns")
    assert patterns.in_html('[exec x] \\ <b> "&" $x') == "&#91;exec x] &#92; &lt;b> &quot;&amp;&quot; &#36;x"
    assert patterns.in_knob("C:\\a[b]") == "C:\\\\a\\[b]"
