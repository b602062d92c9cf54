"""Looks for hosts that run models: TorchScript against onnxruntime, Nuke's script in a real Tcl, Flame's graph."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from engine.look.card import open_look
from engine.shot.shot import Plate, Shot
from plugin.hosts.flame_model import flame_json, flame_model
from plugin.hosts.nuke_script import CHANNELS_OUT, MAPS, NukePlate, cat_json, channels_in, nuke_script, quoted
from plugin.progress.protocol import NoProgress
from plugin.verbs import export as export_verb
from tests.support import ROOT, lookfactory
from tests.support.command_line import Cli
from tests.support.pictures import write_exr

FIXED = {
    "rgba.red", "rgba.green", "rgba.blue", "rgba.alpha", "depth.Z", "forward.u", "forward.v", "backward.u",
    "backward.v", "mask.a",
}  # fmt: skip
"""Of the channels that Nuke's models may name, those that are known from the vendor's guide."""

NASTY = 'a "b" [exit] {c} $HOME \\n'


# Nuke's script


class Script:
    """A .nk as Nuke's own reader takes it: Tcl commands, each with knobs."""

    def __init__(self, text: str) -> None:
        tkinter = pytest.importorskip("tkinter", reason="this Python has no Tcl")
        self.nodes: list[tuple[str, dict[str, str]]] = []
        tcl = tkinter.Tcl()
        tcl.createcommand("version", lambda *words: "")
        tcl.createcommand("add_layer", lambda *words: "")

        def node(kind: str) -> object:
            def make(body: str) -> str:
                words = tcl.splitlist(body)
                assert len(words) % 2 == 0, (kind, words)
                # A knob's quoted value is a word of Tcl again.
                values = {words[i]: words[i + 1] for i in range(0, len(words), 2)}
                self.nodes.append((kind, values))
                return ""

            return make

        for kind in ("Read", "OCIOColorSpace", "Copy", "Inference", "CatFileCreator"):
            tcl.createcommand(kind, node(kind))
        tcl.eval(text)

    def named(self, name: str) -> dict[str, str]:
        return next(knobs for _, knobs in self.nodes if knobs["name"] == name)

    def inputs(self, name: str) -> list[str]:
        """What a node is connected to, first input first, by the rules of Nuke's stack."""
        stack: list[str] = []
        for _, knobs in self.nodes:
            count = int(knobs.get("inputs", "1"))
            taken = [stack.pop() for _ in range(count)]
            if knobs["name"] == name:
                return taken
            stack.append(knobs["name"])
        raise KeyError(name)


def test_the_script_parses_and_is_connected() -> None:
    stmaps = [(1001, "/w/stmap/key_1001/%04d.exr"), (1080, "/w/stmap/key_1080/%04d.exr")]
    text = nuke_script("hero", "/out", "ACEScg", stmaps, NukePlate("/p/plate.%04d.exr", 1001, 1100))
    script = Script(text)
    maker, inference = script.named("CatFileCreator_hero"), script.named("Look_hero")
    assert maker["torchScriptFile"] == "/out/hero.pt" and maker["catFile"] == inference["modelFile"] == "/out/hero.cat"
    assert maker["channelsIn"].split(", ") == list(channels_in(2)) and len(channels_in(2)) == 9
    assert maker["channelsOut"].split(", ") == list(CHANNELS_OUT)
    assert script.inputs("ToLook") == ["Plate"]
    assert script.inputs("Carry_1001") == ["ToLook", "STMap_1001"]
    assert script.inputs("Carry_1080") == ["Carry_1001", "STMap_1080"]
    assert script.inputs("Look_hero") == ["Carry_1080"] and script.inputs("FromLook") == ["Look_hero"]
    carry = script.named("Carry_1080")
    assert [carry[f"to{i}"] for i in range(3)] == ["backward.u", "backward.v", "depth.Z"]
    assert script.named("Plate")["first"] == "1001" and script.named("STMap_1001")["on_error"] == "black"
    assert script.named("ToLook")["out_colorspace"] == script.named("FromLook")["in_colorspace"] == "ACEScg"
    assert "{forward forward.u forward.v}" in text and "Gizmo" not in text


