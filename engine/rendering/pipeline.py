"""Pipeline of frames in this process: while one is inferred, others are read, converted and written.

Every frame runs from file to file in one thread; the look itself lets only so many tiles compute at once. So reading
and writing hide behind inference without queues between stages, and a frame that fails fails alone.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from engine import __version__, images
from engine.base.errors import DeviceError, ImageError, Interrupted, LookError, OutputError, PaintoverError
from engine.base.frames import FrameRange, SequencePath
from engine.base.machine import free_bytes
from engine.base.system_errors import system_error
from engine.color.assignment import assign, claimed_by
from engine.color.config import ColorConfig
from engine.color.known_spaces import film_log_of
from engine.color.showing import Showing
from engine.images.color_claims import ColorClaim, can_claim
from engine.images.encoding import keeps_float
from engine.images.header import Header, place
from engine.images.provenance import file_sha256
from engine.look.session import Look
from engine.look.tiling import plan
from engine.motion.stmap import read_sidecars
from engine.rendering.frame_inputs import FrameInputs
from engine.rendering.look_color import LookColor
from engine.rendering.outside import Outside
from engine.rendering.settings import RenderSettings
from engine.rendering.verify import is_whole
from engine.shot.plate import PlateReader, plate_sha256
from engine.shot.plate_color import PlateColor
from engine.shot.shot import Plate

__all__ = ["FrameResult", "Pipeline", "RenderJob"]

log = logging.getLogger(__name__)

FLOAT_SUFFIXES = {".exr", ".hdr"}
_FILM_FORMATS = {"dpx", "cineon"}
_FLOAT_DEPTHS = {"half", "float"}
_MEMORY_SHARE = 0.8
"""Of the free memory, for everything that renders."""
_FRAME_BYTES = 64
"""Per pixel of a frame in flight: five float copies of RGB at most, alpha, carried, and the encoder's."""
_MATTE_BYTES = 32
"""Likewise, where there is a matte: it, and two copies of the plate."""
_FILM_SUFFIXES = {".dpx", ".cin"}
_TIFF_SUFFIXES = {".tif", ".tiff"}


