"""Guide images and denoised frames as rendering takes them: cut like the plate, checked by hash, named when missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.errors import FrameFailures, ImageError, InputError, VerifyError
from engine.base.frames import FrameRange
from engine.look.session import Look
from engine.preparation.prepared_files import PreparedFiles, denoised_frames, guide_images
from engine.rendering.pipeline import RenderJob
from engine.rendering.render import RenderSettings, render, verify
from engine.shot.plate import plate_sha256
from engine.shot.shot import Plate
from tests.support import lookfactory
from tests.support.rendering import digests, make_plate, outputs

ON_CPU = RenderSettings(device="cpu")
FRAMES = FrameRange((1, 2, 3))


def made(files: PreparedFiles, plate: Plate, seed: int = 0, scale: float = 1.0) -> dict[int, np.ndarray]:
    """Writes files for every frame of the plate, and returns what they hold."""
    pictures = {}
    for frame in plate.frames:
        rng = np.random.default_rng((seed, frame))
        pictures[frame] = np.float32(np.float16(scale * rng.random((60, 91, 3), np.float32)))
        facts = {"plate_sha256": plate_sha256(plate.path, frame), "digest": f"{seed}"}
        files.write(frame, pictures[frame], **facts)
    return pictures


@pytest.fixture
def plate(tmp_path: Path) -> Plate:
    return make_plate(tmp_path / "plate", "1-3")


def test_a_guide_is_cut_like_the_plate(tmp_path: Path) -> None:
    look = Look.load(lookfactory.guided(tmp_path / "g.onnx"), device="cpu", threads=2)
    rng = np.random.default_rng(0)
    plate, guide = rng.random((150, 201, 3), np.float32), rng.random((150, 201, 3), np.float32)
    for tile in (64, 0):
        assert np.array_equal(look.stylize(plate, guide=guide, tile=tile).rgb, plate * guide)
    with pytest.raises(ImageError, match="needs a guide image"):
        look.stylize(plate)
    with pytest.raises(ImageError, match=r"the guide is \(150, 200, 3\), but \(150, 201, 3\) is needed"):
        look.stylize(plate, guide=guide[:, 1:])
    with pytest.raises(ImageError, match="takes no guide"):
        Look.load(lookfactory.gain(tmp_path / "p.onnx"), device="cpu").stylize(plate, guide=guide)


@pytest.mark.slow
def test_a_look_with_a_guide_renders_and_notices_another_one(tmp_path: Path, plate: Plate) -> None:
    look, out = lookfactory.guided(tmp_path / "g.onnx"), outputs(tmp_path / "out")
    files = guide_images(tmp_path, "points", [1001])
    guides = made(files, plate)
    render(look, plate, out, ON_CPU, work=tmp_path)
    for frame in FRAMES:
        expected = np.float32(np.float16(images.read(plate.path.path(frame)).rgb * guides[frame]))
        assert np.array_equal(images.read(out.path(frame)).rgb, expected)
    facts = images.read_provenance(out.path(2))
    assert facts["guide"] == files.sha256(2, facts["plate"]) and "denoised" not in facts
    verify(look, FRAMES, out, ON_CPU, plate=plate, work=tmp_path)
    again = render(look, plate, out, ON_CPU, work=tmp_path)
    assert (again.done, sorted(again.skipped)) == ([], [1, 2, 3])
    made(files, Plate(plate.path, FrameRange((2,)), plate.colorspace), seed=7)
    with pytest.raises(VerifyError, match="foreign 2 "):
        verify(look, FRAMES, out, ON_CPU, plate=plate, work=tmp_path)
    assert render(look, plate, out, ON_CPU, work=tmp_path).done == [2]
    # Without STMaps, but with its guide: the same pixels here, where there are no STMaps.
    kept = digests(out, FRAMES)
    report = render(look, plate, out, ON_CPU, work=None, prepared=tmp_path, workers=2)
    assert (report.done, digests(out, FRAMES)) == ([], kept)


def test_missing_and_stale_guides_name_frame_path_and_remedy(tmp_path: Path, plate: Plate) -> None:
    look, out = lookfactory.guided(tmp_path / "g.onnx"), outputs(tmp_path / "out")
    with pytest.raises(InputError, match=r"the look needs guide images, and no folder .*--work"):
        render(look, plate, out, ON_CPU)
    files = guide_images(tmp_path, "points", [1001])
    made(files, plate)
    files.path(1).unlink()
    images.write(plate.path.path(3), np.zeros((60, 91, 3), np.float32))
    with pytest.raises(FrameFailures) as caught:
        render(look, plate, out, ON_CPU, work=tmp_path)
    failed, remedy = caught.value.failures, "run paintover prepare --guides points --keyframe 1001"
    assert sorted(failed) == [1, 3] and caught.value.exit_code == 2
    assert failed[1].startswith(f"frame 1: the guide image is missing ({files.path(1)}); {remedy}")
    assert failed[3].startswith(
        f"frame 3: the guide image is stale: the plate's frame has changed since ({files.path(3)})"
    )
    assert out.path(2).is_file()


def test_a_denoised_frame_stands_for_the_plate(tmp_path: Path, plate: Plate) -> None:
    look, out = lookfactory.gain(tmp_path / "l.onnx", 2.0), outputs(tmp_path / "out")
    frames = made(denoised_frames(tmp_path, plate.path, "aware"), plate, scale=40.0)
    aware = RenderSettings(device="cpu", denoise="aware")
    render(look, plate, out, aware, work=tmp_path)
    for frame in FRAMES:
        assert np.array_equal(images.read(out.path(frame)).rgb, np.float32(np.float16(2 * frames[frame])))
    verify(look, FRAMES, out, aware, plate=plate, work=tmp_path)
    with pytest.raises(VerifyError, match="foreign 1-3"):
        verify(look, FRAMES, out, ON_CPU, plate=plate, work=tmp_path)
    assert sorted(render(look, plate, out, ON_CPU, work=tmp_path).done) == [1, 2, 3]
    published = RenderSettings(device="cpu", denoise="published")
    with pytest.raises(FrameFailures, match='"denoised aware", but "denoised published" is needed'):
        render(look, plate, out, published, work=tmp_path)
    with pytest.raises(InputError, match="no way to denoise is called 'hard'"):
        RenderSettings(denoise="hard")


def test_a_look_trained_on_denoised_frames_asks_for_them_itself(tmp_path: Path, plate: Plate) -> None:
    look, out = lookfactory.gain(tmp_path / "l.onnx", 2.0, denoise="aware"), outputs(tmp_path / "out")
    with pytest.raises(InputError, match="the look needs denoised frames, and no folder"):
        render(look, plate, out, ON_CPU)
    made(denoised_frames(tmp_path, plate.path, "aware"), plate)
    report = render(look, plate, out, ON_CPU, work=tmp_path)
    said = RenderSettings(device="cpu", denoise="aware")
    # Saying what the look says anyway is no other setting.
    assert sorted(render(look, plate, out, said, work=tmp_path).skipped) == [1, 2, 3]
    verify(look, FRAMES, out, said, plate=plate, work=tmp_path)
    assert report.settings_hash == images.read_provenance(out.path(1))["settings"]
    assert "denoised" in images.read_provenance(out.path(1))


def test_settings_and_jobs_without_them_are_as_they_were(tmp_path: Path, plate: Plate) -> None:
    known = "8153772e"
    assert RenderSettings().hash(plate_colorspace=None, config="c") != RenderSettings(denoise="aware").hash(
        plate_colorspace=None, config="c"
    )
    assert RenderSettings().hash(plate_colorspace=None, config="c").startswith(known)
    job = RenderJob(
        tmp_path / "l.onnx", "0", plate, outputs(tmp_path), RenderSettings(denoise="aware"), "h", None, False, tmp_path
    )
    assert RenderJob.from_json(job.to_json()) == job
