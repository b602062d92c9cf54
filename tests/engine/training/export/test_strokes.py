"""Looks whose exemplars enter the network: sure where the plate proves it, as sharp as it, in its light, in tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")

from engine.base.errors import InputError, LookError
from engine.color import shaper
from engine.look.card import open_look
from engine.look.session import Look, Styled
from engine.training.model.carry import StoredExemplar
from engine.training.model.network import Architecture, Translator
from tests.support.networks import lively, stored, write
from tests.support.procedural import TINY, painting_of, plate
from tests.support.stmaps import TILE_TOLERANCE, identity_map, sampled, stmap


def fine(height: int, width: int, seed: int) -> np.ndarray:
    """Values 0.1..0.9, each pixel its own: the finest detail there is."""
    grain = np.random.default_rng(seed).uniform(0.1, 0.9, (height, width, 1))
    return np.repeat(grain.astype(np.float32), 3, axis=2)


def plates(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame, and a keyframe's plate whose finest detail is the frame's at the left and less and less to the right."""
    scene = 0.5 * plate(height, width) + 0.3 * fine(height, width, 1)
    ramp = np.linspace(-0.5, 1.5, width, dtype=np.float32).clip(0, 1)[None, :, None]
    return scene, scene + 0.3 * ramp * (fine(height, width, 2) - fine(height, width, 1))


@pytest.mark.parametrize("crisp", [False, True])
def test_tiles_of_a_frame_whose_exemplar_enters_the_network_equal_the_whole_frame(tmp_path: Path, crisp: bool) -> None:
    net = lively(Architecture(TINY.width, TINY.blocks, crisp=crisp))
    with torch.no_grad():
        net.strokes.head.bias[12:] = 2
    pixels, key = plates(131, 145)
    # Out of focus in a strip, which ends between tiles and within them.
    pixels[40:90, 50:100] = 0.3
    exemplar = StoredExemplar(fine(131, 145, 3), np.ones((131, 145), np.float32), key)
    look = write(tmp_path / "ours.onnx", net, [exemplar])
    uv = identity_map(131, 145) + np.array([0.5 / 145, 0.3 / 131], np.float32)
    ramp = np.broadcast_to(np.linspace(0, 1, 131, dtype=np.float32)[:, None], (131, 145))[..., None]
    maps = np.concatenate([uv, ramp], 2)
    whole, tiled = (look.stylize(pixels, stmap=maps, tile=tile) for tile in (0, 64))
    assert 0.1 < whole.carried.max() <= 1
    assert np.abs(shaper.encode(whole.rgb) - shaper.encode(tiled.rgb)).max() <= TILE_TOLERANCE
    assert np.abs(whole.carried - tiled.carried).max() <= TILE_TOLERANCE
    # The test can fail: cells that start elsewhere show.
    moved = look.stylize(pixels[3:], stmap=maps[3:], tile=0)
    assert np.abs(whole.carried[40:] - moved.carried[37:]).max() > TILE_TOLERANCE


def shown(
    folder: Path,
    exemplars: list[StoredExemplar],
    pixels: np.ndarray,
    maps: np.ndarray,
    crisp: bool,
    softness: float = 0.0,
) -> Styled:
    """By a network without training, which shows what is carried as it is."""
    net = Translator(Architecture(TINY.width, TINY.blocks, crisp=crisp)).eval()
    with torch.no_grad():
        net.skip.weight.zero_()
    look = write(folder / f"{crisp}.onnx", net, exemplars)
    if softness:
        look = Look.load(look.path, softness=softness)
    unsure = maps.copy()
    unsure[..., 2::3] = 0
    assert not look.stylize(pixels, stmap=unsure).carried.any()
    return look.stylize(pixels, stmap=maps)


def detail_of(rgb: np.ndarray, painting: np.ndarray) -> float:
    """How much of a painting's finest detail is left where it is shown, both encoded."""
    here, there = (np.diff(shaper.encode(image)[..., 0], axis=1) for image in (rgb, painting))
    return float((here * there).mean() / np.square(there).mean())


