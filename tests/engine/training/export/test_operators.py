"""Recorded torch functions: each as torch computes it, nothing recorded as something else, norms and factors folded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

import torch.nn.functional as F
from torch import nn

from engine.base.errors import ExportError
from engine.training.export.operators import record
from engine.training.export.trace import HANDLERS, Symbol
from engine.training.model import curve
from engine.training.model.carry import Carried, Exemplar, along, sample
from engine.training.model.edges import cropped, margins
from engine.training.model.network import Architecture, ConvNorm, Translator
from engine.training.model.texler import GeneratorJ
from tests.support.graphs import written
from tests.support.networks import shake


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def noise(channels: int, seed: int, height: int = 16, width: int = 24) -> torch.Tensor:
    """Two pictures, about 0, of magnitudes up to 4."""
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed))


def assert_the_same(function: Callable[..., Any], folded: bool = True, atol: float = 2e-6, **inputs: Any) -> list[str]:
    """A function in torch and its graph in onnxruntime; returns the graph's operators."""
    model = written(function, {name: value.shape[1] for name, value in inputs.items()}, folded)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    needed = {value.name for value in session.get_inputs()}
    found = session.run(None, {name: value.numpy() for name, value in inputs.items() if name in needed})
    with torch.no_grad():
        expected = function(**inputs)
    for got, wanted in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
        assert wanted.std() > 1e-3, "an output that says something"
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-5, atol=atol)
    return kinds(model)


WEIGHT = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(5)) / 6
DEPTHWISE = torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(6)) / 5
BIAS = torch.randn(6, generator=torch.Generator().manual_seed(7))
COLORS = torch.tensor([1.0, -2.0, 0.5, 3.0]).reshape(1, 4, 1, 1)

