"""Where a large job's bottleneck is, by arithmetic: what a shared disk, a network and a scheduler can take.

Nothing here is measured by running 200 machines. Each number says where it comes from, and docs/farm.md gives them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.base.errors import InputError

__all__ = ["Capacity", "Farm", "Load", "capacity"]


@dataclass(frozen=True)
class Farm:
    """What a farm can take; the defaults are a common one, stated in docs/farm.md.

    Raises:
        InputError: a number that is not positive.
    """

    machines: int = 200
    disk_bytes_per_s: float = 1.25e9
    """What the file server gives all machines together: one 10 Gbit/s port."""
    machine_bytes_per_s: float = 1.25e8
    """What one machine's network takes: 1 Gbit/s."""
    opens_per_s: float = 5000.0
    """Files that the file server opens a second, for all machines together."""
    tasks_per_s: float = 200.0
    """Tasks that the scheduler hands out and takes back a second; ``python -m plugin.farm.measure`` measures Dask's."""

    def __post_init__(self) -> None:
        _check("a farm", vars(self))


@dataclass(frozen=True)
class Load:
    """What a job asks for.

    Raises:
        InputError: a number that is not positive, or sidecars for a negative number of keyframes.
    """

    frames: int = 10_000
    frame_s: float = 5.0
    """Seconds of computing for a frame on one machine."""
    start_s: float = 4.3
    """Seconds of starting for a chunk."""
    chunk: int = 13
    look_bytes: float = 78e6
    """Three keyframes at 1920x1080, 12 bytes a pixel, and the network."""
    plate_bytes: float = 7e6
    """A frame of 1920x1080, half float, ZIP; measured on smooth content with grain."""
    out_bytes: float = 7e6
    keyframes: int = 3
    """Of each shot."""
    shot_frames: int = 100
    """Frames of a shot; the job is as many shots as its frames make."""
    prepare_s: float = 1.2
    """Seconds to follow a keyframe by one frame of 1920x1080: 0.35 of flow, 0.86 of chaining; measured on one core."""
    sidecar_bytes: float = 23e6
    """Of one keyframe's STMap for one frame of 1920x1080; measured on a flow with an estimate's noise."""
    verify_tasks: int = 40
    """Machines that verify side by side."""
    files_at_start: int = 1030
    """That Python and its libraries ask for, where they lie on the shared disk; counted with strace."""

    def __post_init__(self) -> None:
        _check("a job", vars(self), or_none=("keyframes", "files_at_start"))


@dataclass(frozen=True)
class Capacity:
    """Seconds that each part of the farm is busy with a job; what takes longest is what the job takes at least."""

    compute_s: float
    """Machines: computing, and starting chunks."""
    look_s: float
    """The file server: the look, once for each chunk."""
    sidecar_s: float
    """The file server: STMaps."""
    images_s: float
    """The file server: plate frames out, stylized frames in."""
    opens_s: float
    """The file server: files opened, images and sidecars, their records, and what starting opens."""
    network_s: float
    """One machine's network."""
    scheduler_s: float
    prepare_s: float
    """Before rendering: a keyframe is followed frame by frame, so one task takes at least its longest way."""
    verify_s: float
    """After rendering: every frame, its plate and its STMaps are read once more, for their hashes."""
    ideal_s: float
    """Machines: computing frames, and nothing else, none of them idle."""
    chunks: int

    @property
    def disk_s(self) -> float:
        """The file server's bytes: looks, sidecars and images together."""
        return self.look_s + self.sidecar_s + self.images_s

    @property
    def bottleneck(self) -> str:
        """Of rendering: compute, disk, opens, network or scheduler."""
        parts = {name: getattr(self, f"{name}_s") for name in ("compute", "disk", "opens", "network", "scheduler")}
        return max(parts, key=lambda name: parts[name])

    @property
    def wall_s(self) -> float:
        """At least: preparing, then rendering, whose parts overlap, then verifying."""
        parts = (self.compute_s, self.disk_s, self.opens_s, self.network_s, self.scheduler_s)
        return self.prepare_s + max(parts) + self.verify_s

    @property
    def efficiency(self) -> float:
        """0..1: the share of the machines' time that is spent on frames."""
        return self.ideal_s / self.wall_s


def capacity(load: Load, farm: Farm) -> Capacity:
    """What a job takes of a farm."""
    chunks = math.ceil(load.frames / load.chunk)
    rounds = math.ceil(chunks / farm.machines)
    look_bytes = chunks * load.look_bytes
    sidecar_bytes = load.frames * load.keyframes * load.sidecar_bytes
    image_bytes = load.frames * (load.plate_bytes + load.out_bytes)
    verify_bytes = sidecar_bytes + image_bytes
    side_by_side = min(load.verify_tasks, farm.machines)
    # A sidecar and the record of its hash, a plate frame, a stylized one.
    opened = load.frames * (2 + 2 * load.keyframes) + chunks * (1 + load.files_at_start)
    return Capacity(
        compute_s=rounds * (load.start_s + load.chunk * load.frame_s),
        look_s=look_bytes / farm.disk_bytes_per_s,
        sidecar_s=sidecar_bytes / farm.disk_bytes_per_s,
        images_s=image_bytes / farm.disk_bytes_per_s,
        opens_s=opened / farm.opens_per_s,
        network_s=(look_bytes + sidecar_bytes + image_bytes) / farm.machines / farm.machine_bytes_per_s,
        scheduler_s=(chunks + 2) / farm.tasks_per_s,
        prepare_s=_prepare_s(load, farm),
        verify_s=max(verify_bytes / farm.disk_bytes_per_s, verify_bytes / side_by_side / farm.machine_bytes_per_s),
        ideal_s=load.frames * load.frame_s / farm.machines,
        chunks=chunks,
    )


def _check(what: str, numbers: Mapping[str, float], or_none: Sequence[str] = ()) -> None:
    """Every number is positive, or 0 where that is a number too."""
    for name, value in numbers.items():
        if not (0 < value < math.inf or (value == 0 and name in or_none)):
            raise InputError(f"{what} with {name} {value} cannot be planned for")


def _prepare_s(load: Load, farm: Farm) -> float:
    if not load.keyframes:
        return 0.0
    shared = load.frames * load.keyframes * load.prepare_s / farm.machines
    return max(shared, min(load.shot_frames, load.frames) * load.prepare_s)
