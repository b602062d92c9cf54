"""Frames in, frames out: what is written, skipped, repeated and refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.errors import (
    ColorError,
    DeviceError,
    FrameFailures,
    ImageError,
    InputError,
    LookError,
    OutputError,
    VerifyError,
)
from engine.base.frames import FrameRange, SequencePath
from engine.look.card import read_card
from engine.look.session import Look
from engine.rendering.render import RenderEvent, RenderSettings, render, sidecar_path, verify
from engine.shot.shot import Plate
from tests.support import lookfactory
from tests.support.rendering import ON_CPU, TILED, digests, make_plate, outputs, picture


def test_pixels_go_through_the_look(tmp_path: Path, plate: Plate) -> None:
    look = lookfactory.gain(tmp_path / "gain.onnx", 2.0)
    events: list[RenderEvent] = []
    report = render(look, plate, outputs(tmp_path / "out"), ON_CPU, progress=events.append)
    assert sorted(report.done) == list(plate.frames)
    for frame in plate.frames:
        written = images.read(tmp_path / "out" / f"out.{frame:04d}.exr")
        expected = np.float32(np.float16(picture(frame))) * 2
        assert np.array_equal(written.rgb, np.float32(np.float16(expected)))
        assert written.header.bit_depth == "half"
    assert [event.count for event in events] == [1, 2, 3, 4, 5, 6]
    assert {event.kind for event in events} == {"done"}
    assert events[0].total == 6
    assert min(report.read_s, report.infer_s, report.write_s) > 0


def test_a_frame_carries_its_hashes(tmp_path: Path, plate: Plate) -> None:
    look = lookfactory.gain(tmp_path / "gain.onnx")
    report = render(look, plate, outputs(tmp_path), ON_CPU)
    facts = images.read_provenance(tmp_path / "out.0001.exr")
    assert facts["look"] == hashlib.sha256(look.read_bytes()).hexdigest() == report.look_sha256
    assert facts["settings"] == report.settings_hash
    assert facts["plate"] == hashlib.sha256(plate.path.path(1).read_bytes()).hexdigest()
    assert facts["stmap"] == "none"
    assert facts["tile"] == "1024"
    assert facts["version"]


@pytest.mark.slow
def test_order_workers_threads_and_company_change_no_byte(tmp_path: Path, look: Path, plate: Plate) -> None:
    def run(name: str, frames: str, workers: int = 1, threads: int = 1) -> dict[int, str]:
        out = outputs(tmp_path / name)
        settings = RenderSettings(device="cpu", tile=64, threads=threads)
        part = Plate(plate.path, FrameRange.parse(frames), plate.colorspace)
        render(look, part, out, settings, workers=workers)
        return digests(out, part.frames)

    reference = run("order", "1-6")
    assert len(set(reference.values())) == 6
    assert run("threads", "1-6", threads=2) == reference
    assert run("crowd", "1-6", threads=5) == reference
    assert run("workers", "1-6", workers=2, threads=2) == reference
    alone: dict[int, str] = {}
    for frame in reversed(plate.frames.frames):
        alone |= run("alone", str(frame), threads=2)
    assert alone == reference


def test_a_second_run_renders_only_what_is_missing_or_damaged(tmp_path: Path, look: Path, plate: Plate) -> None:
    out = outputs(tmp_path)
    render(look, plate, out, TILED)
    reference = digests(out, plate.frames)
    out.path(1).unlink()
    whole = out.path(2).read_bytes()
    out.path(2).write_bytes(whole[:-1])
    out.path(3).write_bytes(whole[: len(whole) // 2])
    out.path(4).write_bytes(b"")
    middle = len(whole) * 2 // 3
    out.path(5).write_bytes(whole[:middle] + bytes([whole[middle] ^ 16]) + whole[middle + 1 :])
    report = render(look, plate, out, TILED)
    assert sorted(report.done) == [1, 2, 3, 4, 5]
    assert report.skipped == [6]
    assert digests(out, plate.frames) == reference
    assert render(look, plate, out, TILED).skipped == list(plate.frames)


def test_another_look_plate_or_setting_is_rendered_again(tmp_path: Path, plate: Plate) -> None:
    one, two = lookfactory.gain(tmp_path / "1.onnx", 1.5), lookfactory.gain(tmp_path / "2.onnx", 3.0)
    out = outputs(tmp_path)
    render(one, plate, out, ON_CPU)
    assert len(render(two, plate, out, ON_CPU).done) == 6
    assert len(render(two, plate, out, RenderSettings(device="cpu", bit_depth="float")).done) == 6
    assert len(render(two, plate, out, RenderSettings(device="cpu", bit_depth="float", threads=1)).done) == 0
    images.write(plate.path.path(3), picture(33))
    assert render(two, plate, out, RenderSettings(device="cpu", bit_depth="float")).done == [3]
    assert len(render(two, plate, out, RenderSettings(device="cpu", bit_depth="float"), overwrite=True).done) == 6


def test_settings_hash_counts_what_changes_pixels_only() -> None:
    def hashed(**changes: Any) -> str:
        return RenderSettings(**changes).hash(plate_colorspace=None, config="c")

    base = hashed()
    assert hashed(device="cpu", threads=3, memory_gib=2.0) == base
    different = [
        hashed(tile=512),
        hashed(tile=0),
        hashed(bit_depth="float"),
        hashed(compression="piz"),
        hashed(carried_layer=True),
        hashed(out_colorspace="ACEScg"),
        hashed(tensorrt=True),
        RenderSettings().hash(plate_colorspace="ACEScg", config="c"),
        RenderSettings().hash(plate_colorspace=None, config="d"),
    ]
    assert len({base, *different}) == len(different) + 1
    # Frames on farms carry this: a change here renders every shot again, so it must be on purpose.
    assert base == "8153772e897e6054aa0ec4c261a2e87f8303c8af2f1e2a6385327d028c5049fc"


@pytest.mark.parametrize("changes", [{"tile": 8}, {"threads": 0}, {"memory_gib": 0.0}])
def test_impossible_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        RenderSettings(**changes)


def test_a_bad_frame_does_not_stop_the_others(tmp_path: Path, plate: Plate) -> None:
    look = lookfactory.gain(tmp_path / "gain.onnx")
    plate.path.path(2).unlink()
    plate.path.path(4).write_bytes(plate.path.path(4).read_bytes()[:300])
    events: list[RenderEvent] = []
    with pytest.raises(FrameFailures) as caught:
        render(look, plate, outputs(tmp_path), ON_CPU, progress=events.append)
    assert caught.value.exit_code == 2
    assert sorted(caught.value.failures) == [2, 4]
    assert "missing" in caught.value.failures[2] and "plate.0002.exr" in caught.value.failures[2]
    assert "2 of 6 frames failed (2,4)" in caught.value.message
    assert outputs(tmp_path).existing() == FrameRange((1, 3, 5, 6))
    assert sorted(event.frame or 0 for event in events if event.kind == "failed") == [2, 4]


def test_a_failure_that_is_not_the_inputs_asks_for_a_retry(
    tmp_path: Path, plate: Plate, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = images.read

    def broken(path: Path, *, frame: int | None = None, **more: str) -> images.Image:
        if frame == 3:
            raise RuntimeError("cosmic ray")
        return read(path, frame=frame, **more)

    monkeypatch.setattr(images, "read", broken)
    with pytest.raises(FrameFailures) as caught:
        render(lookfactory.gain(tmp_path / "gain.onnx"), plate, outputs(tmp_path), ON_CPU)
    assert caught.value.exit_code == 1
    assert "cosmic ray" in caught.value.failures[3]


def test_bad_pixels_are_reported_with_frame_and_count(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    spec = oiio.ImageSpec(8, 6, 3, oiio.HALF)
    pixels = np.ones((6, 8, 3), np.float32)
    pixels[2, 3] = np.nan
    pixels[4, 4, 1] = np.inf
    target = oiio.ImageOutput.create("x.exr")
    target.open(str(tmp_path / "in" / "p.0007.exr"), spec)
    target.write_image(pixels)
    target.close()
    plate = Plate(SequencePath.parse(tmp_path / "in" / "p.%04d.exr"), FrameRange((7,)), "scene_linear")
    events: list[RenderEvent] = []
    report = render(lookfactory.identity(tmp_path / "i.onnx"), plate, outputs(tmp_path), ON_CPU, progress=events.append)
    assert report.bad_pixels == {7: 2}
    assert [(event.kind, event.frame) for event in events] == [("warning", 7), ("done", 7)]
    assert "2 pixels" in events[0].message
    assert np.isfinite(images.read(tmp_path / "out.0007.exr").rgb).all()


def test_alpha_and_the_carried_layer_are_written(tmp_path: Path) -> None:
    alpha = np.linspace(0, 1, 60 * 91, dtype=np.float32).reshape(60, 91)
    plate = make_plate(tmp_path / "plate", "1", alpha=alpha)
    work = tmp_path / "work"
    write_sidecar(sidecar_path(work, 1001, 1), np.full((60, 91, 3), 0.5, np.float32))
    settings = RenderSettings(device="cpu", carried_layer=True)
    render(lookfactory.identity(tmp_path / "i.onnx"), plate, outputs(tmp_path), settings, work=work)
    written = images.read(tmp_path / "out.0001.exr")
    assert written.alpha is not None
    assert np.allclose(written.alpha, alpha, atol=1e-3)
    carried = written.header.parts[0].layers["paintover.carried"]
    assert np.allclose(carried, 0.5)


def write_sidecar(path: Path, uvc: np.ndarray) -> None:
    """R = u, G = v, A = confidence, float; u and v not multiplied by A."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = oiio.ImageSpec(uvc.shape[1], uvc.shape[0], 4, oiio.FLOAT)
    spec.channelnames = ("R", "G", "B", "A")
    target = oiio.ImageOutput.create(str(path))
    target.open(str(path), spec)
    target.write_image(
        np.ascontiguousarray(np.dstack([uvc[..., :2], np.zeros(uvc.shape[:2], np.float32), uvc[..., 2:]]))
    )
    target.close()