CASES: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "add": (lambda x, y: x + y, ["Add"]),
    "add a number": (lambda x: 2 + x, ["Add"]),
    "add a tensor": (lambda x: COLORS + x, ["Add"]),
    "subtract": (lambda x, y: x - y, ["Sub"]),
    "subtract from a number": (lambda x: 1 - x, ["Sub"]),
    "subtract from a tensor": (lambda x: COLORS - x, ["Sub"]),
    "multiply": (lambda x, y: x * y * 3, ["Mul", "Mul"]),
    "multiply a tensor": (lambda x: COLORS * x, ["Mul"]),
    "divide": (lambda x, y: x / (y.abs() + 1), ["Abs", "Add", "Div"]),
    "divide by a number": (lambda x: x / 7, ["Mul"]),
    "divide by a tensor": (lambda x: x / COLORS, ["Div"]),
    "choose": (lambda x, y: torch.where(x <= 0.5, x, y), ["LessOrEqual", "Where"]),
    "minimum": (lambda x, y: torch.minimum(x, y), ["Min"]),
    "maximum": (lambda x, y: torch.maximum(x, y), ["Max"]),
    "clamp": (lambda x: x.clamp(-0.5, 1), ["Clip"]),
    "clamp from below": (lambda x: x.clamp_min(0.1), ["Max"]),
    "clamp from above": (lambda x: x.clamp_max(0.1), ["Min"]),
    "mean of the channels": (lambda x: x.mean(1, keepdim=True), ["ReduceMean"]),
    "exponential": (lambda x: torch.exp(x), ["Exp"]),
    "floor": (lambda x: torch.floor(x * 3), ["Mul", "Floor"]),
    "logarithm": (lambda x: torch.log(x.abs() + 1), ["Abs", "Add", "Log"]),
    "root": (lambda x: torch.sqrt(x.abs()), ["Abs", "Sqrt"]),
    "sigmoid": (lambda x: torch.sigmoid(x), ["Sigmoid"]),
    "sign": (lambda x: torch.sign(x), ["Sign"]),
    "tanh": (lambda x: torch.tanh(x), ["Tanh"]),
    "relu": (lambda x: F.relu(x), ["Relu"]),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.2), ["LeakyRelu"]),
    "leaky relu that does not leak": (lambda x: F.leaky_relu(x, 0.0), ["Relu"]),
    "convolution": (lambda x: F.conv2d(x, WEIGHT, BIAS, 2, 1), ["Conv"]),
    "convolution without bias or padding": (lambda x: F.conv2d(x, WEIGHT), ["Conv"]),
    "convolution of each channel": (lambda x: F.conv2d(x, DEPTHWISE, padding=2, groups=4), ["Conv"]),
    "average pool": (lambda x: F.avg_pool2d(x, 8), ["AveragePool"]),
    "average pool of stride 1": (lambda x: F.avg_pool2d(x, 3, 1), ["AveragePool"]),
    "filter along x": (lambda x: along(x, (0.25, 0.5, 0.25), 3), ["Pad", "Conv"]),
    "filter along y": (lambda x: along(x, (0.1, -0.2, 0.7, -0.2, 0.1), 2), ["Pad", "Conv"]),
    "enlarge to the nearest": (lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"), ["Resize"]),
    "enlarge smoothly": (
        lambda x: F.interpolate(x, scale_factor=8, mode="bilinear", align_corners=False),
        ["Resize"],
    ),
    "depth to space": (lambda x: F.pixel_shuffle(x, 2), ["DepthToSpace"]),
    "space to depth": (lambda x: F.pixel_unshuffle(x, 2), ["SpaceToDepth", "Gather"]),
    "pad with the edge": (lambda x: F.pad(x, (1, 2, 3, 4), mode="replicate"), ["Pad"]),
    "join": (lambda x, y: torch.cat([x, y, x], 1), ["Concat"]),
    "split": (lambda x: x.split((1, 2, 1), 1), ["Slice"] * 3),
    "split evenly": (lambda x: x.split(2, 1), ["Slice"] * 2),
    "some channels": (lambda x: x[:, 1:3], ["Slice"]),
    "some of some channels": (lambda x: x[:, 1:][:, 1:2], ["Slice"]),
    "the last channels": (lambda x: x[:, -2:], ["Slice"]),
    "swap axes": (lambda x: x.permute(0, 2, 3, 1), ["Transpose"]),
    "no change of type": (lambda x: F.relu(x.float().contiguous().to(torch.float32)), ["Relu"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_function_is_recorded_as_torch_computes_it(case: str) -> None:
    function, operators = CASES[case]
    inputs = dict(zip("xy"[: function.__code__.co_argcount], (noise(4, 1), noise(4, 2)), strict=False))
    # Not folded, which would take the operators away that are asked for.
    assert assert_the_same(function, folded=False, **inputs) == operators


def test_every_handler_is_tried() -> None:
    """By name: the functions above, and those of the tests below."""
    asked: set[str] = set()

    class Asking(dict):  # type: ignore[type-arg]
        def get(self, function: Any, default: Any = None) -> Any:
            asked.add(HANDLERS[function].__qualname__ + str(HANDLERS[function].__closure__))
            return HANDLERS.get(function, default)

    from engine.training.export import trace

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "HANDLERS", Asking(HANDLERS))
        for function, _ in CASES.values():
            written(function, dict.fromkeys("xy"[: function.__code__.co_argcount], 4))
        written(lambda x: F.batch_norm(x, *[torch.ones(4)] * 4), {"x": 4})
        stored = Exemplar(Symbol.constant(torch.ones(7, 9, 9).half()))
        written(lambda m: sample([stored], m).painting, {"m": 3})
        written(lambda x: cropped(F.pad(x, margins(x, 8), mode="replicate"), x), {"x": 3})
    every = {handler.__qualname__ + str(handler.__closure__) for handler in HANDLERS.values()}
    assert asked == every


@pytest.mark.parametrize("size", [(16, 24), (17, 3), (1, 1)])
@pytest.mark.parametrize("multiple", [4, 8])
def test_margins_reach_a_multiple_and_are_taken_off_again(size: tuple[int, int], multiple: int) -> None:
    def there_and_back(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        padded = F.pad(x, margins(x, multiple), mode="replicate")
        return padded, cropped(F.relu(padded), x)

    x = noise(3, 3, *size)
    assert_the_same(there_and_back, x=x)
    height, width = there_and_back(x)[0].shape[2:]
    assert height % multiple == width % multiple == 0 and height >= size[0] + 16


@pytest.mark.parametrize("cubic", [True, False])
@pytest.mark.parametrize("channels", [(6,), (7,), (7, 6, 7)])
def test_sampled_exemplars(channels: tuple[int, ...], cubic: bool) -> None:
    stacks = [noise(count, i, 20, 30)[0].half() for i, count in enumerate(channels)]
    for stack in stacks:
        if len(stack) == 7:
            stack[3] = stack[3].abs() + 0.1
    real = [Exemplar(stack) for stack in stacks]
    held = [Exemplar(Symbol.constant(stack)) for stack in stacks]

    def sampled(m: torch.Tensor) -> tuple[torch.Tensor, ...]:
        got = sample(held if isinstance(m, Symbol) else real, m, cubic)
        return got.painting, got.plate, got.share, got.blur

    maps = torch.rand(2, 3 * len(channels), 16, 24, generator=torch.Generator().manual_seed(1)) * 1.2 - 0.1
    # float32 places of a 30-pixel picture: some 1e-6 of a pixel, times slopes up to 8 a pixel, and up to ten times
    # that where the coverage divides.
    found = assert_the_same(sampled, atol=2e-3, m=maps)
    assert found.count("GridSample") == found.count("Cast") == len(channels)


def test_both_ways_of_the_shaper() -> None:
    def there_and_back(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return curve.encode(x), curve.decode(x)

    found = assert_the_same(there_and_back, x=noise(3, 4) * 3)
    assert found.count("Log") == 2 and "Pow" not in found


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: torch.cumsum(x, 1), "no operator does what torch's cumsum does"),
        (lambda x: torch.cat([x, x], 2), "joining along another axis"),
        (lambda x: x.split(8, 2), "splitting along another axis"),
        (lambda x: x.mean(2), "a mean that is not over the channels"),
        (lambda x: x[..., 1:], "the index"),
        (lambda x: F.pad(x, (1, 1, 1, 1)), "padding other than with the edge"),
        (lambda x: F.interpolate(x, scale_factor=2.0, mode="bicubic"), "this interpolation"),
        (lambda x: F.interpolate(x, size=(8, 8), mode="nearest"), "this interpolation"),
        (lambda x: x.to(torch.float16), "torch.float16"),
        (lambda x: F.conv2d(x, WEIGHT, dilation=2), "a dilated convolution"),
        (lambda x: nn.BatchNorm2d(4)(x), "a batch norm without running statistics"),
    ],
)
def test_what_has_no_operator_is_refused(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(ExportError, match=said):
        record(function, {"x": 4})


# Folding


def test_a_folded_batch_norm_is_the_layer_in_evaluation() -> None:
    layer = shake(ConvNorm(5, 7, leak=0.2))
    # float32 sums of 45 products of order 1.
    assert assert_the_same(layer, atol=1e-5, x=noise(5, 1, 9, 11)) == ["Conv", "LeakyRelu"]


def test_a_norm_folds_into_both_convolutions_that_are_added_before_it() -> None:
    layer, other = shake(ConvNorm(5, 7)), shake(nn.Conv2d(4, 7, 1, bias=False), 1)

    def added(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return layer(x, F.interpolate(other(y), scale_factor=2.0, mode="nearest"))

    found = assert_the_same(added, atol=1e-5, x=noise(5, 1, 16, 24), y=noise(4, 2, 8, 12))
    assert sorted(found) == ["Add", "Conv", "Conv", "Relu", "Resize"]


def test_factors_fold_into_the_channels_that_they_are_of() -> None:
    layer = shake(nn.Conv2d(4, 12, 3, padding=1))

    def parts(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        first, second, third = layer(x).split((4, 4, 4), 1)
        return first / 2, second, F.pixel_shuffle(1 - third * 3, 2)

    assert sorted(assert_the_same(parts, x=noise(4, 1))) == ["Conv", "DepthToSpace", "Slice", "Slice", "Slice"]


def test_a_factor_folds_through_the_order_of_pixels_only_if_it_is_one() -> None:
    layer = shake(nn.Conv2d(4, 16, 3, padding=1))
    one = assert_the_same(lambda x: F.pixel_shuffle(layer(x), 2) * 3, x=noise(4, 1))
    four = assert_the_same(lambda x: F.pixel_shuffle(layer(x), 2) * COLORS, x=noise(4, 1))
    assert (one, four) == (["Conv", "DepthToSpace"], ["Conv", "DepthToSpace", "Mul"])


@pytest.mark.parametrize(
    "function",
    [
        lambda y: (y * 2, y),
        lambda y: (y * 2, F.relu(y)),
        lambda y: (y[:, :2] * 2, y[:, 1:]),
        lambda y: (y[:, :2] * 2, F.relu(y)),
        lambda y: ((y + y) * 2,),
        lambda y: ((y + F.relu(y)) * 2,),
        lambda y: (F.relu(y) * 2,),
        lambda y: (y[:, :1] * COLORS,),
    ],
)
def test_what_others_use_or_what_bends_is_not_folded_into(function: Callable[..., Any]) -> None:
    layer = shake(nn.Conv2d(4, 4, 3, padding=1))
    assert "Mul" in assert_the_same(lambda x: function(layer(x)), x=noise(4, 1))


def test_folding_is_in_double_precision() -> None:
    """A factor and its inverse leave no trace."""
    layer = shake(nn.Conv2d(4, 4, 3, padding=1))
    factor = torch.tensor([3.0, 7.0, 0.1, 1e-3], dtype=torch.float64).reshape(1, 4, 1, 1)
    model = written(lambda x: layer(x) * factor * (1 / factor), {"x": 4})
    weights = next(t for t in model.graph.initializer if len(t.dims) == 4)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weights), layer.weight.detach().numpy())


# Graphs


@pytest.mark.parametrize(
    ("function", "nodes", "constants"),
    [
        (lambda x: x * 2 + x * 2 - 2, ["Mul", "Add", "Sub"], 1),
        (lambda x: (x.abs(), x.abs() + x), ["Abs", "Add"], 0),
        (lambda x: (x, x * 2), ["Mul", "Identity"], 1),
    ],
    ids=["computed once", "an output that goes on", "an input handed through"],
)
def test_the_same_is_computed_and_stored_once(function: Callable[..., Any], nodes: list[str], constants: int) -> None:
    model = written(function, {"x": 4})
    assert sorted(kinds(model)) == sorted(nodes) and len(model.graph.initializer) == constants


def test_what_nothing_needs_is_not_in_the_graph() -> None:
    layer = shake(nn.Conv2d(4, 4, 1))
    assert kinds(written(lambda x: (layer(x), F.relu(x))[1], {"x": 4})) == ["Relu"]


# Networks


@pytest.mark.parametrize("make", [lambda: Translator(Architecture(16, 2)), GeneratorJ], ids=["ours", "published"])
def test_the_recorded_network_is_the_network(make: Callable[[], Any]) -> None:
    net = shake(make())
    net.softness = 0.7
    x = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(2)) * 3 - 1
    carried = torch.rand(2, 9, 32, 48, generator=torch.Generator().manual_seed(3)) * 1.4 - 0.2
    carried[:, 6:].clamp_(0, 1)
    x[..., 24:] = 0.5 + 0.004 * x[..., 24:]  # nearly out of focus
    if net.takes_carried:
        fields = Carried.of(carried)
        inputs = {"x": x, "painting": fields.painting, "plate": fields.plate, "share": fields.share}
        inputs["blur"] = fields.blur

        def function(x: Any, **arrived: Any) -> Any:
            return net.translate(x, Carried(**arrived))[0]

        with torch.no_grad():
            assert torch.equal(function(**inputs), net(x, carried))
    else:
        inputs, function = {"x": x}, net
    # Borders included: a norm folded through zero padding would show there.
    with torch.no_grad():
        largest = float(function(**inputs).abs().max())
    found = assert_the_same(function, atol=2e-5 * max(1.0, largest), **inputs)
    assert found.count("Conv") == len([m for m in net.modules() if isinstance(m, nn.Conv2d)]) + 8 * net.takes_carried