@pytest.mark.parametrize("light", [1.0, 0.5])
def test_strokes_are_shown_more_where_the_plate_proves_their_place(tmp_path: Path, light: float) -> None:
    scene, ones = plate(96, 240) * 0.5 + 0.3 * fine(96, 240, 1), np.ones((96, 240), np.float32)
    other = plate(96, 240) * 0.5 + 0.3 * fine(96, 240, 2)
    key = StoredExemplar(fine(96, 240, 3), ones, np.concatenate([scene[:, :120], other[:, 120:]], 1))
    maps = stmap((identity_map(96, 240), 0.9))
    found = shown(tmp_path, [key], light * scene, maps, False)
    crisp = shown(tmp_path, [key], light * scene, maps, True)
    proven, contradicted = np.s_[:, :96], np.s_[:, 144:]
    # Up to the border: share 0.9 and a trust of 0.88, as two witnesses, against their product of 0.79; in a cell
    # here and there chance looks a little like proof.
    assert found.carried[proven].min() > 0.94 and np.median(found.carried[contradicted]) < 0.81
    assert found.carried[contradicted].max() < 0.9
    np.testing.assert_array_equal(found.rgb[proven], crisp.rgb[proven])
    # A change of the light is a factor on the encoding.
    factor = light ** (1 / shaper.GAMMA)
    kept, less = (detail_of(found.rgb[part], key.painting[part]) / factor for part in (proven, contradicted))
    assert kept > 0.9 and 0.75 < less < 0.85, "as the gate"
    always = detail_of(crisp.rgb[contradicted], key.painting[contradicted]) / factor
    assert always > 0.9


@pytest.mark.parametrize("blurred", ["frame", "keyframe"])
def test_strokes_are_as_sharp_as_both_plates(tmp_path: Path, blurred: str) -> None:
    """The right half is out of focus, in the frame or in the keyframe: no detail of half a code. Softened if asked."""
    scene = plate(96, 240) * 0.5 + 0.3 * fine(96, 240, 1)
    smooth = np.concatenate([scene[:, :120], np.full((96, 120, 3), 0.3, np.float32)], 1)
    frame, keyframe = (smooth, scene) if blurred == "frame" else (scene, smooth)
    key = StoredExemplar(fine(96, 240, 3), np.ones((96, 240), np.float32), keyframe)
    maps = stmap((identity_map(96, 240), 1.0))
    found = shown(tmp_path, [key], frame, maps, False, softness=1.0)
    half, none = (shown(tmp_path, [key], frame, maps, False, softness=amount) for amount in (0.5, 0.0))
    crisp = shown(tmp_path, [key], frame, maps, True)
    sharp, soft = np.s_[:, :96], np.s_[:, 144:]
    assert detail_of(found.rgb[sharp], key.painting[sharp]) > 0.9
    # A gate of 0.88, and of what is a dot a seventh stays.
    assert detail_of(found.rgb[soft], key.painting[soft]) < 0.25
    assert 0.4 < detail_of(half.rgb[soft], key.painting[soft]) < 0.6
    assert detail_of(none.rgb[soft], key.painting[soft]) > 0.75
    assert detail_of(crisp.rgb[soft], key.painting[soft]) > 0.8
    np.testing.assert_allclose(found.rgb[sharp], none.rgb[sharp], atol=1e-6)


def test_a_look_that_is_always_crisp_cannot_be_softened(tmp_path: Path) -> None:
    net = Translator(Architecture(TINY.width, TINY.blocks, crisp=True)).eval()
    made = write(tmp_path / "crisp.onnx", net, [stored(painting_of(plate(60, 72)))])
    with pytest.raises(LookError, match=r"has no softness.*--crisp"):
        Look.load(made.path, softness=0.5)


@pytest.mark.parametrize("softness", [-0.1, 1.5, float("nan")])
def test_a_softness_is_a_share(tmp_path: Path, softness: float) -> None:
    made = write(tmp_path / "ours.onnx", lively(), [stored(painting_of(plate(60, 72)))])
    with pytest.raises(InputError, match="softness"):
        Look.load(made.path, softness=softness)


def test_a_track_that_is_a_pixel_off_is_trusted_less_though_it_is_sure(tmp_path: Path) -> None:
    scene, painting = plate(96, 120) * 0.5 + 0.3 * fine(96, 120, 1), fine(96, 120, 3)
    key = StoredExemplar(painting, np.ones((96, 120), np.float32), scene)
    aside = identity_map(96, 120) + np.array([1 / 120, 0], np.float32)
    exact = shown(tmp_path, [key], scene, stmap((identity_map(96, 120), 0.9)), False)
    off = shown(tmp_path, [key], scene, stmap((aside, 0.9)), False)
    assert exact.carried.min() > 0.94 and np.median(off.carried) < 0.81