@pytest.mark.parametrize("keyframes", [1, 2])
def test_channels_are_of_the_fixed_list_and_none_is_named_twice(keyframes: int) -> None:
    names = channels_in(keyframes)
    assert set(names) <= FIXED and len(set(names)) == len(names) == 3 + 3 * keyframes
    assert set(CHANNELS_OUT) <= FIXED


def test_nothing_in_a_path_reaches_tcl() -> None:
    script = Script(nuke_script("hero", f"/x/{NASTY}", NASTY, [(1, f"/{NASTY}/%04d.exr")], None))
    assert script.named("Look_hero")["modelFile"] == f"/x/{NASTY}/hero.cat"
    assert script.named("ToLook")["out_colorspace"] == NASTY
    assert script.named("STMap_1")["file"] == f"/{NASTY}/%04d.exr"
    assert script.named("Plate")["file"] == ""
    tkinter = pytest.importorskip("tkinter", reason="this Python has no Tcl")
    # The oracle can fail: the same text unescaped is not one word.
    assert tkinter.Tcl().splitlist(quoted(NASTY)) == (NASTY,)
    with pytest.raises(tkinter.TclError):
        Script(nuke_script("hero", "/x", "y", [], None).replace("name Plate", 'name "Plate'))


def test_cat_json() -> None:
    facts = json.loads(cat_json("hero", "what"))
    assert facts["cats"] == [{"filepath": "hero.cat", "name": "hero"}] and facts["version"] == 1


# TorchScript


def packed(height: int, width: int, maps: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    image = rng.random((1, 3 + 3 * maps, height, width), dtype=np.float32)
    image[:, :3] = image[:, :3] ** 3 * 30 - 0.2
    return image


def ours(path: Path, count: int, *, partial: bool = False, crisp: bool = False) -> Path:
    """A look of our recipe, untrained but lively."""
    from engine.training.export.look import write_look
    from engine.training.model.network import Architecture
    from tests.support.networks import card, lively, stored
    from tests.support.procedural import TINY, painting_of, plate

    exemplars = []
    for index in range(count):
        coverage = np.ones((40, 56), np.float32)
        coverage[:, 30:] = np.linspace(1, 0, 26) if partial else 1
        exemplars.append(stored(painting_of(plate(40, 56, seed=index)), coverage))
    net = lively(Architecture(TINY.width, TINY.blocks, crisp=crisp))
    write_look(path, net, exemplars, card(exemplars), plate(24, 32))
    return path


@pytest.fixture
def scripting(tmp_path: Path) -> object:
    pytest.importorskip("torch", reason="training is not installed")
    from engine.training.export import torchscript

    return torchscript


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "partial", "crisp"), [(1, False, False), (1, True, True), (2, True, False), (4, False, False)]
)
def test_the_module_is_the_look(tmp_path: Path, scripting: object, count: int, partial: bool, crisp: bool) -> None:
    """At five sizes, in float32 and in half."""
    from engine.training.export import torchscript

    assert len(set(torchscript.CHECK_SIZES)) == 5 and torchscript.MAPS == MAPS
    look = open_look(ours(tmp_path / "look.onnx", count, partial=partial, crisp=crisp))
    found = torchscript.differences(torchscript.build_module(look), look)
    # Float32 differs by the weights' 22 bits; half by its own rounding of the result, 2**-11 of the value.
    assert found.float32 <= 1e-4 and found.half <= torchscript.TOLERANCE
    assert found.half > found.float32


@pytest.mark.slow
@pytest.mark.parametrize("make", ["published", "network", "gain", "blur"])
def test_looks_of_other_make(tmp_path: Path, scripting: object, make: str) -> None:
    from engine.training.export import torchscript

    path = tmp_path / "look.onnx"
    if make == "published":
        from engine.training.export.look import write_look
        from tests.support.networks import blended, card, stored
        from tests.support.procedural import painting_of, plate

        exemplars = [stored(painting_of(plate(40, 56)))]
        write_look(path, blended(), exemplars, card(exemplars), plate(24, 32))
    else:
        {"network": lookfactory.network, "gain": lookfactory.gain, "blur": lookfactory.blur}[make](path, k=2)
    look = open_look(path)
    found = torchscript.differences(torchscript.build_module(look), look)
    assert found.float32 <= 2e-4 and found.half <= torchscript.TOLERANCE


