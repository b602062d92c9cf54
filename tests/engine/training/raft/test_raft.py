"""RAFT without its published weights: names, counts, the pyramid and the upsampling by brute force, and the process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engine import images
from engine.base.errors import InputError
from engine.base.frames import SequencePath
from engine.motion.flow_files import FlowFiles, read_flow, write_flow
from engine.training.raft import vectors as raft
from engine.training.raft.network import LARGE, SMALL, CorrelationPyramid, Raft, load_raft, upsample
from tests.support.procedural import plate


def network(made: object = SMALL, seed: int = 0) -> Raft:
    torch.manual_seed(seed)
    return Raft(made).eval()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.save(network().state_dict(), path)
    return path


@pytest.mark.parametrize(("made", "count"), [(LARGE, 5_257_536), (SMALL, 990_162)])
def test_parameter_counts_are_the_published_ones(made: object, count: int) -> None:
    assert sum(value.numel() for value in network(made).parameters()) == count


def test_parameters_have_the_published_names_and_shapes() -> None:
    large = {name: tuple(value.shape) for name, value in network(LARGE).state_dict().items()}
    small = {name: tuple(value.shape) for name, value in network(SMALL).state_dict().items()}
    for name, shape in {
        "feature_encoder.convnormrelu.0.weight": (64, 3, 7, 7),
        "feature_encoder.layer2.0.downsample.0.weight": (96, 64, 1, 1),
        "feature_encoder.layer3.1.convnormrelu2.0.bias": (128,),
        "feature_encoder.conv.weight": (256, 128, 1, 1),
        "context_encoder.convnormrelu.1.running_mean": (64,),
        "context_encoder.layer3.0.downsample.1.num_batches_tracked": (),
        "update_block.motion_encoder.convcorr1.0.weight": (256, 324, 1, 1),
        "update_block.motion_encoder.convcorr2.0.weight": (192, 256, 3, 3),
        "update_block.motion_encoder.convflow1.0.weight": (128, 2, 7, 7),
        "update_block.motion_encoder.conv.0.weight": (126, 256, 3, 3),
        "update_block.recurrent_block.convgru1.convz.weight": (128, 384, 1, 5),
        "update_block.recurrent_block.convgru2.convq.weight": (128, 384, 5, 1),
        "update_block.flow_head.conv2.weight": (2, 256, 3, 3),
        "mask_predictor.convrelu.0.weight": (256, 128, 3, 3),
        "mask_predictor.conv.weight": (576, 256, 1, 1),
    }.items():
        assert large[name] == shape, name
    assert not any(name.startswith("feature_encoder.convnormrelu.1") for name in large)
    for name, shape in {
        "feature_encoder.layer1.0.convnormrelu1.0.weight": (8, 32, 1, 1),
        "feature_encoder.layer1.0.convnormrelu3.0.weight": (32, 8, 1, 1),
        "context_encoder.conv.weight": (160, 96, 1, 1),
        "update_block.motion_encoder.convcorr1.0.weight": (96, 196, 1, 1),
        "update_block.motion_encoder.conv.0.weight": (80, 128, 3, 3),
        "update_block.recurrent_block.convgru1.convr.weight": (96, 242, 3, 3),
    }.items():
        assert small[name] == shape, name
    assert not any("convgru2" in name or name.startswith("mask_predictor") for name in small)


def test_the_pyramid_is_what_brute_force_says() -> None:
    torch.manual_seed(1)
    channels, height, width, radius = 5, 16, 24, 2
    a, b = torch.randn(1, channels, height, width), torch.randn(1, channels, height, width)
    at = torch.rand(1, 2, height, width) * 30 - 4
    found = CorrelationPyramid(a, b, radius).look_up(at)
    side = 2 * radius + 1
    assert found.shape == (1, 4 * side**2, height, width)

    def brute(level: int, y: int, x: int, dx: int, dy: int) -> float:
        # Averaging commutes with the product: the coarse map is made of averaged features.
        cell = 2**level
        coarse = b[0].reshape(channels, height // cell, cell, width // cell, cell).mean((2, 4))
        px, py = float(at[0, 0, y, x]) / cell + dx, float(at[0, 1, y, x]) / cell + dy
        total = 0.0
        for row in (int(np.floor(py)), int(np.floor(py)) + 1):
            for column in (int(np.floor(px)), int(np.floor(px)) + 1):
                if 0 <= row < coarse.shape[1] and 0 <= column < coarse.shape[2]:
                    share = (1 - abs(py - row)) * (1 - abs(px - column))
                    total += share * float(a[0, :, y, x] @ coarse[:, row, column])
        return total / channels**0.5

    rng = np.random.default_rng(3)
    for _ in range(400):
        level, y, x = int(rng.integers(4)), int(rng.integers(height)), int(rng.integers(width))
        dx, dy = (int(value) for value in rng.integers(-radius, radius + 1, 2))
        channel = level * side**2 + (dx + radius) * side + dy + radius
        assert float(found[0, channel, y, x]) == pytest.approx(brute(level, y, x, dx, dy), abs=2e-4)


def test_convex_upsampling_is_what_brute_force_says() -> None:
    torch.manual_seed(2)
    height, width = 3, 4
    flow, mask = torch.randn(1, 2, height, width), torch.randn(1, 576, height, width)
    found = upsample(flow, mask)
    assert found.shape == (1, 2, 24, 32)
    for y in range(24):
        for x in range(32):
            row, column, a, b = y // 8, x // 8, y % 8, x % 8
            weights = torch.stack([mask[0, k * 64 + a * 8 + b, row, column] for k in range(9)]).softmax(0)
            want = torch.zeros(2)
            for k in range(9):
                r, c = row + k // 3 - 1, column + k % 3 - 1
                if 0 <= r < height and 0 <= c < width:
                    want += weights[k] * 8 * flow[0, :, r, c]
            assert torch.allclose(found[0, :, y, x], want, atol=1e-5)


def test_bilinear_upsampling_keeps_corners_and_scales() -> None:
    flow = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    found = upsample(flow, None)[0, 0]
    assert found.shape == (16, 16)
    assert [float(found[y, x]) for y, x in ((0, 0), (0, 15), (15, 0), (15, 15))] == [0.0, 8.0, 16.0, 24.0]


@pytest.mark.parametrize("made", [LARGE, SMALL])
def test_random_weights_give_a_finite_flow_of_the_frames_size(made: object) -> None:
    net = network(made)
    a, b = plate(100, 139), plate(100, 139, shift=3)
    flow = net.estimate(a, b, iterations=2)
    assert flow.shape == (100, 139, 2) and flow.dtype == np.float32 and np.isfinite(flow).all()
    assert float(np.abs(flow).max()) > 0


def test_correlations_peak_where_the_picture_went() -> None:
    """Even random features tell a moved picture: the highest of 81 correlations mostly lies at the true motion."""
    net = network(LARGE)
    wide = torch.from_numpy(plate(128, 192)).permute(2, 0, 1)[None] * 2 - 1
    a, b = wide[..., 16:176], wide[..., :160]  # b shows a's picture 16 pixels, two cells, further right
    with torch.inference_mode():
        features = net.feature_encoder(torch.cat([a, b]))
        pyramid = CorrelationPyramid(features[:1], features[1:], 4)
        y, x = torch.meshgrid(torch.arange(16.0), torch.arange(20.0), indexing="ij")
        around = pyramid.look_up(torch.stack([x, y])[None])[0, :81, 5:11, 5:13]
    best = around.flatten(1).argmax(0)
    right, down = best // 9 - 4, best % 9 - 4
    assert float(((right == 2) & (down == 0)).float().mean()) > 0.4  # chance is 0.012


def test_large_frames_are_shrunk_and_their_flow_enlarged() -> None:
    net = network()
    seen: list[tuple[int, ...]] = []

    def constant(a: Any, b: Any, iterations: int) -> Any:
        seen.append(tuple(a.shape[2:]))
        return torch.ones(1, 2, *a.shape[2:])

    net.forward = constant  # type: ignore[method-assign]
    flow = net.estimate(np.zeros((150, 400, 3), np.float32), np.zeros((150, 400, 3), np.float32), longest_side=200)
    assert seen == [(128, 200)] and flow.shape == (150, 400, 2)
    assert np.allclose(flow, 2.0)


def test_weights_are_loaded_checked_and_told_apart(tmp_path: Path, weights: Path) -> None:
    from safetensors.torch import save_file

    from engine.images.provenance import file_sha256

    assert load_raft(str(weights)).made == SMALL
    save_file(network(LARGE).state_dict(), tmp_path / "large.safetensors")
    assert load_raft(str(tmp_path / "large.safetensors")).made == LARGE
    right = tmp_path / f"raft_small-{file_sha256(weights)[:8]}.pth"
    right.write_bytes(weights.read_bytes())
    assert not load_raft(str(right)).training
    wrong = tmp_path / "raft_small-01064c6d.pth"
    wrong.write_bytes(weights.read_bytes())
    with pytest.raises(InputError, match="hash is not the one in their name"):
        load_raft(str(wrong))
    with pytest.raises(InputError, match="cannot load the weights: No such file"):
        load_raft(str(tmp_path / "absent.pth"))
    (tmp_path / "junk.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match="not a weights file"):
        load_raft(str(tmp_path / "junk.pth"))
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(InputError, match="no RAFT in the weights"):
        load_raft(str(tmp_path / "vgg.pth"))
    state = network().state_dict()
    state.pop("update_block.flow_head.conv2.bias")
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(InputError, match=r"flow_head\.conv2\.bias"):
        load_raft(str(tmp_path / "cut.pth"))


def shot(folder: Path, frames: int = 3) -> str:
    for frame in range(frames):
        images.write(folder / f"plate.{frame:04d}.png", plate(48, 64, shift=2 * frame), bit_depth="uint8")
    return str(folder / "plate.%04d.png")


class Process:
    """Runs the module's ``main`` and keeps its events."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        monkeypatch.setattr(raft.StopFlag, "install", lambda self: None)

    def __call__(self, *words: object) -> tuple[int, list[dict[str, Any]]]:
        code = raft.main([*map(str, words), "--device", "cpu", "--threads", "1", "--iterations", "1"])
        return code, [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]


