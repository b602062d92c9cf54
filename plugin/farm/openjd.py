"""Open Job Description: a job bundle for AWS Deadline Cloud, other schedulers that read it, and ``openjd run``.

The bundle is a folder: ``template.json``; ``parameter_values.json`` and ``asset_references.json`` as Deadline Cloud
reads them; ``parameters.json``, the same values as ``openjd run`` reads them. Every folder that the shot touches is a
job parameter of type PATH, so that sessions map it by their own rules; frames are chunks of tasks (extension
TASK_CHUNKING), which arrive in the specification's dialect. Commands speak its protocol on stdout, and fail by their
exit code: ``openjd_fail`` alone fails nothing.

Source: Open Job Description, template schemas 2023-09; RFC 0001, task chunking.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.base.errors import InputError
from engine.base.frames import FrameRange
from engine.base.shell_words import shell_line
from plugin.arguments.command_line import command_line
from plugin.arguments.commands import COMMANDS
from plugin.arguments.dialects import format_openjd
from plugin.arguments.farm_options import FRAMES_DIALECT, RESIDENT, SHARD
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.table import BACKWARD_VECTORS, FEATURES, FRAMES, OCIO, PROGRESS, SETTINGS, VECTORS
from plugin.farm import job_files
from plugin.farm.plain_text import plain
from plugin.farm.plan import FarmPlan, FarmStep
from plugin.farm.program import program_from
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest

__all__ = ["MAX_CHUNKS", "SUMMARY", "Folder", "asset_references", "folders", "submit", "template"]

SUMMARY = "Open Job Description: a job bundle, for AWS Deadline Cloud and openjd run"
MAX_CHUNKS = 5000
"""The specification sets no limit; services do."""

_LONGEST_VALUE = 1024
"""Characters of a parameter's value, by the specification."""
_LONGEST_NAME = 64
"""Characters of a step's or a job's name, by the specification's oldest limit."""
_NOTICE_S = 10
"""From the request to stop until the process is ended; it leaves within five."""
_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)(\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})")
_ADDRESS = "{{Session.WorkingDirectory}}/paintover-worker.json"
"""Where the resident worker of a session says how it is reached."""
_ENVIRONMENT_S = 120
"""For starting and for ending that worker."""
_PATH_OPTIONS = tuple(option.flag for option in (VECTORS, BACKWARD_VECTORS, OCIO, FEATURES, SETTINGS))


@dataclass(frozen=True)
class Folder:
    """A folder of the shot, as a job parameter."""

    parameter: str
    """Name of the parameter."""
    path: str
    """Absolute, as the submitting machine calls it."""
    flow: str
    """IN, OUT or INOUT: whether tasks read it, write it, or both."""
    description: str
    """For people."""


def submit(plan: FarmPlan, options: Options, progress: Progress, stop: StopRequest) -> int:
    """Write the bundle, which never submits itself; returns 0.

    Raises:
        InputError: a path that a template cannot hold, or an option that --session has no way for.
        OutputError: the bundle cannot be written.
    """
    bundle = Path(options.bundle) if options.bundle else plan.work / "farm" / "openjd"
    if options.session and (options.timeout is not None or options.threads is not None or options.tensorrt):
        what = "--session takes no --timeout, --threads or --tensorrt: a resident worker has none of them"
        raise InputError(what, remedy="leave them out, or submit without --session")
    made = template(plan, program_from(options), session=options.session)
    given = {place.parameter: place.path for place in folders(plan)}
    values: dict[str, Any] = {each["name"]: each.get("default") for each in made["parameterDefinitions"]} | given
    pairs = [{"name": name, "value": value} for name, value in values.items()]
    written = {
        "template.json": made,
        "parameter_values.json": {"parameterValues": pairs},
        "parameters.json": values,
        "asset_references.json": asset_references(plan),
    }
    files = {bundle / name: document(value) for name, value in written.items()}
    if options.dry_run:
        job_files.show(files)
        return 0
    job_files.write(files)
    facts = {"bundle": str(bundle)}
    progress.note(f"{bundle}: job bundle, {', '.join(step['name'] for step in made['steps'])}", facts)
    run = shell_line(["openjd", "run", bundle / "template.json", "--job-param", f"file://{bundle / 'parameters.json'}"])
    on_aws = shell_line(["deadline", "bundle", "submit", bundle])
    progress.note(f"run it on this machine: {run}; on AWS: {on_aws}", facts)
    return 0


