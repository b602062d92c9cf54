"""Dask distributed: one machine or many, with nothing to set up but a scheduler and workers.

The client, this process, goes through the plan's steps; workers run each task as a process of its own
(:mod:`plugin.farm.dask_task`). So a lost worker costs the chunk that it had in hand, and a frame that always fails
fails alone. Without an address a cluster is started on this machine, which listens on the loopback interface only: Dask
has no authentication but TLS certificates.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from engine.base.device import cuda_devices
from engine.base.errors import InputError, PaintoverError
from engine.base.machine import cpu_count, free_bytes
from plugin.arguments.farm_options import PATH_MAPPING
from plugin.arguments.options import Options
from plugin.farm import job_files
from plugin.farm.dask_run import RunReport, render_plan, run_plan
from plugin.farm.plan import FarmPlan, program
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

if TYPE_CHECKING:
    from distributed import Client, Security, SpecCluster

__all__ = [
    "MAX_CHUNKS",
    "SUMMARY",
    "check_installed",
    "commands",
    "connected",
    "local_cluster",
    "local_workers",
    "render_here",
    "submit",
]

SUMMARY = "Dask: a local cluster, or a scheduler's address"
MAX_CHUNKS = 10_000
"""Dask's scheduler spends about a millisecond on a task; with more, its memory begins to count."""

_CONNECT_S = 20
_CLOSE_S = 3
_WORKER_BYTES = 4 * 2**30
_THREADS_EACH = 8
_LOOPBACK = "127.0.0.1"