def test_a_difference_is_seen_and_nothing_is_written(
    tmp_path: Path, scripting: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from engine.base.errors import ExportError
    from engine.training.export import torchscript

    build = torchscript.build_module

    def spoiled(look: object, maps: int = MAPS) -> object:
        module = build(look, maps)  # type: ignore[arg-type]
        weight = next(b for _, b in module.named_buffers() if b.dim() == 4 and b.dtype == torch.float16)
        weight.mul_(1.05)
        return module

    monkeypatch.setattr(torchscript, "build_module", spoiled)
    path = ours(tmp_path / "look.onnx", 1)
    with pytest.raises(ExportError, match="differs from the look by"):
        torchscript.export(path, tmp_path / "look.pt")
    assert not (tmp_path / "look.pt").exists()


def test_what_it_cannot_say_is_refused(tmp_path: Path, scripting: object) -> None:
    from engine.base.errors import InputError
    from engine.training.export import torchscript

    path = lookfactory.gain(tmp_path / "look.onnx")
    model = onnx.load(path)
    node = next(node for node in model.graph.node if node.op_type == "Mul")
    node.op_type = "Mod"
    node.attribute.append(onnx.helper.make_attribute("fmod", 1))
    onnx.save(model, path)
    with pytest.raises(InputError, match=r"uses Mod in a way that the export.* not know: tensors of this kind"):
        torchscript.build_module(open_look(path))


def unknown_operator(graph: onnx.GraphProto) -> None:
    next(node for node in graph.node if node.op_type == "Mul").op_type = "Einsum"


def too_few_inputs(graph: onnx.GraphProto) -> None:
    del next(node for node in graph.node if node.op_type == "Mul").input[1:]


def constant_without_a_tensor(graph: onnx.GraphProto) -> None:
    graph.node.insert(0, onnx.helper.make_node("Constant", [], ["five"], value_int=5))


def known_output(graph: onnx.GraphProto) -> None:
    last = next(node for node in graph.node if "carried" in node.output)
    last.CopyFrom(onnx.helper.make_node("Constant", [], ["carried"], value=onnx.numpy_helper.from_array(np.ones(1))))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (unknown_operator, "Einsum in a way .*: no such operator"),
        (too_few_inputs, "Mul in a way .*: its inputs or attributes"),
        (constant_without_a_tensor, "Constant in a way .*: its inputs or attributes"),
        (known_output, "its outputs in a way .*: an output that no node computes"),
    ],
)
def test_whatever_it_cannot_say_is_one_line(
    tmp_path: Path, scripting: object, change: Callable[[onnx.GraphProto], None], said: str
) -> None:
    from engine.base.errors import InputError
    from engine.training.export import torchscript

    look = open_look(lookfactory.gain(tmp_path / "look.onnx"))
    model = onnx.load_model_from_string(look.data)
    change(model.graph)
    with pytest.raises(InputError, match=f"the look uses {said}") as caught:
        torchscript.build_module(replace(look, data=model.SerializeToString()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ("import sys; sys.exit('no room')", "the export's process ended with code 1: no room"),
        ('print(\'{"event": "failed", "message": "bad look", "exit_code": 2}\')', "bad look"),
        ("", "the export's process ended with code 0"),
    ],
)
def test_an_export_that_fails_says_why(cli: Cli, monkeypatch: pytest.MonkeyPatch, child: str, said: str) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    monkeypatch.setattr(export_verb, "COMMAND", (sys.executable, "-c", child))
    answer = cli("export", "hero.onnx", "--to", "nuke", "nuke")
    assert answer.code == (2 if "bad" in said else 1) and said in answer.err
    assert len(answer.err.splitlines()) == 1 and not list((cli.folder / "nuke").iterdir())


