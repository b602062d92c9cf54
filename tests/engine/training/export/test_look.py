"""Looks as files: the network's own answer, any size and tile, STMaps after Nuke's convention, nothing foreign."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.support import SHARED

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine import images
from engine.base.errors import ExportError
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.look.card import CARD_KEY, open_look
from engine.look.graph_check import MAX_IR, MAX_OPSET
from engine.look.session import Look
from engine.training.export.look import TOLERANCE, LookModule, build_look, check_look, reference, write_look
from engine.training.export.trace import Symbol
from engine.training.job.job import Settings
from engine.training.model.carry import SHARPNESS, Carried
from engine.training.model.network import Architecture, Translator
from engine.training.model.texler import GeneratorJ
from engine.training.train import train
from tests.support.graphs import renamed
from tests.support.networks import blended, card, lively, shake, stored, write
from tests.support.procedural import TINY, ProceduralShot, hdr_plate, painting_of, plate
from tests.support.stmaps import TILE_TOLERANCE, identity_map, sampled, stmap

LYNX = SHARED / "shots" / "lynx" / "plate.0005.jpg"

LIMIT = shaper.encode(np.array(shaper.LIMIT, np.float32))
"""The largest half float, where a look holds its result."""

TILES = (64, 128, 200, 512)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """A tiny network after real steps of training."""
    shot = ProceduralShot.write(tmp_path_factory.mktemp("trained"))
    done = train(shot.job(steps=30), lambda event: None, settings=TINY)
    assert done.check_error <= 1e-4
    return Look.load(done.look, device="cpu", threads=1)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """The network of the default size, untrained."""
    architecture = Architecture(Settings().width, Settings().blocks)
    return write(tmp_path_factory.mktemp("wide") / "wide.onnx", lively(architecture))


# Against torch


@pytest.mark.parametrize("size", [(37, 53), (64, 64), (17, 3), (1, 1)])
@pytest.mark.parametrize("make", [lively, lambda: shake(GeneratorJ(1))], ids=["ours", "published"])
def test_a_look_equals_its_network_on_hdr_noise(make: object, size: tuple[int, int], tmp_path: Path) -> None:
    net = make()  # type: ignore[operator]
    look = write(tmp_path / "look.onnx", net)
    pixels = hdr_plate(*size, seed=4)
    found = look.stylize(pixels, tile=0)
    expected = np.clip(reference(net, pixels), -LIMIT, LIMIT)
    # Compared in the working encoding; float32 in both, some thousand terms a sum.
    assert np.abs(shaper.encode(found.rgb) - expected).max() <= 1e-4 * max(1.0, float(np.abs(expected).max()))
    assert not found.carried.any()


@pytest.mark.slow
@pytest.mark.skipif(not LYNX.is_file(), reason="needs ../shared/shots/lynx (real footage)")
def test_a_look_equals_its_network_on_a_real_frame(wide: Look) -> None:
    config = ColorConfig.active()
    pixels = config.to_working(images.read(LYNX).rgb, config.resolve("sRGB - Texture"))
    net = lively(Architecture(Settings().width, Settings().blocks))
    found = shaper.encode(wide.stylize(pixels, tile=0).rgb)
    difference = float(np.abs(found - reference(net, pixels)).max())
    assert difference <= TOLERANCE
    assert np.abs(found - shaper.encode(pixels)).mean() > 0.1


def test_a_look_that_differs_is_not_written(tmp_path: Path) -> None:
    class Crooked(Translator):
        def translate(
            self, x: torch.Tensor, arrived: Carried, guide: torch.Tensor | None = None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            y, gate = super().translate(x, arrived, guide)
            return (y + 2e-3 if isinstance(x, Symbol) else y), gate

    net = Crooked(Architecture(TINY.width, TINY.blocks)).eval()
    exemplars = [stored(painting_of(plate(24, 32)))]
    path = tmp_path / "look.onnx"
    path.write_bytes(b"the look from before")
    with pytest.raises(ExportError, match=r"differs from the trained network by 0\.002") as caught:
        write_look(path, net, exemplars, card(exemplars), plate(24, 32))
    assert caught.value.exit_code == 1
    assert path.read_bytes() == b"the look from before"
    assert [p.name for p in tmp_path.iterdir()] == ["look.onnx"]


def test_a_clipped_highlight_that_the_network_overshoots_is_no_difference(tmp_path: Path) -> None:
    net = Translator(Architecture(TINY.width, TINY.blocks)).eval()
    with torch.no_grad():
        net.skip.weight.mul_(1.05)
    pixels = plate(24, 32)
    pixels[5:9, 5:9] = 65504.0
    exemplars = [stored(painting_of(plate(24, 32)))]
    assert write_look(tmp_path / "look.onnx", net, exemplars, card(exemplars), pixels) <= 1e-4


def test_a_network_of_nan_is_not_written(tmp_path: Path) -> None:
    net = lively()
    with torch.no_grad():
        net.skip.bias[0] = float("nan")
    exemplars = [stored(painting_of(plate(24, 32)))]
    with pytest.raises(ExportError):
        write_look(tmp_path / "look.onnx", net, exemplars, card(exemplars), plate(24, 32))
    assert list(tmp_path.iterdir()) == []


# The file


def test_a_look_is_one_plain_file_that_older_hosts_load(trained: Look) -> None:
    data = trained.path.read_bytes()
    model = onnx.load_model_from_string(data)
    assert {o.domain: o.version for o in model.opset_import}.keys() == {""}
    assert model.opset_import[0].version <= min(MAX_OPSET, 21) and model.ir_version <= min(MAX_IR, 10)
    assert not any(t.external_data for t in model.graph.initializer)
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
    assert [p.name for p in trained.path.parent.iterdir() if "look" in p.name] == ["look.onnx"]


def test_a_look_names_no_folder(trained: Look) -> None:
    data = trained.path.read_bytes()
    for folder in (trained.path.parent, trained.path.parents[1], Path.home(), Path(__file__).parent):
        assert str(folder).encode() not in data
        assert len(folder.name) < 6 or folder.name.encode() not in data
    assert b"plate.%04d" not in data and b"painted.0000" not in data


def test_the_card_tells_facts_and_signs_the_weights(trained: Look) -> None:
    facts = trained.card
    assert (facts.halo, facts.multiple, facts.guide_channels) == (40, 8, 0)
    assert (facts.trained.steps, facts.trained.seed, facts.trained.seconds) == (30, 7, 0.0)
    assert (facts.keyframes[0].frame, facts.keyframes[0].width, facts.keyframes[0].height) == (0, 96, 72)
    model = onnx.load_model_from_string(trained.path.read_bytes())
    text = json.loads(next(p.value for p in model.metadata_props if p.key == CARD_KEY))
    assert len(text["weights_sha256"]) == 64
    assert open_look(trained.path).card == facts


def test_a_look_is_of_the_opset_that_cuda_kernels_know(trained: Look) -> None:
    model = onnx.load_model_from_string(trained.path.read_bytes())
    assert (model.opset_import[0].version, model.ir_version) == (18, 9)
    sampling = [node for node in model.graph.node if node.op_type == "GridSample"]
    assert [onnx.helper.get_node_attr_value(node, "mode") for node in sampling] == [b"bicubic"]


@pytest.mark.parametrize("make", [lively, blended], ids=["ours", "published"])
def test_looks_of_opset_20_load_render_and_become_torchscript(make: object, tmp_path: Path) -> None:
    """As they were written before."""
    from engine.training.export.torchscript import build_module

    new = write(tmp_path / "new.onnx", make(), [stored(painting_of(plate(24, 32)))])  # type: ignore[operator]
    onnx.save(renamed(onnx.load(new.path), 20), tmp_path / "old.onnx")
    old = Look.load(tmp_path / "old.onnx", device="cpu", threads=1)
    pixels, maps = plate(31, 47), stmap((identity_map(31, 47) + np.float32(0.01), 0.7))
    found, expected = (each.stylize(pixels, stmap=maps, tile=0) for each in (old, new))
    # onnxruntime simplifies an opset that it knows better further: other sums of float32.
    assert np.abs(shaper.encode(found.rgb) - shaper.encode(expected.rgb)).max() <= 1e-5
    assert np.abs(found.carried - expected.carried).max() <= 1e-5 and found.carried.any()
    packed = torch.from_numpy(np.concatenate([pixels, maps], 2).transpose(2, 0, 1)[None].copy())
    with torch.no_grad():
        first, second = (build_module(open_look(tmp_path / f"{name}.onnx"))(packed) for name in ("old", "new"))
    assert torch.equal(first, second)


def test_a_look_in_torch_is_the_look(tmp_path: Path) -> None:
    """All of it, from scene-linear light to scene-linear light."""
    exemplars = [stored(painting_of(plate(24, 32)))]
    net = lively()
    look = write(tmp_path / "look.onnx", net, exemplars)
    pixels, maps = hdr_plate(31, 47, seed=3), stmap((identity_map(31, 47) + np.float32(0.01), 0.7))
    with torch.no_grad():
        whole = LookModule(net, [each.encoded for each in exemplars])
        rgb, carried = whole(*(torch.from_numpy(x.transpose(2, 0, 1)[None].copy()) for x in (pixels, maps)))
    found = look.stylize(pixels, stmap=maps, tile=0)
    wanted = shaper.encode(rgb[0].permute(1, 2, 0).numpy())
    assert np.abs(shaper.encode(found.rgb) - wanted).max() <= 1e-4
    assert np.abs(found.carried - carried[0, 0].numpy()).max() <= 1e-4 and found.carried.std() > 0.01


def test_a_full_painting_costs_no_nodes_for_its_coverage() -> None:
    full, partial = (stored(painting_of(plate(24, 32)), np.full((24, 32), share, np.float32)) for share in (1.0, 0.5))
    nodes = [len(build_look(lively(), [each], card([each])).graph.node) for each in (full, partial)]
    # A division by the coverage, held from below; its product with the confidence, held in 0..1; and itself.
    assert nodes[1] - nodes[0] == 5


def test_the_largest_look_is_written_in_less_than_a_second() -> None:
    exemplar = stored(painting_of(plate(540, 960)))
    net = lively(Architecture(Settings().width, Settings().blocks))
    # By the processor's clock: how long it waits for its turn is the machine's affair.
    before = time.process_time()
    build_look(net, [exemplar], card([exemplar]))
    assert time.process_time() - before < 1


def test_the_same_network_gives_the_same_bytes() -> None:
    exemplars = [stored(painting_of(plate(24, 32)))]
    first, second = (build_look(lively(), exemplars, card(exemplars)).SerializeToString() for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_the_check_looks_at_the_middle_of_large_frames() -> None:
    exemplars = [stored(painting_of(plate(24, 32)))]
    net = lively()
    model = build_look(net, exemplars, card(exemplars)).SerializeToString()
    large = np.broadcast_to(plate(1, 1500), (1100, 1500, 3))
    assert check_look(model, net, np.ascontiguousarray(large), exemplars) <= 1e-4


# Tiles


def worst_tile_difference(look: Look, pixels: np.ndarray, tiles: tuple[int, ...] = TILES) -> float:
    whole = shaper.encode(look.stylize(pixels, tile=0).rgb)
    assert np.isfinite(whole).all()
    return max(float(np.abs(shaper.encode(look.stylize(pixels, tile=t).rgb) - whole).max()) for t in tiles)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(541, 959), (17, 3), (3, 17), (1, 1), (65, 66)])
def test_tiles_of_a_trained_look_equal_the_whole_frame(trained: Look, size: tuple[int, int]) -> None:
    assert worst_tile_difference(trained, plate(*size, seed=1)) <= TILE_TOLERANCE


def test_tiles_of_hdr_and_negative_values_equal_the_whole_frame(trained: Look) -> None:
    pixels = hdr_plate(150, 203, seed=2)
    assert pixels.min() < -0.4 and pixels.max() > 50
    assert worst_tile_difference(trained, pixels, (64, 100)) <= TILE_TOLERANCE


@pytest.mark.parametrize("size", [(17, 3), (1, 1), (150, 203)])
def test_tiles_of_the_default_network_equal_the_whole_frame(wide: Look, size: tuple[int, int]) -> None:
    assert worst_tile_difference(wide, plate(*size, seed=1), (64, 72, 100, 128)) <= TILE_TOLERANCE


@pytest.mark.slow
def test_tiles_of_the_default_network_equal_the_whole_frame_at_959x541(wide: Look) -> None:
    assert worst_tile_difference(wide, plate(541, 959, seed=1)) <= TILE_TOLERANCE


def test_a_halo_that_is_too_short_would_show(wide: Look) -> None:
    from dataclasses import replace

    honest = wide.card
    wide.card = replace(honest, halo=12)
    try:
        assert worst_tile_difference(wide, plate(150, 203, seed=1), (64,)) > TILE_TOLERANCE
    finally:
        wide.card = honest


# STMaps


EXEMPLARS = [hdr_plate(24, 32, seed=8), hdr_plate(20, 45, seed=9)]
"""Of different sizes, as keyframes may be."""


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Look:
    return write(tmp_path_factory.mktemp("one") / "one.onnx", blended(), [stored(EXEMPLARS[0])])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Look:
    return write(tmp_path_factory.mktemp("two") / "two.onnx", blended(), [stored(e) for e in EXEMPLARS])


def test_what_is_not_painted_is_not_carried(tmp_path: Path) -> None:
    painting = painting_of(plate(24, 32))
    coverage = np.zeros((24, 32), np.float32)
    coverage[:, 8:24] = 1
    coverage[:, 24:28] = 0.5
    look = write(tmp_path / "partial.onnx", blended(), [stored(painting * (coverage[..., None] > 0), coverage)])
    plain = look.stylize(plate(24, 32)).rgb
    styled = look.stylize(plate(24, 32), stmap=stmap((identity_map(24, 32), 1.0)))
    np.testing.assert_allclose(styled.carried, coverage, atol=1e-3)
    np.testing.assert_array_equal(styled.rgb[:, :8], plain[:, :8])
    carried = shaper.encode(styled.rgb[:, 8:24])
    np.testing.assert_allclose(carried, shaper.encode(painting[:, 8:24]), atol=2e-3)
    # Half covered: half way between the plain result and the painting, not darkened by the unpainted side.
    between = (shaper.encode(plain[:, 24:28]) + shaper.encode(painting[:, 24:28])) / 2
    np.testing.assert_allclose(shaper.encode(styled.rgb[:, 24:28]), between, atol=2e-3)


def test_a_sure_identity_map_returns_the_exemplar(one: Look) -> None:
    styled = one.stylize(plate(24, 32), stmap=stmap((identity_map(24, 32), 1.0)))
    assert (styled.carried == 1).all()
    # Exemplars are stored as half floats of the working encoding, whose values here stay under 4: half a unit in
    # the last place is 2^-10.
    assert np.abs(shaper.encode(styled.rgb) - shaper.encode(EXEMPLARS[0])).max() <= 2**-10 + 1e-5
    below_one = np.abs(EXEMPLARS[0]) < 1
    assert np.abs(shaper.encode(styled.rgb) - shaper.encode(EXEMPLARS[0]))[below_one].max() <= 2**-12 + 1e-5


def test_two_maps_address_their_own_exemplars(two: Look) -> None:
    uv = identity_map(20, 45)
    pixels = plate(20, 45)
    first = two.stylize(pixels, stmap=stmap((uv, 1.0), (uv, 0.0)))
    second = two.stylize(pixels, stmap=stmap((uv, 0.0), (uv, 1.0)))
    both = two.stylize(pixels, stmap=stmap((uv, 0.5), (uv, 0.25)))
    references = [sampled(exemplar, uv) for exemplar in EXEMPLARS]
    assert np.abs(shaper.encode(first.rgb) - references[0]).max() <= 1e-4
    assert np.abs(shaper.encode(second.rgb) - references[1]).max() <= 1e-4
    assert (first.carried == 1).all() and (second.carried == 1).all()
    # The surer one all but takes the pixel.
    plain = shaper.encode(two.stylize(pixels).rgb)
    weight = 0.25 * np.exp(-SHARPNESS * 0.25) / (0.5 + 0.25 * np.exp(-SHARPNESS * 0.25))
    merged, share = references[0] + weight * (references[1] - references[0]), 0.5 - 0.25 * weight
    assert weight < 0.005
    assert np.abs(shaper.encode(both.rgb) - (share * merged + (1 - share) * plain)).max() <= 1e-4
    assert both.carried == pytest.approx(share)


def test_maps_are_sampled_between_pixels_after_nukes_convention(one: Look) -> None:
    rng = np.random.default_rng(0)
    uv = (rng.random((31, 47, 2)) * 1.2 - 0.1).astype(np.float32)  # beyond the exemplar's border too
    styled = one.stylize(plate(31, 47), stmap=stmap((uv, 1.0)))
    # float32 coordinates of a 32-pixel exemplar: 1e-6 of a pixel, times slopes up to 3 a pixel.
    assert np.abs(shaper.encode(styled.rgb) - sampled(EXEMPLARS[0], uv)).max() <= 1e-4


def test_v_points_up(one: Look) -> None:
    uv = identity_map(24, 32)
    uv[..., 1] = 1 - uv[..., 1]
    styled = one.stylize(plate(24, 32), stmap=stmap((uv, 1.0)))
    assert np.abs(shaper.encode(styled.rgb) - shaper.encode(EXEMPLARS[0][::-1])).max() <= 2**-10 + 1e-5


@pytest.mark.parametrize("confidence", [0.0, 0.25, 0.7])
def test_confidence_blends_in_the_working_encoding(one: Look, confidence: float) -> None:
    pixels, uv = plate(24, 32), identity_map(24, 32)
    plain = shaper.encode(one.stylize(pixels).rgb)
    styled = one.stylize(pixels, stmap=stmap((uv, confidence)))
    expected = (1 - confidence) * plain + confidence * sampled(EXEMPLARS[0], uv)
    assert np.abs(shaper.encode(styled.rgb) - expected).max() <= 1e-4
    assert styled.carried == pytest.approx(confidence, abs=1e-6)


def test_confidence_is_held_in_its_range(one: Look) -> None:
    pixels, uv = plate(24, 32), identity_map(24, 32)
    over = one.infer(pixels, stmap=stmap((uv, 1.7)))
    under = one.infer(pixels, stmap=stmap((uv, -3.0)))
    assert (over.carried == 1).all() and (under.carried == 0).all()
    np.testing.assert_array_equal(over.rgb, one.stylize(pixels, stmap=stmap((uv, 1.0))).rgb)
    np.testing.assert_array_equal(under.rgb, one.stylize(pixels).rgb)


@pytest.mark.slow
def test_tiles_of_a_carried_frame_equal_the_whole_frame(two: Look) -> None:
    pixels, uv = plate(131, 145), identity_map(131, 145)
    ramp = np.broadcast_to(np.linspace(0, 1, 145, dtype=np.float32), (131, 145))[..., None]
    maps = np.concatenate([uv, ramp, uv, 0.5 * ramp], 2)
    whole, tiled = (two.stylize(pixels, stmap=maps, tile=tile) for tile in (0, 64))
    assert whole.carried.max() > 0.9
    assert np.abs(shaper.encode(whole.rgb) - shaper.encode(tiled.rgb)).max() <= TILE_TOLERANCE
    np.testing.assert_array_equal(whole.carried, tiled.carried)


def test_a_batch_is_each_of_its_frames(two: Look) -> None:
    session = onnxruntime.InferenceSession(two.path.read_bytes(), providers=["CPUExecutionProvider"])
    pixels = np.stack([plate(30, 22, seed=s).transpose(2, 0, 1) for s in (1, 2)])
    maps = np.random.default_rng(0).random((2, 6, 30, 22)).astype(np.float32)
    styled, carried = session.run(["styled", "carried"], {"plate": pixels, "stmap": maps})
    for i in range(2):
        alone = session.run(None, {"plate": pixels[i : i + 1], "stmap": maps[i : i + 1]})
        np.testing.assert_allclose(styled[i], alone[0][0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(carried[i], alone[1][0], rtol=0, atol=1e-6)
