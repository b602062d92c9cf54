"""Looks: what is refused before it runs, tiles against the whole frame, bytes against threads."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from engine.base.device import Device, cuda_devices
from engine.base.errors import DeviceError, ImageError, InputError, Interrupted, LookError
from engine.look import session as sessions
from engine.look.card import open_look, weights_sha256
from engine.look.session import Look, read_card
from tests.support import lookfactory

SMALL = {"channels": (8, 12, 16), "blocks": 2}
"""A network that has every layer of a trained one and takes a tenth of its time."""

needs_no_cuda = pytest.mark.skipif(bool(cuda_devices()[0]), reason="a CUDA device is here")


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Scene-linear noise with negatives and highlights."""
    return (np.random.default_rng(seed).standard_normal((height, width, channels)) * 2).astype(np.float32)


def maps(height: int, width: int, k: int) -> np.ndarray:
    return np.random.default_rng(9).random((height, width, 3 * k), dtype=np.float32)


def altered(path: Path, change: Any) -> Path:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_the_card_says_what_the_file_says(tmp_path: Path) -> None:
    path = lookfactory.gain(tmp_path / "a.onnx", k=2, future={"key": 1})
    card = read_card(path)
    assert (card.format, card.name, card.working_colorspace, card.halo, card.multiple) == (
        1,
        "test",
        "scene_linear",
        0,
        1,
    )
    assert [keyframe.frame for keyframe in card.keyframes] == [1001, 1002]
    assert (card.keyframes[0].width, card.keyframes[0].height) == (16, 12)
    assert card.trained.recipe == "test"


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    cut, accepted = lookfactory.gain(tmp_path / "cut.onnx"), []
    for length in reversed(range(cut.stat().st_size)):
        os.truncate(cut, length)
        with contextlib.suppress(LookError):
            read_card(cut)
            accepted.append(length)
    assert accepted == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a look", b"\x00" * 4096, b"{}"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(LookError, match="not an ONNX file") as caught:
        read_card(tmp_path / "a.onnx")
    assert caught.value.path == tmp_path / "a.onnx"
    assert caught.value.exit_code == 2


def test_a_missing_look_is_named(tmp_path: Path) -> None:
    with pytest.raises(LookError, match=r"none\.onnx"):
        read_card(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 3}, "newer Paintover"),
        ({"format": "1"}, "unreadable"),
        ({"halo": -1}, "halo is -1"),
        ({"multiple": 0}, "multiple is 0"),
        ({"keyframes": []}, "names no keyframe"),
        ({"keyframes": [], "format": 2}, "inputs .* are not those"),
        ({"styles": {}}, "style images that are no list"),
        ({"styles": [{"name": "a.jpg"}]}, "'image_sha256'"),
        ({"keyframes": [{"frame": 1}]}, "'exemplar_sha256'"),
        ({"trained": None}, "unreadable"),
        ({"working_colorspace": ""}, "no working colorspace"),
        ({"guide_channels": 3}, "which guide it takes"),
        ({"guide_channels": 3, "guide_kind": "points"}, "inputs .* are not those"),
        ({"guide_channels": 3, "guide_kind": "dots"}, "guide_kind is 'dots', known are gaussian, points, grid"),
        ({"denoise": "hard"}, "denoise is 'hard'"),
        ({"weights_sha256": "0" * 64}, "weights are damaged"),
    ],
)
def test_a_card_that_cannot_be_right_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LookError, match=message):
        read_card(lookfactory.gain(tmp_path / "a.onnx", **changes))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": 1}'])
