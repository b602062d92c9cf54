"""Session of a loaded look: one call that stylizes one image.

The CPU gives the same bytes whatever the number of threads, because every tile runs on a single thread of onnxruntime
and tiles run side by side. Onnxruntime's own threads do not give that: they cut element-wise operators in pieces, and
the last values of a piece that fill no vector are rounded differently (docs/decisions/003-tile-grid.md).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from engine.base.arrays import Floats, Mask
from engine.base.device import NO_DRIVER, Device, cuda_free_bytes, load_cuda_libraries, resolve_device
from engine.base.errors import DeviceError, ImageError, InputError, Interrupted, LookError
from engine.base.machine import cpu_count, free_bytes
from engine.base.runtime import ort
from engine.look.card import Card, LookFile, open_look, read_card
from engine.look.inputs import checked_guide, checked_image, checked_stmap
from engine.look.softness import with_softness
from engine.look.tiling import DEFAULT_TILE, MIN_TILE, Tile, Window, check_tile, choose_tile, plan

__all__ = ["Card", "Look", "Styled", "read_card"]

log = logging.getLogger(__name__)


_ALIGNMENT = 64
"""Bytes. Vector code treats unaligned ends apart, so buffers that start anywhere would not give the same bits."""
_MEMORY_SHARE = 0.6
"""Of the free memory, for the tiles in flight, where a caller sets no limit."""
_OUT_OF_MEMORY = ("failed to allocate", "out of memory", "bad_alloc", "bad allocation", "cudnn_status_alloc_failed")


@dataclass(frozen=True, eq=False)
class Styled:
    """What a look makes of one image."""

    rgb: Floats
    """(H, W, 3), scene-linear values of the look's working colorspace."""
    carried: Floats
    """(H, W), 0..1: how much of each pixel rides on an exemplar."""
    tile: int
    """The tile that was used; 0 for the whole frame."""
    infer_s: float
    """Seconds inside the session, summed over the tiles."""