LOADS_ALONE = """
import sys, zipfile
sys.path = [p for p in sys.path if p.endswith("site-packages") or "python3" in p]
import numpy, torch
torch.set_num_threads(1)
model = torch.jit.load(sys.argv[1])
assert not {"engine", "plugin", "onnx", "onnxruntime"} & set(sys.modules)
data = numpy.load(sys.argv[2])
for key in data.files:
    x = torch.from_numpy(data[key])
    y = model(x)
    assert y.dtype == x.dtype and y.shape == (1, 4, *x.shape[2:]), y.shape
    numpy.save(f"{sys.argv[3]}/{key}.npy", y.numpy())
half = torch.jit.load(sys.argv[1]).half()
y = half(torch.from_numpy(data["small"]).half())
assert y.dtype == torch.float16 and torch.isfinite(y).all()
assert half.precise == 1
half.precise = 0
"""


OLD_OPERATORS = {
    "__and__", "__is__", "__isnot__", "Bool", "abs", "add", "avg_pool2d", "cat", "clamp", "conv2d", "div", "eq", "exp",
    "expand", "floor", "floordiv", "gt", "grid_sampler", "index_select", "le", "leaky_relu", "len", "log", "lt", "max",
    "mean", "min", "mul", "neg", "permute", "pixel_shuffle", "pow", "relu", "remainder", "replication_pad2d", "reshape",
    "sigmoid", "sign", "size", "slice", "sqrt", "sub", "tanh", "to", "unsqueeze", "upsample_bilinear2d", "where",
    "zeros_like",
}  # fmt: skip
"""All of torch 1.6."""


@pytest.mark.slow
def test_the_file_is_the_same_again_and_uses_old_operators_only(tmp_path: Path, scripting: object) -> None:
    from engine.training.export import torchscript

    look = ours(tmp_path / "look.onnx", 2, partial=True)
    for name in ("one.pt", "two.pt"):
        command = [sys.executable, "-m", "engine.training.export.torchscript", "--look", str(look), "--out", name]
        subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()
    graph = str(torchscript.build_module(open_look(look)).inlined_graph)
    used = set(re.findall(r"aten::(\w+)", graph))
    assert used <= OLD_OPERATORS, used - OLD_OPERATORS
    # Traced, the sizes of one picture would stand in the graph.
    assert "aten::size" in graph