def test_an_unreadable_card_is_refused(tmp_path: Path, text: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        helper.set_model_props(model, {"paintover.card": text})

    with pytest.raises(LookError, match="card"):
        read_card(altered(lookfactory.gain(tmp_path / "a.onnx"), change))


def test_no_key_of_the_card_may_be_missing(tmp_path: Path) -> None:
    exemplars = lookfactory.exemplars_of(1)
    card = lookfactory.card_for(exemplars, halo=0, multiple=1)
    for key in card:
        rest = {name: value for name, value in card.items() if name != key}

        def change(model: onnx.ModelProto, rest: dict[str, Any] = rest) -> None:
            helper.set_model_props(model, {"paintover.card": json.dumps(rest)})

        with pytest.raises(LookError, match=f"no '{key}'"):
            read_card(altered(lookfactory.gain(tmp_path / "a.onnx"), change))


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def custom_opset(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="com.example", version=1)


def custom_node(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def hidden_node(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([helper.make_node("Evil", [], ["x"], domain="evil")], "inner", [], [])
    model.graph.node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH).g.CopyFrom(inner)


def newer_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 22


def newer_ir(model: onnx.ModelProto) -> None:
    model.ir_version = 11


def other_input(model: onnx.ModelProto) -> None:
    model.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 6


def broken_graph(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nowhere"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "another file"),
        (custom_opset, "custom operators"),
        (custom_node, "custom operator"),
        (hidden_node, "custom operator"),
        (newer_opset, "opset 22"),
        (newer_ir, "IR 11"),
        (other_input, "not those of a look"),
        (broken_graph, "not a valid ONNX graph"),
    ],
)
def test_what_a_look_may_not_be_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(LookError, match=message):
        Look.load(altered(lookfactory.gain(tmp_path / "a.onnx"), change), device="cpu")


def test_a_hole_in_the_weights_is_found(tmp_path: Path) -> None:
    path = lookfactory.blur(tmp_path / "a.onnx")
    card = lookfactory.card_for(
        lookfactory.exemplars_of(1), halo=5, multiple=1, weights_sha256=weights_sha256(onnx.load(path))
    )
    altered(path, lambda model: helper.set_model_props(model, {"paintover.card": json.dumps(card)}))
    read_card(path)
    data = path.read_bytes()
    kernel = onnx.load(path).graph.initializer[0].raw_data
    start = data.index(kernel)
    path.write_bytes(data[:start] + bytes(len(kernel)) + data[start + len(kernel) :])
    with pytest.raises(LookError, match="weights are damaged"):
        read_card(path)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(959, 541), (17, 3), (1, 1)])
def test_tiles_equal_the_whole_frame(tmp_path: Path, size: tuple[int, int]) -> None:
    look = Look.load(lookfactory.network(tmp_path / "a.onnx", **SMALL), device="cpu")
    rgb, stmap = noise(*size), maps(*size, 1)
    whole = look.stylize(rgb, stmap=stmap, tile=0)
    assert whole.rgb.shape == (*size, 3) and whole.carried.shape == size
    assert np.ptp(whole.rgb) > 0.1
    for tile in (64, 100, 256, 512):
        part = look.stylize(rgb, stmap=stmap, tile=tile)
        assert np.abs(part.rgb - whole.rgb).max() <= 1e-4
        assert np.abs(part.carried - whole.carried).max() <= 1e-4


@pytest.mark.parametrize(("halo", "within"), [(5, True), (4, False)])
def test_a_halo_that_is_too_small_shows(tmp_path: Path, halo: int, within: bool) -> None:
    """The measure above can fail: with a halo one pixel short of its reach a blur differs."""
    look = Look.load(lookfactory.blur(tmp_path / "a.onnx", 5, halo=halo), device="cpu")
    rgb = noise(200, 200)
    difference = np.abs(look.stylize(rgb, tile=64).rgb - look.stylize(rgb, tile=0).rgb).max()
    assert (difference <= 1e-4) == within


def test_blur_and_gain_give_the_expected_values(tmp_path: Path) -> None:
    rgb = noise(40, 50)
    gained = Look.load(lookfactory.gain(tmp_path / "g.onnx", 2.5), device="cpu").stylize(rgb)
    assert np.array_equal(gained.rgb, rgb * np.float32(2.5))
    assert not gained.carried.any()
    blurred = Look.load(lookfactory.blur(tmp_path / "b.onnx", 2), device="cpu").stylize(rgb, tile=0)
    assert np.allclose(blurred.rgb[10, 20], rgb[8:13, 18:23].mean(axis=(0, 1)), atol=1e-5)


