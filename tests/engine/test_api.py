"""The public API: its names, its types, and how light it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import setuptools  # noqa: F401 (brings distutils, which Python 3.12 no longer has)

import engine
from tests.support import ROOT

PUBLIC = [
    "Card",
    "ColorError",
    "DeviceError",
    "FrameFailures",
    "FrameRange",
    "ImageError",
    "InputError",
    "Interrupted",
    "Keyframe",
    "Look",
    "LookError",
    "MatteSequence",
    "NoPermissionError",
    "OutputError",
    "PaintoverError",
    "Plate",
    "PrepareEvent",
    "PrepareReport",
    "RenderEvent",
    "RenderReport",
    "RenderSettings",
    "SequencePath",
    "Shot",
    "Styled",
    "VerifyError",
    "VerifyReport",
    "__version__",
    "prepare",
    "read_card",
    "read_image",
    "read_stmap",
    "render",
    "sidecar_path",
    "verify",
    "write_image",
    "write_stmap",
]
"""What people's scripts stand on: taking a name away breaks them."""

HEAVY = ("numpy", "OpenImageIO", "PyOpenColorIO", "onnx", "onnxruntime", "cv2", "av", "fileseq", "torch")

USER = """\
import threading

import numpy as np

import engine


def stylized(path: str) -> float:
    with engine.Look.load("hero.onnx", device="cpu") as look:
        styled = look.stylize(engine.read_image(path), stmap=np.zeros((4, 4, 3), np.float32))
        engine.write_image("out.exr", styled.rgb, extra={"paintover.carried": styled.carried})
        keys: list[int] = [keyframe.frame for keyframe in look.card.keyframes]
        return float(styled.carried.max()) + len(keys)


def shown(event: engine.RenderEvent) -> None:
    print(event.kind, event.frame)


plate = engine.Plate.of("plate.%04d.exr", "1001-1100")
made: engine.PrepareReport = engine.prepare(plate, [1001, engine.Keyframe.parse("1002=p.png")], "work")
done: engine.RenderReport = engine.render(
    "hero.onnx", plate=plate, out="out.%04d.exr", work="work", progress=shown, stop=threading.Event()
)
try:
    engine.verify("hero.onnx", "1001-1100", "out.%04d.exr")
except engine.PaintoverError as error:
    print(error.message, error.exit_code)
"""

MISUSE = """\
import engine

engine.rendr
engine.render("hero.onnx", "plate.%04d.exr", "out.%04d.exr")
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.strip()


def test_names() -> None:
    assert engine.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(engine))
    assert [name for name in PUBLIC if getattr(engine, name) is None] == []
    # A function or class, and not a package of the same name.
    assert [name for name in PUBLIC if type(getattr(engine, name)).__name__ == "module"] == []
    assert engine.render is engine.render and engine.Look.__name__ == "Look"


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'engine' has no attribute 'rendr'"):
        engine.rendr  # type: ignore[attr-defined]  # noqa: B018


def test_import_loads_nothing() -> None:
    code = f"import json, sys, engine; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    assert json.loads(python(code)) == []
    assert python("import engine, sys; engine.Look, engine.render, engine.prepare; print('torch' in sys.modules)") == (
        "False"
    )


def test_every_error_is_public() -> None:
    from engine.base import errors

    kinds = {name for name in errors.__all__ if issubclass(getattr(errors, name), engine.PaintoverError)}
    # Training raises the one that is left, and training is a process of its own.
    assert kinds - set(engine.__all__) == {"ExportError"}


def test_the_distribution_says_that_it_is_typed() -> None:
    from distutils.core import run_setup

    here = Path.cwd()
    os.chdir(ROOT)
    try:
        data = run_setup("setup.py", script_args=[], stop_after="init").package_data or {}
    finally:
        os.chdir(here)
    assert "py.typed" in data["engine"] and "py.typed" in data["plugin"]
    assert (ROOT / "engine" / "py.typed").is_file() and (ROOT / "plugin" / "py.typed").is_file()


@pytest.mark.slow
def test_types_of_a_users_program(tmp_path: Path) -> None:
    """As an installed package: mypy takes types from one only where it has py.typed."""
    pytest.importorskip("mypy")
    venv.create(tmp_path / "venv", with_pip=False)
    scripts, ending = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
    interpreter = tmp_path / "venv" / scripts / f"python{ending}"
    asked = [str(interpreter), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    (site / "here.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    (tmp_path / "user.py").write_text(USER, encoding="utf-8")
    (tmp_path / "misuse.py").write_text(MISUSE, encoding="utf-8")
    words = ["-m", "mypy", "--strict", "--python-executable", str(interpreter), "--cache-dir", "cache"]
    environment = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}

    def check(name: str) -> str:
        command = [sys.executable, *words, "--config-file", "", name]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        return done.stdout + done.stderr

    assert check("user.py") == "Success: no issues found in 1 source file\n"
    wrong = check("misuse.py")
    assert 'misuse.py:3: error: Module has no attribute "rendr"' in wrong
    assert 'misuse.py:4: error: Argument 2 to "render" has incompatible type "str"; expected "Plate"' in wrong