def test_sidecars_are_fed_and_count_for_the_skip(tmp_path: Path) -> None:
    plate = make_plate(tmp_path / "plate", "1-2")
    look, work, out = lookfactory.identity(tmp_path / "i.onnx", k=2), tmp_path / "work", outputs(tmp_path)
    assert sidecar_path(work, 1001, 1) == work / "stmap" / "key_1001" / "0001.exr"
    uvc = np.zeros((60, 91, 3), np.float32)
    # The centre of the second exemplar's top left pixel; v runs up.
    uvc[..., 0], uvc[..., 1], uvc[..., 2] = 0.5 / 16, 1 - 0.5 / 12, 1.0
    write_sidecar(sidecar_path(work, 1002, 1), uvc)
    render(look, plate, out, ON_CPU, work=work)
    exemplar = lookfactory.exemplars_of(2)[1]
    assert np.allclose(images.read(out.path(1)).rgb, exemplar[0, 0], atol=1e-3)
    assert np.allclose(images.read(out.path(2)).rgb, picture(2), atol=2e-3)
    assert render(look, plate, out, ON_CPU, work=work).done == []
    uvc[..., 2] = 0.25
    write_sidecar(sidecar_path(work, 1002, 1), uvc)
    with pytest.raises(VerifyError, match="foreign 1"):
        verify(look, plate.frames, out, ON_CPU, plate=plate, work=work)
    assert render(look, plate, out, ON_CPU, work=work).done == [1]
    verify(look, plate.frames, out, ON_CPU, plate=plate, work=work)
    write_sidecar(sidecar_path(work, 1002, 2), uvc[:30])
    with pytest.raises(FrameFailures, match="91x30 and the plate 91x60"):
        render(look, plate, out, ON_CPU, work=work)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_integer_plates_keep_their_colorspace_and_come_back(tmp_path: Path, suffix: str) -> None:
    plate = make_plate(tmp_path / "plate", "1", suffix)
    render(lookfactory.identity(tmp_path / "i.onnx"), plate, outputs(tmp_path, suffix), ON_CPU)
    before, after = images.read(plate.path.path(1)), images.read(tmp_path / f"out.0001{suffix}")
    assert after.header.bit_depth == before.header.bit_depth
    tolerance = 0.05 if suffix == ".jpg" else 1.01 / 255
    assert np.abs(after.rgb - before.rgb).max() <= tolerance