def document(value: object) -> str:
    """JSON that readers of YAML read alike: characters beyond the basic plane stand as they are.

    JSON's escape for such a character is a pair of surrogates, which YAML reads as two characters that do not exist.
    All others are escaped, because YAML takes some of them for the end of a line.
    """
    text = json.dumps(value, indent=2) + "\n"
    return _PAIR.sub(lambda found: found[1] + json.loads(f'"{found[2]}"'), text)


def template(plan: FarmPlan, calls: Sequence[str], *, session: bool = False) -> dict[str, Any]:
    """The job template, as JSON has it.

    Args:
        calls: the words that call ``paintover`` on a worker.
        session: whether a resident worker renders the chunks of a session.

    Raises:
        InputError: ``{{`` in a path or a name, which a template takes for its own, or a control character.
    """
    for word in (*calls, *(word for step in plan.steps for word in step.command)):
        if "{{" in plain(word, "a job template"):
            raise InputError(f'"{word}" cannot be in a job template: {{{{ is its own', remedy="rename the file")
    places = folders(plan)
    parameters: list[dict[str, Any]] = [
        {
            "name": place.parameter,
            "type": "PATH",
            "objectType": "DIRECTORY",
            "dataFlow": place.flow,
            # No default: one would have to lie within the bundle.
            "description": place.description,
        }
        for place in places
    ]
    frames = format_openjd(plan.frames)
    if len(frames) <= _LONGEST_VALUE:
        text = "Frames to render: 1-10, 1-10:2 for every second one"
        parameters.append({"name": "Frames", "type": "STRING", "description": text, "default": frames})
        frames = "{{Param.Frames}}"
    render = plan.step("render")
    size = max((len(FrameRange.parse(chunk)) for chunk in render.chunks), default=1) if render else 1
    parameters.append(
        {"name": "ChunkSize", "type": "INT", "description": "Frames in one task", "default": size, "minValue": 1}
    )
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "extensions": ["TASK_CHUNKING"],
        "name": f"Paintover {plan.name}"[:_LONGEST_NAME],
        "parameterDefinitions": parameters,
        "steps": [_step(step, calls, _references(plan, places), frames, session) for step in plan.steps],
    }


def folders(plan: FarmPlan) -> tuple[Folder, ...]:
    """Every folder that the shot's files are in, once each."""
    wanted = [(plan.inputs[0], "PlateDir", "IN", "The plate"), (plan.out.text, "OutDir", "OUT", "Rendered frames")]
    wanted += [(str(plan.work / "x"), "WorkDir", "INOUT", "STMaps and checkpoints")]
    trained = plan.step("train") is not None
    wanted += [(str(plan.look), "LookDir", "INOUT" if trained else "IN", "The look")]
    wanted += [(path, "PaintingsDir", "IN", "Painted keyframes and mattes") for path in plan.inputs[1:]]
    wanted += [(path, "ExtraDir", "IN", "Motion vectors, color config or features") for path in _extras(plan)]
    found: dict[str, Folder] = {}
    for path, name, flow, description in wanted:
        folder = str(Path(path).parent)
        if folder not in found:
            number = 1 + sum(each.parameter.rstrip("0123456789") == name for each in found.values())
            found[folder] = Folder(f"{name}{number if number > 1 else ''}", folder, flow, description)
        elif found[folder].flow != flow:
            known = found[folder]
            found[folder] = Folder(known.parameter, folder, "INOUT", known.description)
    return tuple(found.values())


def asset_references(plan: FarmPlan) -> dict[str, Any]:
    """The files and folders that job attachments carry to workers without a shared disk, and back."""
    files: list[str] = []
    for text in (*plan.inputs, *_extras(plan)):
        if Path(text).is_file():
            files.append(text)
    plate = plan.inputs[0]
    return {
        "assetReferences": {
            "inputs": {"filenames": list(dict.fromkeys(files)), "directories": [str(Path(plate).parent)]},
            "outputs": {"directories": list(dict.fromkeys([str(Path(plan.out.text).parent), str(plan.work)]))},
        }
    }


def _extras(plan: FarmPlan) -> list[str]:
    """Paths that only the words of a step name."""
    found = []
    for step in plan.steps:
        for option, value in zip(step.command, step.command[1:], strict=False):
            if option in _PATH_OPTIONS and Path(value).is_absolute():
                found.append(value)
    return list(dict.fromkeys(found))


