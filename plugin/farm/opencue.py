"""OpenCue: one job, a layer for each step, as the XML that Cuebot takes. Validated, not executed.

``#FRAMESPEC#`` is the chunk in OpenCue's dialect; ``#IFRAME#`` counts the parts of preparing. A layer starts when every
frame of those before it has succeeded. The time limit of a frame is ours (``--timeout``) and not the layer's, whose
unit the sources give as seconds and as minutes. Cuebot tries a frame again once at most, whatever its exit code.

Source: OpenCue's job specification, cjsl-1.12.dtd, and the names that Cuebot accepts.
"""

from __future__ import annotations

import getpass
import os
import re
import shlex
from collections.abc import Sequence
from xml.etree import ElementTree

from engine.base.errors import InputError
from engine.base.frames import FrameRange
from engine.base.shell_words import shell_line
from plugin.arguments.dialects import format_opencue
from plugin.arguments.farm_options import FRAMES_DIALECT, SHARD
from plugin.arguments.options import Options
from plugin.arguments.table import FRAMES
from plugin.farm import job_files
from plugin.farm.plain_text import plain
from plugin.farm.plan import FarmPlan, FarmStep
from plugin.farm.program import program_from
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["MAX_CHUNKS", "SUMMARY", "job_xml", "submit"]

SUMMARY = "OpenCue: the XML of a job (validated, not executed)"
MAX_CHUNKS = 10_000
"""A job may have ten times as many frames, of all layers."""

_DOCTYPE = (
    '<?xml version="1.0"?>\n'
    '<!DOCTYPE spec PUBLIC "SPI Cue  Specification Language" "http://localhost:8080/spcue/dtd/cjsl-1.12.dtd">\n'
)
_MAX_RETRIES = 1
_TOKEN = re.compile(r"#[A-Z_]+#")


def submit(plan: FarmPlan, options: Options, progress: Progress, stop: StopRequest) -> int:
    """Write the job's XML, which never submits itself, to ``farm/opencue`` in the work folder; returns 0.

    Raises:
        InputError: a name that Cuebot refuses, or a word that it would replace.
        OutputError: the file cannot be written.
    """
    text = job_xml(plan, options, program_from(options))
    path = plan.work / "farm" / "opencue" / f"{plan.name}.xml"
    if options.dry_run:
        job_files.show({path: text})
        return 0
    job_files.write({path: text})
    progress.note(f"{path}: OpenCue job, validated, not executed", {"job": str(path)})
    call = "import opencue, sys; opencue.api.launchSpecAndWait(open(sys.argv[1]).read())"
    progress.note(f"launch it where pycue is installed: {shell_line(['python', '-c', call, path])}")
    return 0


def job_xml(plan: FarmPlan, options: Options, calls: Sequence[str]) -> str:
    """The job specification.

    Args:
        calls: the words that call ``paintover`` on a host.

    Raises:
        InputError: see :func:`submit`.
    """
    user = options.user or getpass.getuser()
    if user == "root":
        raise InputError("Cuebot launches nothing as root", remedy="give --user")
    spec = ElementTree.Element("spec")
    if options.facility:
        _add(spec, "facility", options.facility)
    _add(spec, "show", _named("show", options.show or os.environ.get("SHOW") or "testing"))
    _add(spec, "shot", _named("shot", options.cue_shot or os.environ.get("SHOT") or plan.name))
    _add(spec, "user", user)
    name = _named("job", f"paintover_{plan.name}")
    job = ElementTree.SubElement(spec, "job", name=name)
    _add(job, "paused", "False")
    if options.priority is not None:
        _add(job, "priority", str(options.priority))
    retries = max(step.retries for step in plan.steps)
    _add(job, "maxretries", str(min(_MAX_RETRIES, retries)))
    _add(job, "autoeat", "False")
    layers = ElementTree.SubElement(job, "layers")
    for step in plan.steps:
        _layer(layers, step, options, calls)
    depends = ElementTree.SubElement(spec, "depends")
    for step in plan.steps:
        for before in step.needs:
            depend = ElementTree.SubElement(depends, "depend", type="LAYER_ON_LAYER", anyframe="False")
            _add(depend, "depjob", name)
            _add(depend, "deplayer", step.name)
            _add(depend, "onjob", name)
            _add(depend, "onlayer", before)
    ElementTree.indent(spec)
    return _DOCTYPE + ElementTree.tostring(spec, encoding="unicode") + "\n"


def _layer(layers: ElementTree.Element, step: FarmStep, options: Options, calls: Sequence[str]) -> None:
    words = [*calls, *step.command]
    for word in words:
        if _TOKEN.search(word):
            raise InputError(f'OpenCue would replace a part of "{word}"', remedy="rename the file")
    command = shlex.join(words)
    frames, size = "1", 1
    if step.chunks:
        frames, size = format_opencue(FrameRange.parse(step.frames)), len(FrameRange.parse(step.chunks[0]))
        command += " ".join(["", FRAMES.word("#FRAMESPEC#"), *FRAMES_DIALECT.words("opencue")])
    else:
        command += f" {shlex.quote(FRAMES.word(step.frames))}"
        if step.shards > 1:
            frames = f"1-{step.shards}"
            command += f" {SHARD.word(f'#IFRAME#/{step.shards}')}"
    layer = ElementTree.SubElement(layers, "layer", name=step.name, type="Render" if step.name == "render" else "Util")
    _add(layer, "cmd", command)
    _add(layer, "range", frames)
    _add(layer, "chunk", str(size))
    if options.task_memory:
        _add(layer, "memory", options.task_memory)
    if step.needs_gpu:
        _add(layer, "gpus", "1")
        _add(layer, "gpu_memory", "1g")
    if options.tags:
        _add(layer, "tags", options.tags)
    _add(ElementTree.SubElement(layer, "services"), "service", options.service or "default")


def _named(kind: str, text: str) -> str:
    """A name as Cuebot takes it: three or more small letters, digits, dots and underscores."""
    name = re.sub(r"[^a-z0-9_.]+", "_", text.lower())
    if len(name) < 3:
        raise InputError(f'OpenCue takes no {kind} named "{text}"', remedy="give it three letters or more")
    return name


def _add(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = plain(text, "OpenCue's XML")