def test_integer_to_exr_is_linear_and_exr_to_integer_is_srgb(tmp_path: Path) -> None:
    look = lookfactory.identity(tmp_path / "i.onnx")
    (tmp_path / "png").mkdir()
    images.write(tmp_path / "png" / "plate.0001.png", np.full((4, 4, 3), 0.5, np.float32), bit_depth="uint16")
    png = Plate(SequencePath.parse(tmp_path / "png" / "plate.%04d.png"), FrameRange((1,)))
    render(look, png, outputs(tmp_path), ON_CPU)
    assert np.allclose(images.read(tmp_path / "out.0001.exr").rgb, 0.2140, atol=1e-3)
    exr = Plate(outputs(tmp_path), FrameRange((1,)), "scene_linear")
    back = SequencePath.parse(tmp_path / "back.%04d.png")
    render(look, exr, back, ON_CPU)
    assert np.allclose(images.read(back.path(1)).rgb, 0.5, atol=2 / 255)


def test_a_look_of_another_config_is_refused(tmp_path: Path, plate: Plate) -> None:
    look = lookfactory.identity(tmp_path / "i.onnx", working_colorspace="House Linear 2009")
    with pytest.raises(ColorError, match="House Linear 2009"):
        render(look, plate, outputs(tmp_path), ON_CPU)
    with pytest.raises(ColorError):
        render(
            lookfactory.identity(tmp_path / "j.onnx"),
            plate,
            outputs(tmp_path),
            RenderSettings(device="cpu", out_colorspace="nonsense"),
        )


