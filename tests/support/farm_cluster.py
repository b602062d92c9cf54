"""A SLURM cluster of two nodes on this machine, from Debian's packages, without installing them.

``SlurmCluster(folder)`` as a context manager: one slurmctld, two slurmd on the loopback address, each a process of ours
in a group of its own. Nothing is authenticated (``auth/none``), so it is for tests alone. The packages are fetched once
into a cache folder by ``apt-get download`` and unpacked by ``dpkg -x``; where that cannot be done, entering skips the
test and says why.
"""

from __future__ import annotations

import contextlib
import ctypes
import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

__all__ = ["NODES", "SlurmCluster", "packages"]

NODES = ("n1", "n2")

_PACKAGES = ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "munge", "libmunge2", "libhwloc15")
_BINARIES = ("slurmctld", "slurmd", "slurmstepd")
_PR_SET_PDEATHSIG = 1

_CONFIG = """\
ClusterName=paintover
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
# A job that is tried again waits until these have expired: two minutes, where nothing is said.
AuthInfo=cred_expire=10
PluginDir={plugins}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=10000,batch_sched_delay=0
MaxArraySize={array_size}
JobRequeue=1
ReturnToService=2
SlurmdTimeout=6
MessageTimeout=3
KillWait=2
MinJobAge=600
SlurmctldParameters=idle_on_node_suspend
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=1000 State=UNKNOWN
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def packages() -> Path:
    """The folder with Debian's SLURM unpacked, fetched on the first call; skips the test where that cannot be done."""
    if sys.platform != "linux":
        pytest.skip("a SLURM cluster needs Linux")
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            pytest.skip(f"a SLURM cluster is made from Debian's packages, and there is no {tool}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paintover-tests"
    root = cache / "slurm"
    if not root.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        # Made aside and renamed: two test runs at once must not see half of it.
        with tempfile.TemporaryDirectory(dir=cache) as aside:
            unpacked = Path(aside) / "slurm"
            _unpack(Path(aside), unpacked)
            with contextlib.suppress(OSError):
                unpacked.rename(root)
    if not (_plugins(root) / "auth_none.so").is_file():
        pytest.skip(f"this SLURM has no auth/none, which a cluster without keys needs ({root})")
    tried = subprocess.run(
        [root / "usr/sbin/slurmd", "-V"],
        env={**os.environ, "LD_LIBRARY_PATH": _libraries(root)},
        capture_output=True,
        text=True,
    )
    if tried.returncode != 0:
        pytest.skip(f"Debian's SLURM does not run here: {tried.stderr.strip()}")
    return root


def _unpack(debs: Path, root: Path) -> None:
    words = ["apt-get", "download", *_PACKAGES]
    try:
        fetched = subprocess.run(words, cwd=debs, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip("Debian's SLURM packages cannot be had: no answer within two minutes")
    if fetched.returncode != 0:
        why = fetched.stderr.strip().splitlines() or ["no reason given"]
        pytest.skip(f"Debian's SLURM packages cannot be had: {why[-1]}")
    for deb in sorted(debs.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(deb), str(root)], check=True, timeout=60)
    for name in _BINARIES:
        (root / "usr/sbin" / name).symlink_to(f"{name}-wlm")


def _plugins(root: Path) -> Path:
    return next(root.glob("usr/lib/*/slurm-wlm"), root)


def _libraries(root: Path) -> str:
    return os.pathsep.join([str(_plugins(root)), str(_plugins(root).parent)])


def _free_ports(count: int) -> list[int]:
    """Not of those that a system gives away unasked: nobody else gets one before its daemon takes it."""
    free: list[int] = []
    for port in random.SystemRandom().sample(range(20000, 32000), 1000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            free.append(port)
        if len(free) == count:
            return free
    pytest.fail("a SLURM cluster needs free ports, and there are none")


def _die_with_parent() -> None:
    """A test run that is killed takes its daemons along."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class SlurmCluster:
    """``folder`` holds configuration, state and logs; ``array_size`` is the cluster's MaxArraySize."""

    def __init__(self, folder: Path, *, array_size: int = 1001) -> None:
        self.root = packages()
        self.folder = folder
        plugins = _plugins(self.root)
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            (folder / name).mkdir(parents=True)
        config = folder / "slurm.conf"
        config.write_text(
            _CONFIG.format(
                folder=folder, plugins=plugins, user=getpass.getuser(), ports=_free_ports(3), array_size=array_size
            )
        )
        (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        self.environment: dict[str, str] = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))},
            "SLURM_CONF": str(config),
            "LD_LIBRARY_PATH": _libraries(self.root),
            "PATH": os.pathsep.join([str(self.root / "usr/bin"), os.environ["PATH"]]),
        }
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> SlurmCluster:
        try:
            self._start("slurmctld", "slurmctld", "-D", "-i")
            for node in NODES:
                self.start_node(node)
            self.wait(lambda: self.node_states() == dict.fromkeys(NODES, "idle"), 120, "both nodes to be idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel_all()
        for name in list(self._daemons):
            self._kill(name)
        # Steps are orphans once their slurmd is gone.
        for process in self._own_processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node, a first time or again after :meth:`kill_node`."""
        stepd = self.root / "usr/sbin/slurmstepd"
        self._start(node, "slurmd", "-D", "-N", node, "-d", str(stepd))

    def kill_node(self, node: str) -> None:
        """What a power cut does: the slurmd, its steps and everything they run are gone at once."""
        self._kill(node)
        for process in self._own_processes(node):
            with contextlib.suppress(psutil.Error):
                process.kill()

    def command(self, *words: str, timeout_s: float = 60, check: bool = False) -> str:
        """Run one of SLURM's commands; returns its standard output."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=timeout_s)
        if check and done.returncode != 0:
            raise AssertionError(f"{words[0]} failed: {done.stderr}")
        return done.stdout

    def cancel_all(self) -> None:
        """Cancel what is queued or running."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.command("scancel", f"--user={getpass.getuser()}", timeout_s=10)

    def node_states(self) -> dict[str, str]:
        """``idle``, ``alloc``, ``down*`` and so on, by node."""
        rows = (line.split() for line in self.command("sinfo", "-h", "-N", "-o", "%N %t").splitlines())
        return {row[0]: row[1] for row in rows if len(row) == 2}

    def job_states(self) -> dict[str, str]:
        """``COMPLETED``, ``FAILED``, ``CANCELLED`` and so on, by job or array task (``12``, ``13_0``)."""
        rows = self.command("squeue", "-h", "--states=all", "--array", "-o", "%i|%T|%r").splitlines()
        return {row.split("|")[0]: row.split("|")[1] for row in rows if row.count("|") == 2}

    def running_on(self, node: str) -> list[str]:
        """The jobs and array tasks at work on a node, in one look at the queue."""
        rows = self.command("squeue", "-h", "--states=RUNNING", "--array", "-o", "%i|%N").splitlines()
        return [job for job, _, where in (row.partition("|") for row in rows) if where.strip() == node]

    def facts(self, job: str) -> Mapping[str, str]:
        """What ``scontrol show job`` says of a job or array task, by name."""
        words = self.command("scontrol", "-o", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, until: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Poll; fails the test with the daemons' last words when it takes longer."""
        end_s = time.monotonic() + timeout_s
        while not until():
            if time.monotonic() > end_s:
                pytest.fail(f"waited {timeout_s:.0f} s for {what}\n{self.last_words()}")
            time.sleep(0.2)

    def wait_for_jobs(self, timeout_s: float) -> None:
        """Wait until nothing is pending or running."""
        active = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED", "STOPPED"}
        self.wait(lambda: not active & set(self.job_states().values()), timeout_s, "every job to end")

    def last_words(self) -> str:
        """Queue, nodes, and the end of each log."""
        parts = [self.command("squeue", "--states=all", "--array"), self.command("sinfo", "-N", "-l")]
        for log in sorted(self.folder.glob("*.log")):
            parts.append(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-25:]))
        return "\n".join(parts)

    def processes(self, word: str) -> list[psutil.Process]:
        """Processes of the cluster's jobs that have ``word`` as an argument, or as the name of a file in one."""
        return [
            process
            for process in self._own_processes()
            if any(part == word or part.endswith(f"/{word}") for part in _words(process))
        ]

    def _start(self, name: str, binary: str, *arguments: str) -> None:
        log = (self.folder / f"{name}.out.log").open("ab")
        with log:
            self._daemons[name] = subprocess.Popen(
                [str(self.root / "usr/sbin" / binary), *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def _kill(self, name: str) -> None:
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    def _own_processes(self, node: str = "") -> list[psutil.Process]:
        """Steps and what they run, known by the configuration in their environment; of one node or of all."""
        config = self.environment["SLURM_CONF"]
        managers: dict[int, psutil.Process] = {}
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                name = environment.get("SLURMD_NODENAME", "")
                if environment.get("SLURM_CONF") != config or name not in ([node] if node else NODES):
                    continue
                found.append(process)
                # A step's manager has no such environment; what it started has, and is its child.
                parent = process.parent()
                if parent is not None and parent.name() == "slurmstepd":
                    managers[parent.pid] = parent
        # Managers first: one that sees its script die would still report that to the controller.
        return [*managers.values(), *found]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