class Look:
    """A look in memory, with its session; build one with :meth:`load`, and close it or use it in a ``with`` block.

    ::

        with Look.load("hero.onnx") as look:
            styled = look.stylize(rgb)

    Convention
        Images are (H, W, C), rows from the top. An STMap is Nuke's: u and v in 0..1, origin lower left, pixel centers
        at (i + 0.5) / size; u of column x is (x + 0.5) / W, v of row y from the top is 1 - (y + 0.5) / H. Confidence
        is 0..1, 0 where the keyframe does not show what is there. On disk u, v and confidence are R, G and A.

    Threads
        Safe to share between threads. One call uses every core by itself, tile by tile; calls side by side share
        cores and memory. Neither threads nor company change a byte on the CPU. The tile grid does, by up to 1e-4 of
        the working encoding, so it depends on the image's size and on ``tile`` alone, unless memory is short, which
        is logged.
    """

    def __init__(
        self,
        file: LookFile,
        device: Device,
        *,
        threads: int,
        pixel_bytes: float,
        memory_bytes: int,
        tensorrt_cache: Path | None,
        may_fall_back: bool,
        softness: float = 0.0,
    ) -> None:
        self.path = file.path
        self.card = file.card
        self.sha256 = file.sha256
        """Of the bytes that were loaded, whatever became of the file since."""
        self.k = len(file.card.keyframes)
        """How many keyframes the look has; 0 for one that was trained from style images."""
        self.threads = threads
        self.bytes_per_pixel = pixel_bytes
        """Memory that one tile in flight takes per pixel of its read window."""
        self._data = with_softness(file.data, softness)
        self._graph = file.graph
        self._device = device
        self._may_fall_back = may_fall_back
        self._session = _open_session(self._data, device, memory_bytes, tensorrt_cache)
        self._gate = _Gate(memory_bytes)
        self._budget = memory_bytes
        self._lock = threading.Lock()
        self._running: set[Any] = set()
        self._cancelled = False
        self._closed = False
        self._told_tile = False
        self._buffers = threading.local()
        self._pools = [_tile_threads(1 if device.cuda is not None else threads)]
        """The last one takes work; an earlier one ends what it has."""

    @classmethod
    def load(
        cls,
        path: str | Path | LookFile,
        *,
        device: str = "auto",
        threads: int | None = None,
        tensorrt: bool = False,
        tensorrt_cache: Path | None = None,
        memory_bytes: int | None = None,
        softness: float = 0.0,
    ) -> Look:
        """Check a look, then open its session.

        Args:
            path: the ``.onnx`` file; or what :func:`engine.look.card.open_look` made of it.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` takes the CPU where CUDA does not work, and
                says so in one logged line.
            threads: tiles that run side by side on the CPU, at least 1; None for the machine's cores. Never changes a
                byte.
            tensorrt: run through TensorRT; the first frame of a size then builds an engine, which takes minutes.
            tensorrt_cache: folder for those engines; None for one beside the look.
            memory_bytes: for the tiles in flight; None for a share of what is free.
            softness: 0..1, how far carried strokes are softened where the plate is out of focus; 0 leaves them as crisp
                as painted.

        Raises:
            LookError: missing, not a look, damaged, of a newer format, refused by onnxruntime, or without a softness
                where one is asked for.
            DeviceError: the device is not usable.
            InputError: no such word for a device, fewer than one thread, or a softness beyond 0..1.
        """
        if threads is not None and threads < 1:
            raise InputError(f"{threads} threads cannot stylize", remedy="use 1 or more, or None for all cores")
        file = path if isinstance(path, LookFile) else open_look(path)
        wanted = resolve_device(device)
        cache = (tensorrt_cache or file.path.with_suffix(".tensorrt")) if tensorrt else None
        pixel_bytes = file.graph.bytes_per_pixel()

        def build(on: Device) -> Look:
            free = free_bytes() if on.cuda is None else cuda_free_bytes(on.cuda)
            return cls(
                file,
                on,
                threads=threads or cpu_count(),
                pixel_bytes=pixel_bytes,
                memory_bytes=int(_MEMORY_SHARE * free) if memory_bytes is None or on.cuda is not None else memory_bytes,
                tensorrt_cache=cache,
                may_fall_back=device == "auto",
                softness=softness,
            )

        try:
            look = build(wanted)
        except DeviceError as error:
            if device != "auto":
                raise
            look = build(Device(None, error.message))
        if device == "auto" and look._device.cuda is None:
            reason = look._device.note or "no CUDA device"
            # A machine without a GPU stays one: whoever shows log records may show this one once.
            log.warning("rendering on the CPU: %s", reason, extra={"hint": "cpu"} if reason == NO_DRIVER else None)
        if tensorrt and look._device.cuda is None:
            raise DeviceError("TensorRT needs a CUDA device", remedy="drop --tensorrt")
        return look

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda:N``, as it is now."""
        return str(self._device)

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def tile_for(self, height: int, width: int, tile: int | None) -> int:
        """The tile that an image of this size gets: the one asked for, the default, or less where memory is short."""
        if tile is not None:
            return tile
        grid = self._plan(height, width, DEFAULT_TILE)
        need = max(piece.read.pixels for piece in grid) * self.bytes_per_pixel
        if need <= self._budget:
            return DEFAULT_TILE
        chosen = choose_tile(self._budget, self.bytes_per_pixel, self.card.halo, self.card.multiple)
        if not self._told_tile:
            self._told_tile = True
            log.warning(
                "a tile of %d needs %.1f GiB and %.1f are free: rendering in tiles of %d, which agree to 1e-4",
                DEFAULT_TILE, need / 2**30, self._budget / 2**30, chosen,
            )  # fmt: skip
        return chosen

    def limit_memory(self, for_one: int, for_all: int) -> None:
        """Bytes that a tile may take before it must be smaller, and that all tiles in flight may; one always runs."""
        self._budget, self._gate.capacity = for_one, for_all

    def stylize(
        self, rgb: Floats, *, stmap: Floats | None = None, guide: Floats | None = None, tile: int | None = None
    ) -> Styled:
        """Stylize one image.

        Args:
            rgb: (H, W, 3), 1x1 or larger: scene-linear light of the look's working colorspace
                (``look.card.working_colorspace``), negatives and highlights included, finite. float32, or another
                floating-point type, which is converted. Integers are refused: they are codes, not light. Floats that
                are codes (0..255, or sRGB's 0..1) cannot be told from light and give a wrong picture.
            stmap: (H, W, 3K): u, v and confidence for each of the look's K keyframes, in the card's order, as the
                class says. u and v may point outside. None is confidence 0 everywhere: the plain translation.
            guide: (H, W, G), 0..1, for a look whose card says G guide channels; None where it says none.
            tile: largest side of a tile in pixels, 64 or more; 0 for the whole frame, None for the default.

        Returns:
            New arrays; what is given is not changed.

        Raises:
            ImageError: a wrong type, shape or range, values that are not finite, or a guide too many or too few.
            InputError: the look is closed, or the tile is too small.
            DeviceError: out of memory.
            Interrupted: :meth:`cancel` was called.
        """
        return self.infer(
            checked_image(rgb),
            stmap=None if stmap is None else checked_stmap(stmap, np.shape(rgb)[:2], self.k),
            guide=None if guide is None else checked_guide(guide),
            tile=tile,
        )

    def infer(
        self,
        rgb: Floats,
        *,
        stmap: Floats | None = None,
        guide: Floats | None = None,
        tile: int | None = None,
        where: Mask | None = None,
    ) -> Styled:
        """What :meth:`stylize` does, with values as they are: not finite or out of range, they go through the network.

        For rendering, which fills bad pixels of a plate and counts those that a look gives no number for.

        Args:
            rgb, stmap, guide: as for :meth:`stylize`, float32.
            where: (H, W), what is wanted: tiles without any of it are not computed, and give ``rgb`` back, carried 0.

        Raises:
            ImageError: a wrong shape, or a guide too many or too few.
            InputError, DeviceError, Interrupted: as :meth:`stylize`.
        """
        if self._closed:
            raise InputError("the look is closed", path=self.path, remedy="load it again")
        if tile is not None:
            check_tile(tile)
        if rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
            raise ImageError(f"a look takes (H, W, 3), not {rgb.shape}")
        height, width = rgb.shape[:2]
        if stmap is not None and stmap.shape != (height, width, 3 * self.k):
            raise ImageError(f"the STMap is {stmap.shape}, but {(height, width, 3 * self.k)} is needed")
        channels = self.card.guide_channels
        if (guide is None) != (channels == 0):
            raise ImageError("the look needs a guide image" if channels else "the look takes no guide image")
        if guide is not None and guide.shape != (height, width, channels):
            raise ImageError(f"the guide is {guide.shape}, but {(height, width, channels)} is needed")
        size = self.tile_for(height, width, tile)
        styled, carried = np.empty((height, width, 3), np.float32), np.empty((height, width), np.float32)

        def run(piece: Tile) -> float:
            if where is not None and not where[piece.write.slices].any():
                styled[piece.write.slices], carried[piece.write.slices] = rgb[piece.write.slices], 0
                return 0.0
            with self._gate.hold(int(piece.read.pixels * self.bytes_per_pixel)):
                rgb_out, carried_out, seconds = self._run(rgb, stmap, guide, piece.read, size)
                # In place, and a tenth of the time of a transposed copy.
                cv2.merge([plane[piece.crop] for plane in rgb_out], styled[piece.write.slices])
                carried[piece.write.slices] = carried_out[piece.crop]
            return seconds

        pool = self._pools[-1]
        futures: list[Future[float]] = []
        try:
            futures += [pool.submit(run, piece) for piece in self._plan(height, width, size)]
            seconds = sum(future.result() for future in futures)
        except (CancelledError, RuntimeError) as error:
            if not self._closed:
                raise
            raise Interrupted("the look was closed while it stylized") from error
        finally:
            for future in futures:
                future.cancel()
        return Styled(styled, carried, size, seconds)

    def cancel(self) -> None:
        """Stop what is running and refuse more; :meth:`stylize` then raises."""
        with self._lock:
            self._cancelled = True
            for options in self._running:
                options.terminate = True

    def revive(self) -> None:
        """Take work again after :meth:`cancel`; for the owner of a look that is kept, once nothing runs any more."""
        with self._lock:
            self._cancelled = False

    def close(self) -> None:
        """Cancel, end the threads and give the memory back; a closed look stylizes no more. Again is no error."""
        self._closed = True
        self.cancel()
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)
        self._session = None

    def __enter__(self) -> Look:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        keys = ", ".join(str(keyframe.frame) for keyframe in self.card.keyframes)
        return f"<Look {self.path} on {self.device}, keyframes {keys or 'none'}{', closed' if self._closed else ''}>"

    def _plan(self, height: int, width: int, tile: int) -> tuple[Tile, ...]:
        return plan(height, width, tile=tile, halo=self.card.halo, multiple=self.card.multiple)

    def _run(
        self, rgb: Floats, stmap: Floats | None, guide: Floats | None, read: Window, tile: int
    ) -> tuple[Floats, Floats, float]:
        """One read window: (3, H, W) styled and (H, W) carried, in buffers that the thread's next run overwrites."""
        shape = (read.height, read.width)
        self._graph.check_size(*shape)
        plate = self._buffer("plate", (1, 3, *shape))
        styled = self._buffer("styled", (1, 3, *shape))
        carried = self._buffer("carried", (1, 1, *shape))
        # In place, and a quarter of the time of a transposed copy.
        cv2.split(rgb[read.slices], list(plate[0]))
        inputs = {"plate": plate}
        if self.k and stmap is None:
            inputs["stmap"] = self._buffer("nothing", (1, 3 * self.k, *shape))  # never written to
        elif self.k and stmap is not None:
            inputs["stmap"] = self._buffer("stmap", (1, 3 * self.k, *shape))
            inputs["stmap"][0] = stmap[read.slices].transpose(2, 0, 1)
        if guide is not None:
            inputs["guide"] = self._buffer("guide", (1, guide.shape[2], *shape))
            inputs["guide"][0] = guide[read.slices].transpose(2, 0, 1)
        while True:
            session, device = self._session, self._device
            binding, options = session.io_binding(), ort.RunOptions()
            for name, array in inputs.items():
                binding.bind_cpu_input(name, array)
            for name, array in (("styled", styled), ("carried", carried)):
                binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
            with self._lock:
                if self._cancelled:
                    raise Interrupted("stopped on request")
                self._running.add(options)
            started = time.perf_counter()
            try:
                session.run_with_iobinding(binding, options)
                return styled[0], carried[0, 0], time.perf_counter() - started
            except Exception as error:  # onnxruntime's exceptions have no common base
                if self._cancelled:
                    raise Interrupted("stopped on request") from error
                self._recover(error, device, tile)
            finally:
                with self._lock:
                    self._running.discard(options)

    def _recover(self, error: Exception, device: Device, tile: int) -> None:
        """After a failed run: move to the CPU where ``auto`` allows that, else raise."""
        message = _first_line(error)
        if device.cuda is not None and self._may_fall_back:
            with self._lock:
                if self._device.cuda is not None:
                    log.warning("%s failed, going on with the CPU: %s", device, message)
                    on_cpu = Device(None, message)
                    self._session = _open_session(self._data, on_cpu, 0, None)
                    self._device = on_cpu
                    free = int(_MEMORY_SHARE * free_bytes())
                    self.limit_memory(free, free)
                    self._pools.append(_tile_threads(self.threads))
            return
        if any(sign in str(error).lower() for sign in _OUT_OF_MEMORY):
            smaller = max(MIN_TILE, (tile or 2 * DEFAULT_TILE) // 2)
            failure = DeviceError(f"{device} ran out of memory", remedy=f"try --tile {smaller}, or run again later")
            failure.exit_code = 1
            raise failure from error
        raise LookError(f"the look failed on {device}: {message}", path=self.path) from error

    def _buffer(self, name: str, shape: Sequence[int]) -> Floats:
        """An aligned array of this thread, kept from run to run and grown where needed; zeros at first."""
        count = int(np.prod(shape))
        store: dict[str, Floats] = self._buffers.__dict__
        held = store.get(name)
        if held is None or held.size < count:
            raw = np.zeros(count + _ALIGNMENT // 4, np.float32)
            skip = (-raw.ctypes.data % _ALIGNMENT) // 4
            held = store[name] = raw[skip : skip + count]
        return held[:count].reshape(shape)


class _Gate:
    """Lets tiles in while their memory fits; one is always let in, so that nothing waits for ever."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, need: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._used == 0 or self._used + need <= self.capacity)
            self._used += need
        try:
            yield
        finally:
            with self._changed:
                self._used -= need
                self._changed.notify_all()


def _tile_threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="tile")


def _open_session(data: bytes, device: Device, memory_bytes: int, tensorrt_cache: Path | None) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # A pattern of a whole run takes one block that is half as large again as the tensors alive at once.
    options.enable_mem_pattern = False
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    providers = _providers(device, memory_bytes, tensorrt_cache)
    if device.cuda is not None:
        load_cuda_libraries()
        options.log_severity_level = 4
    try:
        session = ort.InferenceSession(data, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common base
        if device.cuda is not None:
            raise DeviceError(f"{device} does not work: {_first_line(error)}", remedy="use --device cpu") from error
        raise LookError(f"onnxruntime cannot load the look: {_first_line(error)}") from error
    if device.cuda is not None and "CUDAExecutionProvider" not in session.get_providers():
        raise DeviceError(
            f"{device} does not work: onnxruntime could not load its CUDA provider (are CUDA and cuDNN installed?)",
            remedy="use --device cpu, or run paintover doctor",
        )
    return session


def _providers(device: Device, memory_bytes: int, tensorrt_cache: Path | None) -> list[Any]:
    if device.cuda is None:
        return ["CPUExecutionProvider"]
    cuda = {
        "device_id": str(device.cuda),
        # An exhaustive search picks by the clock, so two runs would differ; TF32 has ten bits, tiles need more.
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
        "arena_extend_strategy": "kSameAsRequested",
        "gpu_mem_limit": str(memory_bytes),
    }
    found: list[Any] = [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]
    if tensorrt_cache is not None:
        tensorrt_cache.mkdir(parents=True, exist_ok=True)
        engines = {
            "device_id": str(device.cuda),
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(tensorrt_cache),
            "trt_timing_cache_enable": "True",
        }
        found.insert(0, ("TensorrtExecutionProvider", engines))
    return found


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