def test_what_cannot_work_is_refused_before_the_first_frame(tmp_path: Path, plate: Plate) -> None:
    look = lookfactory.identity(tmp_path / "i.onnx")
    with pytest.raises(InputError, match="output onto the plate"):
        render(look, plate, SequencePath.parse(plate.path.folder / "plate.####.exr"), ON_CPU)
    with pytest.raises(InputError, match="not into a movie"):
        render(look, plate, SequencePath.parse(tmp_path / "o.mp4"), ON_CPU)
    with pytest.raises(DeviceError):
        render(look, plate, outputs(tmp_path), RenderSettings(device="cuda:77"))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        render(look, plate, outputs(tmp_path / "file"), ON_CPU)
    with pytest.raises(LookError):
        render(tmp_path / "none.onnx", plate, outputs(tmp_path), ON_CPU)


def test_verify_names_missing_damaged_and_foreign_frames(tmp_path: Path) -> None:
    plate = make_plate(tmp_path / "plate", "1-12")
    look, other = lookfactory.gain(tmp_path / "1.onnx", 1.5), lookfactory.gain(tmp_path / "2.onnx", 3.0)
    out, seen = outputs(tmp_path), []
    render(look, plate, out, ON_CPU)
    report = verify(
        look, plate.frames, out, ON_CPU, plate=plate, progress=lambda count, total: seen.append((count, total))
    )
    assert report.frames == plate.frames
    assert seen[-1] == (12, 12)
    for frame in (2, 3, 4):
        out.path(frame).unlink()
    out.path(7).write_bytes(out.path(7).read_bytes()[:-1])
    render(other, Plate(plate.path, FrameRange((9, 11)), plate.colorspace), out, ON_CPU)
    with pytest.raises(VerifyError) as caught:
        verify(look, plate.frames, out)
    assert "6 of 12 frames are not right: missing 2-4; damaged 7; foreign 9,11" in caught.value.message
    assert caught.value.exit_code == 3
    with pytest.raises(VerifyError, match="foreign 1"):
        verify(look, FrameRange((1,)), out, RenderSettings(tile=512), plate=plate)
    with pytest.raises(VerifyError, match="missing 13"):
        verify(look, FrameRange((13,)), out)


def test_an_unreadable_plate_fails_verify_as_an_input(tmp_path: Path, plate: Plate) -> None:
    look = lookfactory.gain(tmp_path / "1.onnx")
    render(look, plate, outputs(tmp_path), ON_CPU)
    plate.path.path(2).unlink()
    with pytest.raises(ImageError, match="missing"):
        verify(look, plate.frames, outputs(tmp_path), plate=plate)


def test_a_movie_is_a_plate(tmp_path: Path) -> None:
    from engine.images import movies

    shades = [np.full((32, 48, 3), value, np.uint8) for value in (40, 120, 200)]
    movies.write_movie(shades, tmp_path / "in.mp4", 24)
    plate = Plate(SequencePath.parse(tmp_path / "in.mp4"), FrameRange.parse("0-2"))
    out = outputs(tmp_path, ".png")
    render(lookfactory.identity(tmp_path / "i.onnx"), plate, out, ON_CPU)
    for frame, value in enumerate((40, 120, 200)):
        assert np.abs(images.read(out.path(frame)).rgb - value / 255).max() < 0.03
    assert len(render(lookfactory.identity(tmp_path / "i.onnx"), plate, out, ON_CPU).skipped) == 3
    with pytest.raises(FrameFailures, match="3"):
        render(lookfactory.identity(tmp_path / "i.onnx"), Plate(plate.path, FrameRange.parse("2-3")), out, ON_CPU)


