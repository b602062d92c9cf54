"""Feature weights: both layouts of a file, what they compute, and one clear line for every wrong file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import SHARED

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

import torch.nn.functional as F
from safetensors.torch import save_file

from engine.base.errors import InputError
from engine.training.model.features import MEAN_BGR, load_features
from engine.training.model.texler import DEEP_LAYERS

COUNTS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
VGG = SHARED / "models" / "vgg16_hed_fp16.safetensors"


def named(kind: str = "vgg16") -> dict[str, torch.Tensor]:
    """A VGG of few channels after its first layer."""
    generator = torch.Generator().manual_seed(0)
    state, inputs = {}, 3
    for stage, count in enumerate(COUNTS[kind], 1):
        for index in range(1, count + 1):
            outputs = 64 if stage == index == 1 else 8
            weight = torch.randn(outputs, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
            state[f"conv{stage}_{index}.weight"] = weight
            state[f"conv{stage}_{index}.bias"] = torch.randn(outputs, generator=generator)
            inputs = outputs
    return state


def torchvision(kind: str = "vgg16") -> dict[str, torch.Tensor]:
    """The same weights under torchvision's numbers, and a classifier that must be ignored."""
    state, number = {"classifier.0.weight": torch.zeros(2, 2)}, 0
    source = named(kind)
    for stage, count in enumerate(COUNTS[kind], 1):
        for index in range(1, count + 1):
            for part in ("weight", "bias"):
                state[f"features.{number}.{part}"] = source[f"conv{stage}_{index}.{part}"]
            number += 2
        number += 1
    return state


def image() -> torch.Tensor:
    return torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["vgg16", "vgg19"])
def test_torchvisions_layout_takes_rgb_from_minus_one_to_one(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "vgg.pth"
    torch.save(torchvision(kind), path)
    found = load_features(str(path), DEEP_LAYERS)(image())
    w = named(kind)
    first = F.conv2d(image() * 2 - 1, w["conv1_1.weight"], w["conv1_1.bias"], padding=1)
    second = F.relu(F.conv2d(F.relu(first), w["conv1_2.weight"], w["conv1_2.bias"], padding=1))
    third = F.conv2d(F.max_pool2d(second, 2), w["conv2_1.weight"], w["conv2_1.bias"], padding=1)
    for got, expected in zip(found, (first, second, third), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_the_named_layout_takes_bgr_and_comes_out_in_the_same_unit(tmp_path: Path) -> None:
    path = tmp_path / "vgg.safetensors"
    save_file(named(), path)
    (found,) = load_features(str(path), ("conv1_1",))(image())
    bgr = image().flip(1) * 255 - torch.tensor(MEAN_BGR).view(1, 3, 1, 1)
    w = named()
    expected = F.conv2d(bgr, w["conv1_1.weight"], w["conv1_1.bias"], padding=1) / 127.5
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_last_layers_are_reached_in_order(tmp_path: Path) -> None:
    path = tmp_path / "vgg.safetensors"
    save_file(named("vgg19"), path)
    maps = load_features(str(path), ("conv1_1", "relu5_4"))(torch.rand(1, 3, 32, 32))
    assert [tuple(m.shape) for m in maps] == [(1, 64, 32, 32), (1, 8, 2, 2)]
    assert (maps[1] >= 0).all() and (maps[0] < 0).any()


def test_features_pass_gradients_to_the_image_and_learn_nothing(tmp_path: Path) -> None:
    path = tmp_path / "vgg.safetensors"
    save_file(named(), path)
    features = load_features(str(path), ("relu1_2",))
    x = image().requires_grad_(True)
    features(x)[0].sum().backward()
    assert x.grad.abs().max() > 0
    assert list(features.parameters()) == [] and features.state_dict() == {}


def missing_bias() -> dict[str, torch.Tensor]:
    state = named()
    del state["conv1_2.bias"]
    return state


def missing_layer() -> dict[str, torch.Tensor]:
    state = named()
    del state["conv1_2.bias"], state["conv1_2.weight"]
    return state


def foreign_names() -> dict[str, torch.Tensor]:
    return {**named(), "fc6.weight": torch.zeros(2, 2), "score_dsn1.bias": torch.zeros(1)}


def misshapen() -> dict[str, torch.Tensor]:
    return {**named(), "conv1_2.weight": torch.zeros(8, 5, 3, 3)}


def torchvision_without_bias() -> dict[str, torch.Tensor]:
    state = torchvision()
    del state["features.2.bias"]
    return state


WRONG = {
    "another network": {"layer1.weight": torch.zeros(3)},
    "a VGG with 12 convolutions": {k: v for k, v in torchvision().items() if not k.startswith("features.28.")},
    "a narrow first layer": {**named(), "conv1_1.weight": torch.zeros(8, 3, 3, 3)},
    "no bias": missing_bias(),
    "no second layer": missing_layer(),
    "channels that do not chain": misshapen(),
    "torchvision without a bias": torchvision_without_bias(),
    "nothing": {},
}


@pytest.mark.parametrize("what", list(WRONG))
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_without_a_vgg_is_refused(what: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"wrong{suffix}"
    if suffix == ".pth":
        torch.save(WRONG[what], path)
    else:
        save_file({k: v.contiguous().clone() for k, v in WRONG[what].items()}, path)
    with pytest.raises(InputError) as caught:
        load_features(str(path), DEEP_LAYERS)
    assert "VGG" in str(caught.value) or "features" in str(caught.value)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_further_layers_of_a_file_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "vgg.safetensors"
    save_file(foreign_names(), path)
    assert len(load_features(str(path), DEEP_LAYERS)(image())) == 3


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x00" * 4096])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_damaged_file_is_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"wrong{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_features(str(path), DEEP_LAYERS)
    assert str(caught.value) == (
        f"not a weights file ({path}); give a .safetensors or .pth file of VGG-16 or VGG-19, or leave --features out"
    )


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot load feature weights"):
        load_features(str(tmp_path / "nothing.pth"), DEEP_LAYERS)


def test_a_list_in_a_weights_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(1)], path)
    with pytest.raises(InputError):
        load_features(str(path), DEEP_LAYERS)


@pytest.mark.skipif(not VGG.is_file(), reason="needs ../shared/models (a VGG-16 trunk)")
def test_a_real_trunk_tells_edges_from_flat_color() -> None:
    features = load_features(str(VGG), DEEP_LAYERS)
    flat = torch.full((1, 3, 32, 32), 0.5)
    edge = flat.clone()
    edge[..., 16:] = 1.0
    maps = features(edge)
    assert [m.shape[1] for m in maps] == [64, 64, 128]
    inside = (slice(None), slice(None), slice(4, 12), slice(4, 12))
    for level, calm in zip(maps, features(flat), strict=True):
        assert torch.isfinite(level).all()
        assert (level - calm).abs().max() > 0.05
        assert calm[inside].std((2, 3)).max() < 1e-4
