"""Paintover: paint one frame, get the shot."""

from pathlib import Path

from setuptools import find_packages, setup

# onnxruntime-gpu is published for Linux and Windows on x86-64 only; it runs on the CPU where there is no CUDA.
GPU_RUNTIME = "platform_system != 'Darwin' and (platform_machine == 'x86_64' or platform_machine == 'AMD64')"
CPU_RUNTIME = "platform_system == 'Darwin' or (platform_machine != 'x86_64' and platform_machine != 'AMD64')"

# Open Job Description's tools, exactly: without a version, pip takes a placeholder of openjd-cli.
OPENJD = ["openjd-cli==0.8.0", "openjd-model==0.13.0", "openjd-sessions==0.13.0"]

setup(
    name="paintover",
    version="0.1.0",
    description="Paint one frame, get the shot: few-shot stylization of footage for compositors and farms.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    packages=[
        *find_packages(include=["engine", "engine.*", "plugin", "plugin.*"]),
        "nuke_gizmo",
        "nuke_gizmo.paintover_nuke",
        "resolve_fuse",
        "resolve_fuse.paintover_resolve",
    ],
    package_data={
        "engine": ["py.typed"],
        "plugin": ["py.typed"],
        "plugin.client": ["job.schema.json"],
        "plugin.desk": ["page/*"],
        "plugin.report": ["templates/*"],
        "nuke_gizmo": ["Paintover.gizmo"],
        "resolve_fuse": ["Paintover.fuse", "scripts/*.py"],
    },
    python_requires=">=3.10,<3.14",
    install_requires=[
        "numpy>=2.0",
        "OpenImageIO>=3.0",
        "opencolorio>=2.4",
        f"onnxruntime-gpu>=1.19; {GPU_RUNTIME}",
        f"onnxruntime>=1.19; {CPU_RUNTIME}",
        "onnx>=1.17",
        "opencv-python-headless>=4.10",
        "fileseq>=2.1",
        "tomlkit>=0.13",
        "msgspec>=0.19",
        "psutil>=6.0",
        "rich>=13.7",
        "av>=13.0",
        "jinja2>=3.1",
        "numba>=0.61",
    ],
    extras_require={
        "farm": ["distributed>=2024.8"],
        "train": ["torch>=2.4", "safetensors>=0.4", "scipy>=1.13"],
        "desk": ["starlette>=0.40", "uvicorn>=0.30", "websockets>=13"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "ruff>=0.5",
            "mypy>=1.10",
            "import-linter>=2.0",
            "OpenEXR>=3.3",
            "jsonschema>=4.20",
            "types-nuke>=13.2",
            "lupa>=2.2",
            "playwright>=1.48",
            *OPENJD,
        ],
    },
    entry_points={"console_scripts": ["paintover = plugin.cli:main"]},
)