@dataclass(frozen=True)
class RenderJob:
    """What to render and how; paths are absolute."""

    look: Path
    look_sha256: str
    plate: Plate
    out: SequencePath
    settings: RenderSettings
    settings_hash: str
    work: Path | None
    overwrite: bool
    prepared: Path | None = None
    """Folder with guide images and denoised frames; None for ``work``."""
    recorded: bool = False
    """Whether what was prepared for a frame must be as it was then."""

    def to_json(self) -> str:
        """For a worker process."""
        return json.dumps(
            {
                "look": str(self.look),
                "look_sha256": self.look_sha256,
                "plate": [self.plate.path.text, str(self.plate.frames), self.plate.colorspace, self.plate.path.layer],
                "out": self.out.text,
                "settings": dataclasses.asdict(self.settings),
                "settings_hash": self.settings_hash,
                "work": None if self.work is None else str(self.work),
                "overwrite": self.overwrite,
                "prepared": None if self.prepared is None else str(self.prepared),
                "recorded": self.recorded,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> RenderJob:
        """The inverse of :meth:`to_json`."""
        data = json.loads(text)
        path, frames, colorspace, layer = data["plate"]
        return cls(
            look=Path(data["look"]),
            look_sha256=data["look_sha256"],
            plate=Plate(SequencePath.parse(path).with_layer(layer), FrameRange.parse(frames), colorspace),
            out=SequencePath.parse(data["out"]),
            settings=RenderSettings(**data["settings"]),
            settings_hash=data["settings_hash"],
            work=None if data["work"] is None else Path(data["work"]),
            overwrite=data["overwrite"],
            prepared=None if data["prepared"] is None else Path(data["prepared"]),
            recorded=data["recorded"],
        )


@dataclass(frozen=True)
class FrameResult:
    """What became of one frame."""

    frame: int
    state: str
    """done, skipped or failed."""
    message: str = ""
    """Why it failed."""
    exit_code: int = 0
    """Of the error, where it failed."""
    warnings: tuple[str, ...] = ()
    bad_pixels: int = 0
    """Pixels of the plate that were NaN or Inf."""
    read_s: float = 0.0
    """Hashing, decoding and converting to the working colorspace."""
    infer_s: float = 0.0
    """Inside the session, summed over threads."""
    write_s: float = 0.0
    """Converting from the working colorspace, encoding, flushing, checking."""


class Pipeline:
    """A loaded look at work on one job.

    Args:
        look: a look that is loaded already and stays its owner's; None loads the job's.

    Raises:
        LookError: the file at ``job.look``, or the look given, is not the one whose hash the job names.
        ColorError: a colorspace of the look, the plate or the settings is not in the active OCIO config.
        InputError: the look needs files of a work folder, and the job names none.
    """

    def __init__(
        self, job: RenderJob, *, threads: int, memory_bytes: int | None = None, look: Look | None = None
    ) -> None:
        self.job = job
        self._stamp = _stamp(job.look)
        self._owns_look = look is None
        self.look = look or Look.load(
            job.look,
            device=job.settings.device,
            threads=threads,
            tensorrt=job.settings.tensorrt,
            softness=job.settings.softness,
        )
        if self.look.sha256 != job.look_sha256:
            raise _changed(job.look)
        self._config = ColorConfig.active()
        self._color = LookColor(self._config, self.look.card.working_colorspace)
        self._space = self._color.space
        for name in (job.plate.colorspace, job.settings.out_colorspace):
            if name is not None:
                self._config.resolve(name)
        self._showing = Showing.parse(self.look.card.paint_colorspace, self._config)
        self._plate = PlateReader.of(job.plate, self._config)
        self._inputs = FrameInputs.of(
            self.look.card,
            job.plate.path,
            job.work,
            job.prepared,
            job.settings.denoise,
            recorded=job.recorded,
            matte=job.settings.matte,
        )
        self._memory = memory_bytes if memory_bytes is not None else _memory(job.settings)
        self._in_flight = 1
        self._pixels = 0
        self._lock = threading.Lock()

    def run(
        self,
        frames: queue.SimpleQueue[int | None],
        report: Callable[[FrameResult], None],
        stop: Callable[[], bool],
        started: Callable[[int], None] | None = None,
    ) -> None:
        """Render the frames of a queue until it yields None, reporting each from this thread.

        Args:
            started: called with each frame as its work begins, from the thread that does it.

        Raises:
            OutputError, DeviceError, LookError: what stops the rest as well; what is in flight is dropped.
            Interrupted: ``stop`` said so.
        """
        pending: set[Future[FrameResult]] = set()
        more = True
        pool = ThreadPoolExecutor(self._most_in_flight(), thread_name_prefix="frame")
        try:
            while more or pending:
                while more and len(pending) < self._in_flight:
                    try:
                        frame = frames.get(timeout=0.0 if pending else 0.1)
                    except queue.Empty:
                        break
                    if frame is None:
                        more = False
                    else:
                        pending.add(pool.submit(self._one, frame, started))
                if stop():
                    raise Interrupted("stopped on request", remedy="run again to render the rest")
                done, pending = (
                    wait(pending, timeout=0.05, return_when=FIRST_COMPLETED) if pending else (set(), pending)
                )
                for future in done:
                    report(future.result())
        except BaseException:
            self.look.cancel()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """End the look's threads, unless the look is somebody else's."""
        if self._owns_look:
            self.look.close()

    def _one(self, frame: int, started: Callable[[int], None] | None) -> FrameResult:
        try:
            if started is not None:
                started(frame)
            return self._render(frame)
        except (OutputError, DeviceError, Interrupted, _LookChanged):
            raise
        except PaintoverError as error:
            error.frame = frame if error.frame is None else error.frame
            return FrameResult(frame, "failed", str(error), error.exit_code)
        except MemoryError:
            log.debug("frame %d", frame, exc_info=True)
            remedy = "give fewer --workers or a smaller --tile"
            return FrameResult(frame, "failed", f"frame {frame}: memory ran out; {remedy}", 1)
        except OSError as fault:
            log.debug("frame %d", frame, exc_info=True)
            failure = system_error(fault, frame=frame)
            return FrameResult(frame, "failed", str(failure), failure.exit_code)
        except Exception as error:
            log.debug("frame %d", frame, exc_info=True)
            return FrameResult(frame, "failed", f"frame {frame}: {type(error).__name__}: {error}", 1)

    def _render(self, frame: int) -> FrameResult:
        job, started = self.job, time.perf_counter()
        source, target = job.plate.path.path(frame), job.out.path(frame)
        sidecars, stamp = self._inputs.sidecars(frame), _stamp(source)
        plate = plate_sha256(job.plate.path, frame)
        facts = {
            "look": self.look.sha256,
            "settings": job.settings_hash,
            "plate": plate,
            **self._inputs.facts(frame, plate),
        }
        if self._showing is not None and self._is_picture(target, source):
            facts["shown"] = str(self._showing)
        warnings = []
        if not job.overwrite and is_whole(target, facts):
            color, carried = (
                PlateColor.of(job.plate.path, job.plate.colorspace, frame, self._config),
                images.read_provenance(target),
            )
            if color.fits(carried):
                return FrameResult(frame, "skipped", read_s=time.perf_counter() - started)
            warnings.append(color.why_again(carried))
        read = self._plate.read(frame)
        if _stamp(source) != stamp:
            raise ImageError("the plate changed while it was read", frame=frame, path=source, remedy="run again")
        header, bad_pixels, space, rgb = read.image.header, read.image.bad_pixels, read.space, read.rgb
        window = read.window
        del read
        height, width = rgb.shape[:2]
        self._fit_memory(height, width)
        inputs = self._inputs
        outside = None
        if inputs.matte is not None:
            outside = Outside(inputs.matte.fitted(frame, header, window), rgb.copy())
        if inputs.denoised is None:
            self._color.to_look(rgb, space)
        else:
            rgb = inputs.denoised.read(frame, height, width)
            self._color.to_look(rgb, self._config.working)
        guide = None if inputs.guide is None else inputs.guide.read(frame, height, width)
        stmap = read_sidecars(sidecars, height, width, frame=frame)
        read_s = time.perf_counter() - started

        where = None if outside is None else outside.stylized
        styled = self.look.infer(rgb, stmap=stmap, guide=guide, tile=job.settings.tile, where=where)
        if where is not None and not where.any():
            warnings.append(f"frame {frame}: the matte is empty: the whole plate stays")
        if bad_pixels:
            warnings.append(f"frame {frame}: {bad_pixels} pixels of the plate are NaN or Inf; filled from neighbours")
        # All at once first: looking at each pixel takes twenty times as long, and hardly a frame needs it.
        if not np.isfinite(styled.rgb).all():
            lost = ~np.isfinite(styled.rgb).all(axis=2)
            styled.rgb[lost] = rgb[lost]
            warnings.append(
                f"frame {frame}: the look gave no number for {int(lost.sum())} pixels; the plate shows there"
            )
        if outside is not None:
            # What is denoised is for the look to see; outside stays the plate with its grain.
            linear = rgb if inputs.denoised is None else outside.own.copy()
            if inputs.denoised is not None:
                self._color.to_look(linear, space)
            outside.blend(styled.rgb, styled.carried, linear)
            del linear
        del rgb, stmap, guide

        started = time.perf_counter()
        wanted, showing = self._out_space(header, space, target)
        if showing is None:
            self._color.from_look(styled.rgb, wanted)
        else:
            self._color.show(styled.rgb, showing)
        if outside is not None and showing is None and wanted == space:
            outside.restore(styled.rgb)
        extra = (
            {"paintover.carried": place(styled.carried, window, header.data)} if job.settings.carried_layer else None
        )
        facts |= {"version": __version__, "tile": str(styled.tile), "colorspace": wanted, "plate_colorspace": space}
        if _stamp(job.look) != self._stamp and file_sha256(job.look) != self.look.sha256:
            raise _changed(job.look)
        claim = self._claim(header, space, wanted, target)
        if claim is not None and not self._is_said(claim, wanted, target):
            remedy = "tell whoever reads them, or write .exr or .png"
            warnings.append(f"{target.suffix} frames cannot say that they are {wanted}; {remedy}")
        images.write(
            target,
            place(styled.rgb, window, header.data),
            like=header,
            extra=extra,
            provenance=facts,
            bit_depth=job.settings.bit_depth,
            compression=job.settings.compression,
            color=claim,
        )
        write_s = time.perf_counter() - started
        return FrameResult(frame, "done", "", 0, tuple(warnings), bad_pixels, read_s, styled.infer_s, write_s)

    def _out_space(self, header: Header, plate_space: str, target: Path) -> tuple[str, Showing | None]:
        """The colorspace to write, and the view to show it through: as set, else what the plate's kind asks for.

        The plate's own where the output's kind of number is the plate's. A picture of a scene-linear plate or of a film
        scan is shown as its painter saw it.
        """
        settings = self.job.settings
        if settings.out_colorspace is not None:
            return self._config.resolve(settings.out_colorspace), None
        plate_is_float = header.bit_depth in _FLOAT_DEPTHS
        suffix = target.suffix.lower()
        keeps = settings.bit_depth is None and suffix in _TIFF_SUFFIXES and keeps_float(header, "tiff")
        if suffix in FLOAT_SUFFIXES or settings.bit_depth in _FLOAT_DEPTHS or keeps:
            return (plate_space if plate_is_float else self._space), None
        if suffix in _FILM_SUFFIXES:
            return (film_log_of(self._config) if plate_is_float else plate_space), None
        if not plate_is_float and header.file_format not in _FILM_FORMATS:
            return plate_space, None
        if self._showing is not None:
            return self._showing.colorspace(self._config), self._showing
        if not plate_is_float:
            return plate_space, None
        if self._config.find("sRGB"):
            return self._config.resolve("sRGB"), None
        showing = Showing.default(self._config)
        return showing.colorspace(self._config), showing

    def _is_picture(self, target: Path, source: Path) -> bool:
        """Whether a frame is made for looking at."""
        suffix = target.suffix.lower()
        if suffix in _TIFF_SUFFIXES and source.suffix.lower() in _TIFF_SUFFIXES and source.is_file():
            asked = self.job.settings.bit_depth
            return not (asked is None and keeps_float(images.read_header(source), "tiff"))
        return suffix not in FLOAT_SUFFIXES | _FILM_SUFFIXES

    def _claim(self, header: Header, space: str, wanted: str, target: Path) -> ColorClaim | None:
        """What the frame says of its color; None for what the plate says, where that stays true."""
        same_format = target.suffix.lower() == self.job.plate.path.path(self.job.plate.frames.first).suffix.lower()
        keeps = wanted == space and same_format and len(header.color.rgb) == 3
        own = claimed_by(self._config, header) if keeps and all(claim.is_copied for claim in header.claims) else None
        if own is not None and own.colorspace == wanted:
            return None
        return self._config.claim_for(wanted)

    def _is_said(self, claim: ColorClaim, wanted: str, target: Path) -> bool:
        """Whether others can take a frame for what it is: it says so, or all files of its kind are that."""
        if can_claim(target.suffix.lower(), claim) or self._config.is_data(wanted):
            return True
        return assign(self._config, None, target).colorspace == wanted

    def _most_in_flight(self) -> int:
        return self.look.threads + 2

    def _fit_memory(self, height: int, width: int) -> None:
        """Once the size of the frames is known: how many may be in flight, and how many tiles at once."""
        with self._lock:
            if height * width <= self._pixels:
                return
            self._pixels = height * width
            maps = 12 * self.look.k if self.job.work is not None else 0
            matte = 0 if self._inputs.matte is None else _MATTE_BYTES
            frame = height * width * (_FRAME_BYTES + maps + matte + 4 * self.look.card.guide_channels)
            on_cpu = self.look.device == "cpu"
            one = max(0, self._memory - frame)
            if on_cpu:
                self.look.limit_memory(one, one)
            size = self.look.tile_for(height, width, self.job.settings.tile)
            grid = plan(height, width, tile=size, halo=self.look.card.halo, multiple=self.look.card.multiple)
            tile = int(max(piece.read.pixels for piece in grid) * self.look.bytes_per_pixel) if on_cpu else 0
            frames, tiles = 1, 1
            growing = True
            while growing:
                growing = False
                for more_frames, more_tiles in ((1, 0), (0, 1)):
                    wanted = (frames + more_frames, tiles + more_tiles)
                    within = wanted[0] <= self._most_in_flight() and wanted[1] <= self.look.threads
                    if within and wanted[0] * frame + wanted[1] * tile <= self._memory:
                        (frames, tiles), growing = wanted, True
            if on_cpu:
                self.look.limit_memory(one, tiles * tile)
            self._in_flight = frames
            log.debug("%dx%d: %d frames in flight, %d tiles of %d at once", width, height, frames, tiles, size)


class _LookChanged(LookError):
    """The look is no longer the one that was loaded."""


def _stamp(path: Path) -> tuple[int, int, int]:
    """Changes when a file is replaced or written to."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return status.st_size, status.st_mtime_ns, status.st_ino


def _changed(path: Path) -> _LookChanged:
    return _LookChanged(
        "the look changed while rendering", path=path, remedy="run again: frames of the old look are rendered anew"
    )


def _memory(settings: RenderSettings) -> int:
    if settings.memory_gib is None:
        return int(_MEMORY_SHARE * free_bytes())
    return int(settings.memory_gib * 2**30) - int(psutil.Process().memory_info().rss)