@pytest.mark.parametrize("python", os.environ.get("PAINTOVER_TORCH_PYTHONS", "").split(os.pathsep))
def test_the_torch_of_each_nuke_loads_it(tmp_path: Path, scripting: object, python: str) -> None:
    if not python:
        pytest.skip("PAINTOVER_TORCH_PYTHONS names no interpreters with torch 1.6, 1.12.1 or 2.1.1")
    from engine.training.export import torchscript

    look = ours(tmp_path / "look.onnx", 2, partial=True)
    torchscript.export(look, tmp_path / "look.pt")
    image = packed(61, 83, 2)
    np.savez(tmp_path / "in.npz", small=image)
    command = [python, "-I", "-c", LOADS_ALONE, "look.pt", "in.npz", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(look.read_bytes(), providers=["CPUExecutionProvider"])
    styled, _ = session.run(["styled", "carried"], {"plate": image[:, :3], "stmap": image[:, 3:]})
    np.testing.assert_allclose(np.load(tmp_path / "small.npy")[:, :3], styled, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_verb_writes_what_torch_alone_can_load(cli: Cli) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    ours(cli.folder / "hero.onnx", 3)
    (cli.folder / "shot.toml").write_text(
        'look = "hero.onnx"\nwork = "work"\n[plate]\npath = "plate.%04d.png"\nframes = "0-10"\n'
    )
    said = cli("export", "shot.toml", "--to", "nuke", "nuke", "--progress", "lines")
    assert said.code == 0, said
    assert sorted(path.name for path in (cli.folder / "nuke").iterdir()) == ["cat.json", "hero.nk", "hero.pt"]
    assert "warning: keyframe 2 is not carried in Nuke" in said.err
    assert "in float32" in said.out and "in half" in said.out
    script = Script((cli.folder / "nuke" / "hero.nk").read_text())
    assert script.named("Plate")["file"] == (cli.folder / "plate.%04d.png").as_posix()
    assert script.named("STMap_0")["file"] == (cli.folder / "work" / "stmap" / "key_0000" / "%04d.exr").as_posix()
    assert json.loads((cli.folder / "nuke" / "cat.json").read_text())["cats"][0]["name"] == "hero"
    images = {"small": packed(33, 47, 2), "large": packed(90, 71, 2)}
    np.savez(cli.folder / "in.npz", **images)
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADS_ALONE, "nuke/hero.pt", "in.npz", "."],
        cwd=cli.folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession((cli.folder / "hero.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    for name, image in images.items():
        stmap = np.concatenate([image[:, 3:], np.zeros_like(image[:, :3])], 1)
        styled, carried = session.run(["styled", "carried"], {"plate": image[:, :3], "stmap": stmap})
        got = np.load(cli.folder / f"{name}.npy")
        np.testing.assert_allclose(got[:, :3], styled, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(got[:, 3:], carried, atol=1e-4)


def test_usage_of_the_verb(cli: Cli) -> None:
    assert "--to is missing" in cli.refused("export", "hero.onnx")
    said = cli.refused("export", "hero.onnx", "--to", "fusion", "x")
    assert "no export to 'fusion'; the hosts are nuke, flame" in said
    assert "cannot read the look" in cli.refused("export", "nothing.onnx", "--to", "flame", "x")
    assert "replace the look itself" in cli.refused("export", "hero.onnx", "--to", "flame", ".")


@pytest.mark.slow
def test_exporting_loads_no_torch_here(tmp_path: Path) -> None:
    lookfactory.gain(tmp_path / "hero.onnx")
    script = (
        "import sys\nfrom plugin.cli import main\n"
        "code = main(['export', 'hero.onnx', '--to', 'nuke', 'nuke', '--progress', 'none'])\n"
        "sys.exit(9 if 'torch' in sys.modules else code)"
    )
    pytest.importorskip("torch", reason="training is not installed")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "nuke" / "hero.pt").is_file()


# Flame


@pytest.mark.parametrize("count", [1, 3])
def test_flame_has_a_socket_for_each_map(tmp_path: Path, count: int) -> None:
    look = open_look(lookfactory.network(tmp_path / "hero.onnx", k=count))
    session = onnxruntime.InferenceSession(flame_model(look), providers=["CPUExecutionProvider"])
    original = onnxruntime.InferenceSession(look.data, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    assert names == ["plate", *(f"stmap_{1001 + i}" for i in range(count))]
    image = packed(37, 50, count)
    feed = {name: image[:, 3 * i : 3 * i + 3] for i, name in enumerate(names)}
    found = session.run(["styled", "carried"], feed)
    wanted = original.run(["styled", "carried"], {"plate": image[:, :3], "stmap": image[:, 3:]})
    for got, expected in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, expected)
    sidecar = json.loads(flame_json(look, "hero"))["ModelDescription"]
    assert [socket["Name"] for socket in sidecar["Inputs"]] == names
    assert [socket["Name"] for socket in sidecar["Outputs"]] == [value.name for value in session.get_outputs()]
    assert sidecar["SupportsSceneLinear"] is True and {s["Channels"] for s in sidecar["Inputs"]} == {"RGB"}


def test_the_verb_writes_for_flame(cli: Cli) -> None:
    assert cli("export", "hero.onnx", "--to", "flame", "flame").code == 0
    assert sorted(path.name for path in (cli.folder / "flame").iterdir()) == ["hero.json", "hero.onnx"]


def test_the_layer_that_the_scripts_read_does_not_give_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("R", "G", "B", "right.R", "right.G", "right.B")
    write_exr(tmp_path / "s.0001.exr", {name: np.ones((4, 4), np.float32) for name in names})
    for layer, lines in (("right", 2), (None, 1)):
        plate = Plate.of(tmp_path / "s.%04d.exr", layer=layer)
        export_verb._say_plate(Shot(plate), NoProgress())
        said = capsys.readouterr().err
        assert said.count("\n") == lines and "the file is stereo" in said
        assert ("the Read of the script gives rgba: shuffle right into it" in said) is (layer is not None)