def test_full_confidence_shows_the_exemplar(tmp_path: Path) -> None:
    look = Look.load(lookfactory.identity(tmp_path / "a.onnx", k=2), device="cpu")
    exemplar = lookfactory.exemplars_of(2)[1]
    height, width = exemplar.shape[:2]
    stmap = np.zeros((height, width, 6), np.float32)
    stmap[..., 3] = (np.arange(width) + 0.5) / width
    stmap[..., 4] = 1 - (np.arange(height)[:, None] + 0.5) / height
    stmap[..., 5] = 1.0
    styled = look.stylize(noise(height, width), stmap=stmap)
    assert np.allclose(styled.rgb, exemplar, atol=1e-5)
    assert np.all(styled.carried == 1.0)
    assert look.k == 2


@pytest.mark.parametrize("size", [(541, 359), (271, 479)])
def test_bytes_do_not_depend_on_threads_or_company(tmp_path: Path, size: tuple[int, int]) -> None:
    path = lookfactory.network(tmp_path / "a.onnx", **SMALL)
    rgb = noise(*size)
    results = []
    for threads in (1, 2, 5):
        look = Look.load(path, device="cpu", threads=threads)
        others = [threading.Thread(target=look.stylize, args=(noise(99, 97, seed=i),)) for i in range(3)]
        for other in others:
            other.start()
        results.append(look.stylize(rgb, tile=128).rgb.tobytes())
        for other in others:
            other.join()
    assert results[0] == results[1] == results[2]


def test_onnxruntime_threads_would_change_bytes(tmp_path: Path) -> None:
    """Why a tile runs on one thread: should this ever fail, the design may be simplified."""
    b, exemplars = lookfactory.GraphBuilder(), lookfactory.exemplars_of(1)
    card = lookfactory.card_for(exemplars, halo=0, multiple=1)
    path = lookfactory.finish(tmp_path / "a.onnx", b, b.op("Log", b.op("Abs", "plate")), exemplars, card)
    feeds = {"plate": noise(541, 959).transpose(2, 0, 1)[None].copy(), "stmap": np.zeros((1, 3, 541, 959), np.float32)}
    results = []
    for threads in (1, 5):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        results.append(session.run(["styled"], feeds)[0])
    if np.array_equal(*results):
        pytest.skip("this processor rounds the remainder of a vector like the rest")
    assert np.allclose(*results, atol=1e-4)


