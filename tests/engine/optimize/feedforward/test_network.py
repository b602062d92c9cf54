"""Network of style looks: how it begins, its folded norms, and that the exported look is it in tiles of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine.color import shaper
from engine.look.card import open_look
from engine.look.session import Look
from engine.optimize.feedforward.network import StyleTranslator
from engine.training.export.look import write_look
from engine.training.export.torchscript import build_module, differences
from engine.training.model.network import Architecture
from tests.support.networks import shake
from tests.support.procedural import hdr_plate
from tests.support.style_looks import style_card

SMALL = Architecture(width=16, blocks=2)


def network(*, lightness: bool = False) -> StyleTranslator:
    torch.manual_seed(0)
    return StyleTranslator(SMALL, lightness=lightness)


def test_it_begins_with_a_linear_map_of_colors() -> None:
    net, x = network().eval(), torch.rand(1, 3, 32, 40)
    assert torch.allclose(net(x), x, atol=1e-6)
    turn = np.array([[0.5, 0.2, 0.0], [0.0, 1.2, 0.1], [-0.3, 0.0, 0.9]])
    offset = np.array([0.1, -0.05, 0.02])
    net.start_with_colors(turn, offset)
    matrix, summand = (torch.from_numpy(each).float() for each in (turn, offset))
    wanted = torch.einsum("ij,bjhw->bihw", matrix, x) + summand.view(1, 3, 1, 1)
    assert torch.allclose(net(x), wanted, atol=1e-5)


def test_lightness_alone_keeps_the_differences_of_colors() -> None:
    net, x = shake(network(lightness=True)), torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        y = net(x)
    assert float((y - x).abs().max()) > 0.05
    assert torch.allclose(y[:, 0] - y[:, 1], x[:, 0] - x[:, 1], atol=1e-5)


def test_norms_are_set_once_by_what_they_see() -> None:
    net, x = network(), torch.rand(2, 3, 64, 64)
    seen: list[torch.Tensor] = []
    net.stem.norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    net.settle_norms(x)
    values = seen[-1].detach()
    assert torch.allclose(values.mean((0, 2, 3)), torch.zeros(8), atol=1e-4)
    assert torch.allclose(values.var((0, 2, 3), unbiased=False), torch.ones(8), atol=1e-2)
    before = net.stem.norm.running_mean.clone()
    net(torch.rand(2, 3, 64, 64))
    assert torch.equal(net.stem.norm.running_mean, before)


@pytest.mark.parametrize("lightness", [False, True])
def test_a_look_without_exemplars_is_the_network_in_tiles_of_any_size(tmp_path: Path, lightness: bool) -> None:
    net, plate = shake(network(lightness=lightness)), hdr_plate(150, 203)
    path = tmp_path / "style.onnx"
    assert write_look(path, net, (), style_card(), plate) < 1e-4
    file = open_look(path)
    assert file.card.keyframes == () and file.card.format == 2 and file.card.halo == 24 == net.reach
    with Look.load(path, device="cpu", threads=1) as look:
        whole, tiles = look.stylize(plate, tile=0), look.stylize(plate, tile=64)
    assert np.abs(shaper.encode(whole.rgb) - shaper.encode(tiles.rgb)).max() < 1e-4
    assert not whole.carried.any() and not tiles.carried.any()


def test_its_torchscript_has_no_maps(tmp_path: Path) -> None:
    path = tmp_path / "style.onnx"
    write_look(path, shake(network()), (), style_card(), hdr_plate(48, 64))
    look = open_look(path)
    module = build_module(look)
    assert module(torch.rand(1, 3, 40, 48)).shape == (1, 4, 40, 48)
    assert differences(module, look).float32 < 1e-3