MEMORY = """
import resource, sys
from pathlib import Path
from engine.base.frames import FrameRange, SequencePath
from engine.rendering.render import RenderSettings, render
from engine.shot.shot import Plate
folder = Path(sys.argv[1])
plate = Plate(SequencePath.parse(folder / "plate.%04d.exr"), FrameRange((1,)), "ACES2065-1")
render(folder / "look.onnx", plate, SequencePath.parse(folder / "out.%04d.exr"),
       RenderSettings(device="cpu", memory_gib=4.0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of the resident memory in kibibytes")
def test_8k_renders_in_four_gibibytes(tmp_path: Path) -> None:
    # As wide as a trained look's network, on which memory depends, and less deep.
    lookfactory.network(tmp_path / "look.onnx", blocks=1)
    pixels = np.random.default_rng(0).random((4320, 8192, 3), dtype=np.float32)
    images.write(tmp_path / "plate.0001.exr", pixels)
    del pixels
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 4.0
    images.check(tmp_path / "out.0001.exr")


@pytest.mark.alone
def test_reading_and_writing_hide_behind_inference(tmp_path: Path, look: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With reading and writing slowed to what inference takes, the whole takes far less than the sum."""
    plate, busy, most = make_plate(tmp_path / "plate", "1-10"), [0], [0]
    read, write, lock = images.read, images.write, threading.Lock()

    def slowly(call: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*args: Any, **options: Any) -> Any:
            with lock:
                busy[0] += 1
                most[0] = max(most[0], busy[0])
            time.sleep(0.05)
            result = call(*args, **options)
            with lock:
                busy[0] -= 1
            return result

        return slow

    monkeypatch.setattr(images, "read", slowly(read))
    monkeypatch.setattr(images, "write", slowly(write))
    report = render(look, plate, outputs(tmp_path), RenderSettings(device="cpu", threads=1))
    assert most[0] >= 2
    assert report.wall_s < 0.8 * (report.read_s + report.infer_s + report.write_s)


def test_the_report_is_plain_data(tmp_path: Path, plate: Plate) -> None:
    report = render(lookfactory.gain(tmp_path / "g.onnx"), plate, outputs(tmp_path), ON_CPU)
    assert json.loads(json.dumps(vars(report)))["failed"] == {}
    assert read_card(tmp_path / "g.onnx").name == "test"


def test_paths_patterns_and_ranges_as_text(tmp_path: Path, plate: Plate) -> None:
    look = lookfactory.gain(tmp_path / "gain.onnx")
    out = str(tmp_path / "out" / "out.####.exr")
    assert sorted(render(str(look), plate, out, ON_CPU, work=str(tmp_path)).done) == [1, 2, 3, 4, 5, 6]
    report = verify(str(look), "1-6", out, ON_CPU, plate=plate, work=str(tmp_path))
    assert report.frames == plate.frames


def test_a_loaded_look_stands_for_its_file(tmp_path: Path, plate: Plate) -> None:
    path = lookfactory.gain(tmp_path / "gain.onnx")
    render(path, plate, outputs(tmp_path / "file"), ON_CPU)
    with Look.load(path, device="cpu") as look:
        render(look, plate, outputs(tmp_path / "loaded"), ON_CPU)
        verify(look, plate.frames, outputs(tmp_path / "loaded"), ON_CPU, plate=plate)
        assert digests(outputs(tmp_path / "loaded"), plate.frames) == digests(outputs(tmp_path / "file"), plate.frames)
        for changes in ({"workers": 2}, {"workers": 0}, {"timeout_s": 5.0}):
            with pytest.raises(InputError, match="a loaded look renders in this process, without a time limit"):
                render(look, plate, outputs(tmp_path / "no"), ON_CPU, **changes)
    with pytest.raises(InputError, match="the look is closed"):
        render(look, plate, outputs(tmp_path / "no"), ON_CPU)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plate": "plate.%04d.exr"}, r'the plate given is a str; use Plate.of\("plate.%04d.exr", "1001-1100"\)'),
        ({"plate": None}, "the plate given is a NoneType"),
        ({"look": None}, "the look given is a NoneType; name an .onnx file, or give a loaded look"),
        ({"settings": {"tile": 64}}, r"the settings given is a dict; use RenderSettings\(...\)"),
        ({"out": None}, "None is no pattern for frames; use %04d"),
        ({"out": "out.exr"}, '"out.exr" names no frame number'),
        ({"workers": -1}, "nothing renders with -1 workers"),
        ({"timeout_s": 0}, "a limit of 0 s"),
    ],
)
def test_arguments_of_the_wrong_kind(look: Path, plate: Plate, changes: dict[str, Any], message: str) -> None:
    words = {"look": look, "plate": plate, "out": "out.%04d.exr", "settings": ON_CPU, **changes}
    with pytest.raises(InputError, match=message):
        render(**words)