def test_memory_chooses_a_smaller_tile_only_when_it_must(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = lookfactory.network(tmp_path / "a.onnx", **SMALL)
    roomy = Look.load(path, device="cpu", memory_bytes=2**40)
    assert roomy.tile_for(4320, 8192, None) == 1024
    tight = Look.load(path, device="cpu", memory_bytes=int(300**2 * roomy.bytes_per_pixel))
    with caplog.at_level(logging.WARNING, "engine.look.session"):
        assert tight.tile_for(4320, 8192, None) == 128
        assert tight.tile_for(4320, 8192, None) == 128
        # Small enough as it is, so the default grid holds.
        assert tight.tile_for(200, 200, None) == 1024
        assert tight.tile_for(4320, 8192, 512) == 512
    assert len(caplog.records) == 1
    assert "tiles of 128" in caplog.text


def test_the_footprint_counts_what_grows_with_the_image(tmp_path: Path) -> None:
    def footprint(exemplar: tuple[int, int], channels: int) -> float:
        b, exemplars = lookfactory.GraphBuilder(), lookfactory.exemplars_of(1, exemplar)
        card = lookfactory.card_for(exemplars, halo=0, multiple=1)
        weights = b.constant(np.zeros((channels, 3, 1, 1))), b.constant(np.zeros((3, channels, 1, 1)))
        value = b.op("Conv", b.op("Conv", "plate", weights[0]), weights[1])
        path = lookfactory.finish(tmp_path / "a.onnx", b, value, exemplars, card)
        return open_look(path).graph.bytes_per_pixel()

    thin, wide = footprint((12, 16), 8), footprint((12, 16), 64)
    # 56 more channels of four bytes a pixel, and what onnxruntime keeps beside them.
    assert wide - thin >= 56 * 4
    # An exemplar of 270x480 is 1.5 MB once, not 1.5 MB for every few pixels.
    assert footprint((270, 480), 8) < 1.2 * thin


def test_wrong_shapes_are_refused(tmp_path: Path) -> None:
    look = Look.load(lookfactory.identity(tmp_path / "a.onnx"), device="cpu")
    with pytest.raises(ImageError, match="not \\(4, 4\\)"):
        look.stylize(np.zeros((4, 4), np.float32))
    with pytest.raises(ImageError, match="STMap"):
        look.stylize(np.zeros((4, 4, 3), np.float32), stmap=np.zeros((4, 4, 6), np.float32))


def test_a_cancelled_look_stops_at_once(tmp_path: Path) -> None:
    look = Look.load(lookfactory.network(tmp_path / "a.onnx", **SMALL), device="cpu", threads=1)
    caught: list[BaseException] = []

    def work() -> None:
        try:
            look.stylize(np.zeros((4000, 4000, 3), np.float32))
        except BaseException as error:
            caught.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(0.3)
    look.cancel()
    # By the processor's clock, which other programs do not move: the whole image takes more than twice as long.
    began = time.process_time()
    worker.join(60.0)
    assert not worker.is_alive() and time.process_time() - began < 3.0
    assert isinstance(caught[0], Interrupted)


@needs_no_cuda
def test_auto_says_once_why_it_takes_the_cpu(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "engine"):
        look = Look.load(lookfactory.identity(tmp_path / "a.onnx"))
        look.stylize(np.zeros((4, 4, 3), np.float32))
    assert look.device == "cpu"
    assert [record.message for record in caplog.records] == ["rendering on the CPU: no NVIDIA driver on this machine"]


def test_after_a_failure_of_the_gpu_the_cpu_works_with_all_its_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        """A session on a GPU that has just been lost."""

        def io_binding(self) -> Any:
            return MagicMock()

        def run_with_iobinding(self, *words: Any) -> None:
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")

    class Together:
        """A session in which a tile waits for two others."""

        def __init__(self, inner: Any) -> None:
            self.inner, self.barrier = inner, threading.Barrier(3)

        def io_binding(self) -> Any:
            return self.inner.io_binding()

        def run_with_iobinding(self, *words: Any) -> None:
            self.barrier.wait(timeout=60)
            self.inner.run_with_iobinding(*words)

    def opened(data: bytes, device: Device, *words: Any) -> Any:
        return Broken() if device.cuda is not None else open_session(data, device, *words)

    open_session = sessions._open_session
    monkeypatch.setattr(sessions, "_open_session", opened)
    path = lookfactory.blur(tmp_path / "look.onnx", reach=4)
    image = np.random.default_rng(1).random((64, 3 * 64, 3), dtype=np.float32)
    expected = Look.load(path, device="cpu", threads=1).stylize(image, tile=64)
    look = Look(
        open_look(path),
        Device(0, ""),
        threads=3,
        pixel_bytes=64.0,
        memory_bytes=2**30,
        tensorrt_cache=None,
        may_fall_back=True,
    )
    assert np.array_equal(look.stylize(image, tile=64).rgb, expected.rgb)
    assert look.device == "cpu"
    look._session = Together(look._session)
    assert np.array_equal(look.stylize(image, tile=64).rgb, expected.rgb)
    look.close()


@needs_no_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_by_name_fails_without_cuda(tmp_path: Path, device: str) -> None:
    with pytest.raises(DeviceError, match=f"{device} is not usable") as caught:
        Look.load(lookfactory.identity(tmp_path / "a.onnx"), device=device)
    assert caught.value.exit_code == 2


def test_other_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a device"):
        Look.load(lookfactory.identity(tmp_path / "a.onnx"), device="gpu")


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_devices()[0], reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(tmp_path: Path) -> None:
    path = lookfactory.network(tmp_path / "a.onnx", **SMALL)
    rgb, stmap = noise(541, 959), maps(541, 959, 1)
    on_gpu = Look.load(path, device="cuda:0")
    on_cpu = Look.load(path, device="cpu")
    styled = on_gpu.stylize(rgb, stmap=stmap, tile=256).rgb
    assert np.allclose(styled, on_cpu.stylize(rgb, stmap=stmap).rgb, atol=1e-3)
    assert np.abs(styled - on_gpu.stylize(rgb, stmap=stmap, tile=0).rgb).max() <= 1e-4
    with pytest.raises(DeviceError, match="there is no cuda:99"):
        Look.load(path, device="cuda:99")


def test_rendering_never_loads_torch() -> None:
    code = "import sys, engine.rendering.render, engine.rendering.workers; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