def submit(plan: FarmPlan, options: Options, progress: Progress, stop: StopRequest) -> int:
    """Run the plan to its end, and stay with it.

    Raises:
        InputError: distributed is not installed, or the scheduler's address or certificates are wrong.
        FrameFailures: frames failed; the others are done.
        VerifyError: every task succeeded and frames are missing or damaged all the same.
        Interrupted: a stop was asked for; whole frames stay.
        PaintoverError: training or preparing failed, or the scheduler is gone.
    """
    file = plan.work / "farm" / "dask" / "commands.sh"
    if options.dry_run:
        job_files.show({file: commands(plan)})
        return 0
    if options.write_only:
        job_files.write({file: commands(plan)})
        progress.note(f"{file}: what the tasks would run, one command a line", {"commands": str(file)})
        progress.finish()
        return 0
    check_installed()
    extra = tuple(PATH_MAPPING.words(options.worker_path_mapping or None))
    with stop.cooperative():
        if options.address:
            with connected(options.address, security_from(options)) as client:
                run_plan(plan, client, options, progress, stop, words=extra)
        else:
            count = options.workers or local_workers()
            threads = max(1, cpu_count() // count)
            with local_cluster(count) as cluster, connected(cluster, None) as client:
                run_plan(plan, client, options, progress, stop, words=extra, threads=threads)
    progress.finish()
    return 0


def render_here(plan: FarmPlan, options: Options, progress: Progress, stop: StopRequest, *, workers: int) -> RunReport:
    """Render a plan's frames on a local cluster, in the phase ``render`` that the caller planned.

    The plan's commands must name no number of threads: workers share those of ``--threads``.

    Args:
        workers: 0 where it is to be found out.

    Raises:
        InputError: distributed is not installed.
        FrameFailures: some frames failed; the others are done.
        PaintoverError: rendering failed otherwise.
        Interrupted: a stop was asked for; whole frames stay.
    """
    check_installed()
    count = min(workers or local_workers(), len(plan.frames))
    threads = max(1, (options.threads or cpu_count()) // count)
    with stop.cooperative(), local_cluster(count) as cluster, connected(cluster, None) as client:
        return render_plan(plan, client, options, progress, stop, threads=threads)


def commands(plan: FarmPlan) -> str:
    """The commands of all tasks, in an order in which one machine could run them."""
    lines = ["#!/bin/sh", f"# Paintover, {plan.name}: the commands of its tasks, in order.", "set -e"]
    for step in plan.steps:
        lines += [f"# {step.name}", *(shlex.join((*program(), *step.words(task))) for task in range(step.tasks))]
    return "\n".join(lines) + "\n"


def check_installed() -> None:
    """Dask distributed is here.

    Raises:
        InputError: it is not.
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        remedy = "install it with: pip install 'paintover[farm]'"
        raise InputError("the engine dask needs Dask distributed, which is not here", remedy=remedy) from error


def security_from(options: Options) -> Security | None:
    """The certificates given, or None.

    Raises:
        InputError: a file is missing, or some are given without the others.
    """
    from distributed import Security

    files = {"--tls-ca": options.tls_ca, "--tls-cert": options.tls_cert, "--tls-key": options.tls_key}
    for option, path in files.items():
        if path is not None and not os.path.isfile(path):  # noqa: PTH113 (None is no path)
            raise InputError("the certificate or key is missing", path=path, remedy=f"check {option}")
    if not any(files.values()):
        if str(options.address).startswith("tls:"):
            raise InputError(f"{options.address} needs certificates", remedy="give --tls-ca and --tls-cert")
        return None
    if options.tls_ca is None or options.tls_cert is None:
        raise InputError("a certificate of one side is not enough", remedy="give --tls-ca and --tls-cert")
    return Security(
        tls_ca_file=options.tls_ca,
        tls_client_cert=options.tls_cert,
        tls_client_key=options.tls_key or options.tls_cert,
        require_encryption=True,
    )


@contextmanager
def connected(target: str | SpecCluster, security: Security | None) -> Iterator[Client]:
    """A client of a scheduler.

    Raises:
        InputError: an address that is none.
        PaintoverError: nobody answers there.
    """
    from distributed import Client

    try:
        client = Client(target, security=security, timeout=_CONNECT_S, set_as_default=False)
    except ValueError as error:
        raise InputError(f'"{target}" is no scheduler\'s address', remedy="write tcp://host:8786") from error
    except (OSError, TimeoutError) as error:
        remedy = "check --address and that dask scheduler runs there; TLS needs certificates on both sides"
        raise PaintoverError(f"no Dask scheduler answers at {target}", remedy=remedy) from error
    try:
        yield client
    finally:
        # Closing waits for a scheduler that may be gone.
        with suppress(Exception):
            client.close(timeout=_CLOSE_S)


@contextmanager
def local_cluster(count: int) -> Iterator[SpecCluster]:
    """A scheduler and ``count`` workers, each a process that runs one task at a time, on the loopback interface.

    On GPUs each worker has one for itself: the first, the second, and so on of those that this process may use.
    """
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    gpus = _visible_gpus()
    here = {"host": _LOOPBACK, "dashboard": False, "dashboard_address": f"{_LOOPBACK}:0"}

    def worker(number: int) -> dict[str, Any]:
        options: dict[str, Any] = {"nthreads": 1, "silence_logs": 40, **here}
        if gpus:
            options["env"] = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]}
        # A task that asks for a GPU must find one even where there is none: it then runs on the CPU.
        return {"cls": Nanny, "options": {**options, "resources": {"GPU": 1}, "memory_limit": 0}}

    scheduler = {"cls": Scheduler, "options": {"port": 0, **here}}
    with dask.config.set({"distributed.comm.timeouts.connect": "10s", "distributed.admin.tick.limit": "30s"}):
        cluster = SpecCluster(
            workers={number: worker(number) for number in range(count)}, scheduler=scheduler, silence_logs=40
        )
        try:
            yield cluster
        finally:
            with suppress(Exception):
                cluster.close(timeout=_CLOSE_S)


def local_workers() -> int:
    """How many workers this machine serves: one for each GPU, else as many as cores and memory allow."""
    devices = cuda_devices()[0]
    if devices:
        return len(devices)
    return max(1, min(cpu_count() // _THREADS_EACH, free_bytes() // _WORKER_BYTES))


def _visible_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The names by which CUDA_VISIBLE_DEVICES has the GPUs of this process, one each."""
    count = len(cuda_devices()[0])
    named = [name.strip() for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(named[:count]) if named else tuple(str(index) for index in range(count))