def _references(plan: FarmPlan, places: Sequence[Folder]) -> Mapping[str, str]:
    """What stands in the template for each path of the plan, the longest first."""
    parameters = {place.path: place.parameter for place in places}
    made = {}
    for path in (*plan.inputs, plan.out.text, str(plan.look), *_extras(plan)):
        made[path] = f"{{{{Param.{parameters[str(Path(path).parent)]}}}}}/{Path(path).name}"
    work = str(plan.work)
    made[work] = f"{{{{Param.{parameters[work]}}}}}"
    return dict(sorted(made.items(), key=lambda item: -len(item[0])))


def _referring(step: FarmStep, references: Mapping[str, str]) -> list[str]:
    """The words of a step's command with its paths as references."""

    def refer(path: str) -> str:
        # The plan's paths are this system's, a keyframe's have forward slashes.
        return references.get(path) or references.get(str(Path(path)), path)

    values = vars(Parser(COMMANDS[step.name]).read(step.command[1:]))
    for option in COMMANDS[step.name].options:
        if option.kind.moved is not None and values.get(option.field) is not None:
            values[option.field] = option.kind.moved(values[option.field], refer)
    return command_line(step.name, values)


def _step(
    step: FarmStep, calls: Sequence[str], references: Mapping[str, str], frames: str, session: bool
) -> dict[str, Any]:
    words = [*calls[1:], *_referring(step, references), *PROGRESS.words("openjd")]
    made: dict[str, Any] = {"name": step.name.capitalize()}
    if step.needs:
        made["dependencies"] = [{"dependsOn": name.capitalize()} for name in step.needs]
    if step.needs_gpu:
        made["hostRequirements"] = {"amounts": [{"name": "amount.worker.gpu", "min": 1}]}
    if session and step.name == "render":
        words += RESIDENT.words(_ADDRESS)
        made["stepEnvironments"] = [_worker_environment(calls)]
    if step.chunks:
        words += [FRAMES.word("{{Task.Param.Frame}}"), *FRAMES_DIALECT.words("openjd")]
        size = "{{Param.ChunkSize}}" if step.name == "render" else len(FrameRange.parse(step.chunks[0]))
        made["parameterSpace"] = {
            "taskParameterDefinitions": [
                {
                    "name": "Frame",
                    "type": "CHUNK[INT]",
                    "range": frames,
                    "chunks": {
                        "defaultTaskCount": size,
                        "targetRuntimeSeconds": 0,
                        "rangeConstraint": "NONCONTIGUOUS",
                    },
                }
            ]
        }
    elif step.name == "verify" and frames.startswith("{{"):
        words += [FRAMES.word(frames), *FRAMES_DIALECT.words("openjd")]
    else:
        # Training and preparing see the whole shot, whatever of it is rendered.
        words.append(FRAMES.word(step.frames))
    if step.shards > 1:
        words.append(SHARD.word(f"{{{{Task.Param.Shard}}}}/{step.shards}"))
        made["parameterSpace"] = {
            "taskParameterDefinitions": [{"name": "Shard", "type": "INT", "range": f"1-{step.shards}"}]
        }
    action: dict[str, Any] = {
        "command": calls[0],
        "args": words,
        "cancelation": {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": _NOTICE_S},
    }
    if step.timeout_s is not None:
        action["timeout"] = math.ceil(step.timeout_s)
    made["script"] = {"actions": {"onRun": action}}
    return made


def _worker_environment(calls: Sequence[str]) -> dict[str, Any]:
    """Starts the resident worker of a session in the background, and ends it with the session.

    Both are requests, as files that the session writes: the first one starts the worker where none answers. Neither
    names a path, which within JSON would have to be escaped. A worker whose session was killed ends when idle.
    """

    def asked(name: str) -> dict[str, Any]:
        words = command_line("worker", {"socket": _ADDRESS, "ask": f"{{{{Env.File.{name}}}}}"})
        return {"command": calls[0], "args": [*calls[1:], *words], "timeout": _ENVIRONMENT_S}

    def request(name: str, op: str) -> dict[str, Any]:
        return {"name": name, "type": "TEXT", "filename": f"{op}.json", "data": json.dumps({"op": op}) + "\n"}

    return {
        "name": "PaintoverWorker",
        "description": "A process that keeps the look loaded for all chunks of the session",
        "script": {
            "embeddedFiles": [request("Begin", "ping"), request("End", "shutdown")],
            "actions": {"onEnter": asked("Begin"), "onExit": asked("End")},
        },
    }
