"""``python tests/support/resolve_types.py``: mypy on the installed Resolve scripts, against published stubs.

It fetches ``fusionscript-stubs`` from the package index into a temporary folder; exit code 1 where mypy finds anything
in our files, 3 where the stubs cannot be fetched. The stubs themselves are not strict, and what mypy says of them does
not count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from plugin.hosts.install_resolve import install

VERSIONS = ("18.6.6", "19.1", "20.0", "21.0.0")


def findings(version: str, folder: Path) -> list[str]:
    """What mypy says of our files, given the stubs of a version.

    Raises:
        CalledProcessError: the stubs cannot be fetched.
    """
    stubs = folder / version
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(stubs)]
    subprocess.run([*pip, f"fusionscript-stubs=={version}"], check=True)
    # Below MYPYPATH a stub package goes by its module's name.
    (stubs / "fusionscript-stubs").rename(stubs / "fusionscript")
    words = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "-p", "paintover_resolve"]
    done = subprocess.run(
        [*words, "--cache-dir", str(folder / "cache" / version)],
        cwd=folder / "Fusion" / "Paintover",
        env={**os.environ, "MYPYPATH": str(stubs)},
        capture_output=True,
        text=True,
    )
    lines = (done.stdout + done.stderr).splitlines()
    if not any("checked" in line or "no issues" in line for line in lines):
        return lines or ["mypy said nothing"]
    return [line for line in lines if line.startswith("paintover_resolve")]


def main() -> int:
    """Print what is found, by version."""
    found = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder / "Fusion")
        for version in VERSIONS:
            try:
                lines = findings(version, folder)
            except subprocess.CalledProcessError:
                print(f"fusionscript-stubs {version} cannot be fetched: nothing was checked against it")
                return 3
            found += len(lines)
            print(f"{version}: {len(lines)} findings", *lines, sep="\n  ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