@pytest.fixture
def process(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Process:
    return Process(capsys, monkeypatch)


def test_flow_files_of_a_range_resumed_and_replaced(tmp_path: Path, weights: Path, process: Process) -> None:
    out = tmp_path / "flow"
    words = ("--plate", shot(tmp_path), "--frames", "0-2", "--out", out)
    code, events = process("--weights", weights, *words)
    assert code == 0 and events[-1] == {"event": "finished", "written": 3, "skipped": 0}
    names = ["backward.0001.flo", "backward.0002.flo", "forward.0000.flo", "forward.0001.flo"]
    assert sorted(path.name for path in out.glob("*.flo")) == names
    files = FlowFiles(SequencePath.parse(out / "forward.%04d.flo"), SequencePath.parse(out / "backward.%04d.flo"),
                      size=(48, 64))  # fmt: skip
    assert np.isfinite(files.forward(0)).all() and files.backward(2).shape == (48, 64, 2)

    (out / "forward.0001.flo").write_bytes(b"PIEH")
    before = (out / "backward.0002.flo").stat().st_mtime_ns
    assert process("--weights", weights, *words)[1][-1] == {"event": "finished", "written": 1, "skipped": 2}
    assert (out / "backward.0002.flo").stat().st_mtime_ns == before

    newer = (tmp_path / "plate.0002.png").stat().st_mtime + 100
    os.utime(tmp_path / "plate.0002.png", (newer, newer))
    assert process("--weights", weights, *words)[1][-1]["written"] == 2

    other = tmp_path / "other.pth"
    torch.save(network(seed=9).state_dict(), other)
    assert process("--weights", other, *words)[1][-1] == {"event": "finished", "written": 3, "skipped": 0}


def test_both_directions_in_one_exr(tmp_path: Path, weights: Path, process: Process) -> None:
    out = tmp_path / "flow"
    words = ("--weights", weights, "--plate", shot(tmp_path), "--frames", "0-2", "--out", out, "--format", "exr")
    assert process(*words)[0] == 0
    files = FlowFiles(SequencePath.parse(out / "flow.%04d.exr"), size=(48, 64))
    a, b = (cv2.cvtColor(cv2.imread(str(tmp_path / f"plate.000{f}.png")), cv2.COLOR_BGR2RGB) for f in (1, 0))
    want = load_raft(str(weights)).estimate(a.astype(np.float32) / 255, b.astype(np.float32) / 255, iterations=1)
    assert np.allclose(files.backward(1), want, atol=0.02)  # sRGB in and out through OCIO, and half a code of rounding
    assert process(*words)[1][-1]["skipped"] == 3


def test_what_is_refused(tmp_path: Path, weights: Path, process: Process) -> None:
    pattern = shot(tmp_path, 2)
    code, events = process("--weights", weights, "--plate", pattern, "--frames", "0,2", "--out", tmp_path / "a")
    assert (code, events[-1]["event"]) == (2, "failed") and "no two frames" in events[-1]["message"]
    code, events = process("--weights", weights, "--plate", pattern, "--frames", "0-2", "--out", tmp_path / "b")
    assert code == 2 and "frame 2" in events[-1]["message"]
    assert read_flow(tmp_path / "b" / "forward.0000.flo").shape == (48, 64, 2)
    (tmp_path / "c").mkdir()
    write_flow(tmp_path / "c" / "forward.0000.flo", np.ones((2, 2, 2), np.float32))
    code, events = process("--weights", weights, "--plate", pattern, "--frames", "0-1", "--out", tmp_path / "c")
    assert code == 2 and "vectors of another origin" in events[-1]["message"]
    assert read_flow(tmp_path / "c" / "forward.0000.flo").min() == 1.0