def test_what_is_proven_is_proven_of_the_exemplar_that_is_shown(tmp_path: Path) -> None:
    """Of two: where the first is the surer its plate contradicts, where the second is it agrees."""
    scene, ones = plate(96, 240) * 0.5 + 0.3 * fine(96, 240, 1), np.ones((96, 240), np.float32)
    wrong = StoredExemplar(fine(96, 240, 3), ones, plate(96, 240) * 0.5 + 0.3 * fine(96, 240, 2))
    right = StoredExemplar(fine(96, 240, 4), ones, scene)
    maps = stmap((identity_map(96, 240), 0.9), (identity_map(96, 240), 0.2))
    maps[:, 120:, 2::3] = maps[:, 120:, 5::-3]
    found = shown(tmp_path, [wrong, right], scene, maps, False)
    assert np.median(found.carried[:, :96]) < 0.81 and found.carried[:, :96].max() < 0.9
    assert found.carried[:, 144:].min() > 0.94
    assert detail_of(found.rgb[:, :96], wrong.painting[:, :96]) < 0.85
    assert detail_of(found.rgb[:, 144:], right.painting[:, 144:]) > 0.9


def test_a_proof_survives_the_export_to_torchscript(tmp_path: Path) -> None:
    from engine.training.export.torchscript import build_module

    net = lively(Architecture(TINY.width, TINY.blocks))
    with torch.no_grad():
        net.strokes.head.bias[12:] = 2
    pixels, key = plates(64, 160)
    pixels[:, 60:100] = 0.3  # out of focus
    look = write(tmp_path / "ours.onnx", net, [StoredExemplar(fine(64, 160, 3), np.ones((64, 160), np.float32), key)])
    maps = stmap((identity_map(64, 160) + np.array([0.2 / 160, 0], np.float32), 0.9))
    wanted = look.stylize(pixels, stmap=maps, tile=0)
    assert wanted.carried[:, :40].mean() > 0.93 and wanted.carried[:, 120:].mean() < 0.82
    packed = np.concatenate([pixels, maps], 2).transpose(2, 0, 1)[None]
    with torch.no_grad():
        got = build_module(open_look(look.path))(torch.from_numpy(np.ascontiguousarray(packed))).numpy()[0]
    assert np.abs(shaper.encode(got[:3].transpose(1, 2, 0)) - shaper.encode(wanted.rgb)).max() <= 1e-4
    assert np.abs(got[3] - wanted.carried).max() <= 1e-4


@pytest.mark.parametrize("crisp", [False, True])
def test_detail_between_pixels_is_kept(tmp_path: Path, crisp: bool) -> None:
    """Half way between two pixels, where a bilinear sample is their mean."""
    painting = fine(96, 120, 5)
    scene = plate(96, 120) * 0.5 + 0.3 * fine(96, 120, 1)
    key = StoredExemplar(painting, np.ones((96, 120), np.float32), scene)
    moved = identity_map(96, 120) + np.array([0.5 / 120, 0], np.float32)
    found = shown(tmp_path, [key], scene, stmap((moved, 0.9)), crisp)
    bilinear = sampled(painting, moved)
    here = np.abs(np.diff(shaper.encode(found.rgb)[..., 0], axis=1)).mean()
    # A cubic filter alone: 1.3 times.
    assert here > 1.45 * found.carried.mean() * np.abs(np.diff(bilinear[..., 0], axis=1)).mean()


def test_a_crisp_look_whose_witnesses_contradict_passes_its_check(tmp_path: Path) -> None:
    net = lively(Architecture(TINY.width, TINY.blocks, crisp=True))
    with torch.no_grad():
        net.strokes.head.bias[12:] = -30  # sure of nothing, where the share is 1
    made = write(tmp_path / "sure.onnx", net, [stored(painting_of(plate(60, 72)))])
    found = made.stylize(plate(60, 72), stmap=stmap((identity_map(60, 72), 1.0)))
    assert found.carried.max() < 0.01


def test_a_carried_painting_follows_the_light(tmp_path: Path) -> None:
    net = Translator(Architecture(TINY.width, TINY.blocks)).eval()
    with torch.no_grad():
        net.strokes.head.bias[12:] = 30  # the exemplar alone
    scene = plate(96, 120)
    painting = painting_of(scene)
    look = write(tmp_path / "light.onnx", net, [StoredExemplar(painting, np.ones((96, 120), np.float32), scene)])
    maps = stmap((identity_map(96, 120), 1.0))
    same = look.stylize(scene, stmap=maps).rgb
    np.testing.assert_allclose(shaper.encode(same), shaper.encode(painting), atol=2e-3)
    darker = look.stylize(0.5 * scene, stmap=maps).rgb
    # A stop down, as the plate; the smallest values less exactly, since the change is measured with a floor.
    lit = (painting > 0.05).all(axis=2)
    np.testing.assert_allclose(np.median(darker[lit] / painting[lit]), 0.5, atol=0.06)
