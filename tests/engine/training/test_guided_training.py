"""Training with guide images and denoised frames: what the network sees, what the look says, what is missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine import images
from engine.base.errors import ImageError, InputError
from engine.base.frames import FrameRange, SequencePath
from engine.look.card import open_look
from engine.look.session import Look
from engine.preparation.denoise import DenoiseSettings
from engine.preparation.denoise_files import prepare_denoised
from engine.preparation.guide_files import prepare_guides
from engine.preparation.prepared_files import denoised_frames
from engine.rendering.render import RenderSettings, render
from engine.shot.shot import Plate
from engine.training.export.look import write_look
from engine.training.job.job import TrainingJob
from engine.training.model.network import Architecture
from engine.training.train import train
from tests.support.networks import card, lively, stored
from tests.support.pairs import make_pair, sampler
from tests.support.procedural import TINY, ProceduralShot, plate


@pytest.fixture
def shot(tmp_path: Path) -> ProceduralShot:
    return ProceduralShot.write(tmp_path)


def plate_of(job: TrainingJob) -> Plate:
    return Plate(SequencePath.parse(job.plate), FrameRange.parse(job.frames), job.plate_colorspace)


def test_a_guided_look_equals_its_network_in_tiles_too(tmp_path: Path) -> None:
    net = lively(Architecture(TINY.width, TINY.blocks, guide_channels=3))
    pixels, rng = plate(150, 203), np.random.default_rng(0)
    guide = rng.random((150, 203, 3), np.float32)
    exemplars = [stored(plate(24, 32))]
    path = tmp_path / "look.onnx"
    assert write_look(path, net, exemplars, {**card(exemplars), "guide_kind": "points"}, pixels, guide) <= 1e-4
    facts = open_look(path).card
    assert (facts.guide_channels, facts.guide_kind, facts.denoise) == (3, "points", None)
    look = Look.load(path, device="cpu", threads=2)
    whole = look.stylize(pixels, guide=guide, tile=0).rgb
    assert np.abs(whole - look.stylize(pixels, guide=guide, tile=64).rgb).max() < 1e-3
    # The guide has a say everywhere, and only its own tile's part of it.
    assert np.abs(whole - look.stylize(pixels, guide=1 - guide, tile=0).rgb).mean() > 1e-3


def test_a_network_without_a_guide_has_the_weights_that_it_had() -> None:
    plain, guided = (lively(Architecture(TINY.width, TINY.blocks, guide_channels=n)) for n in (0, 3))
    assert plain.stem.conv.weight.shape[1] == 12 and guided.stem.conv.weight.shape[1] == 24
    assert plain.strokes.stem.conv.weight.shape[1] == 40 and guided.strokes.stem.conv.weight.shape[1] == 52
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(guided(x), guided(x, None, torch.zeros(1, 3, 64, 64)))


def test_crops_of_the_guide_are_crops_of_its_plate() -> None:
    pair = make_pair(150, 230)
    marked = torch.cat([pair.plate, pair.plate]).clone()
    drawing = sampler([dataclasses.replace(pair, guide=marked)])
    batch, places = drawing.draw()
    assert batch.guide.shape == (4, 6, TINY.crop, TINY.crop) and len(places) == 4
    assert torch.equal(batch.guide[:, :3], batch.plate) and torch.equal(batch.guide[:, 3:], batch.plate)
    assert sampler([pair]).next().guide is None


def test_a_look_is_trained_and_rendered_with_its_guide(tmp_path: Path, shot: ProceduralShot) -> None:
    job = replace(shot.job(steps=6), guides="points")
    keys = [keyframe.frame for keyframe in job.keyframes]
    with pytest.raises(ImageError, match=r"the guide image is missing .*run paintover prepare --guides points"):
        train(job, lambda event: None, settings=TINY)
    prepare_guides(plate_of(job), keys, job.work, "points")
    done = train(job, lambda event: None, settings=TINY)
    assert done.check_error < 1e-4
    assert (open_look(done.look).card.guide_kind, open_look(done.look).card.guide_channels) == ("points", 3)
    report = render(
        done.look,
        plate_of(job),
        SequencePath.parse(tmp_path / "o" / "o.%04d.exr"),
        RenderSettings(device="cpu"),
        work=job.work,
    )
    assert len(report.done) == len(plate_of(job).frames)
    again = train(job, lambda event: None, settings=TINY)
    assert again.look.read_bytes() == done.look.read_bytes()
    with pytest.raises(ImageError, match=r'"guide points of .*", but "guide grid of .*" is needed'):
        train(replace(job, guides="grid"), lambda event: None, settings=TINY)


def test_a_look_is_trained_on_denoised_frames(shot: ProceduralShot) -> None:
    job = replace(shot.job(steps=4), denoise="aware")
    with pytest.raises(ImageError, match=r"the denoised frame is missing .*run paintover prepare --denoise aware"):
        train(job, lambda event: None, settings=TINY)
    source = plate_of(job)
    prepare_denoised(source, job.work, "aware", settings=DenoiseSettings(range=1))
    files = denoised_frames(job.work, source.path, "aware")
    for frame in source.frames:
        facts = images.read_provenance(files.path(frame))
        dark = 0.5 * images.read(files.path(frame)).rgb
        files.write(frame, dark, plate_sha256=facts["plate"], digest=facts["derived"])
    plain = train(replace(job, denoise=None), lambda event: None, settings=TINY)
    usual = plain.look.read_bytes()
    done = train(job, lambda event: None, settings=TINY)
    assert open_look(done.look).card.denoise == "aware"
    assert done.look.read_bytes() != usual and done.check_error < 1e-4


def test_what_a_job_refuses(shot: ProceduralShot) -> None:
    job = shot.job(steps=4)
    with pytest.raises(InputError, match="'dots' is unknown; use gaussian, points, grid"):
        replace(job, guides="dots")
    with pytest.raises(InputError, match="the recipe texler2020 takes no guide"):
        replace(job, guides="points", recipe="texler2020")
