"""A stand-in for Nuke's module ``nuke``: nodes from real node text, parsed by a real Tcl interpreter.

It knows what Paintover's node uses and no more, so a misspelt call or knob is an AttributeError or a KeyError here.
Knobs may be touched from the main thread only, as in Nuke. Python 3.9, because it runs under every host's Python.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .classes import CLASS_KNOBS, EVERY, FILES
from .tcl import commands, tkinter, words

NUKE_VERSION_STRING = "16.0v3"
env: dict[str, Any] = {}


class Knob:
    def __init__(self, node: Node, name: str, value: Any, kind: str = "") -> None:
        self._node, self._name, self._kind, self._value = node, name, kind, value
        self.label, self.tooltip, self.choices, self.flags = name, "", (), ()  # type: ignore[var-annotated]
        self.executed = 0

    def name(self) -> str:
        return self._name

    def value(self) -> Any:
        _main_only(self)
        if isinstance(self._value, Expression):
            return self._value.number(self._node)
        return self._value

    def setValue(self, value: Any) -> bool:
        _main_only(self)
        if self._name == "colorspace" and value in state.unknown_spaces:
            return False
        self._value = type(self._value)(value) if isinstance(self._value, (bool, int, float, str)) else value
        return True

    def execute(self) -> None:
        _main_only(self)
        self.executed += 1
        if self._kind == "22":
            with _this(self._node):
                exec(compile(str(self._value), self._name, "exec"), {})


class FileKnob(Knob):
    def getEvaluatedValue(self) -> str:
        _main_only(self)
        return evaluated(str(self._value), self._node)


class Expression:
    """The value of a knob that Nuke computes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def number(self, node: Node) -> float:
        return float(evaluated(self.text, node))


class Node:
    def __init__(self, kind: str, name: str = "", parent: Node | None = None) -> None:
        self._kind, self._inputs, self._parent = kind, {}, parent  # type: ignore[var-annotated]
        self.children: dict[str, Node] = {}
        files = FILES.get(kind, ())
        self._knobs: dict[str, Knob] = {
            key: (FileKnob if key in files else Knob)(self, key, value)
            for key, value in {**EVERY, **CLASS_KNOBS[kind]}.items()
        }
        self._knobs["name"]._value = name or f"{kind}1"

    def Class(self) -> str:
        return self._kind

    def name(self) -> str:
        return str(self._knobs["name"]._value)

    def fullName(self) -> str:
        return f"{self._parent.fullName()}.{self.name()}" if self._parent else self.name()

    def knob(self, name: str) -> Knob | None:
        return self._knobs.get(name)

    def __getitem__(self, name: str) -> Knob:
        return self._knobs[name]

    def input(self, index: int) -> Node | None:
        _main_only(self)
        return self._inputs.get(index)

    def inputs(self) -> int:
        return max(self._inputs, default=-1) + 1

    def setInput(self, index: int, node: Node | None) -> bool:
        self._inputs[index] = node
        return True

    def node(self, name: str) -> Node | None:
        return self.children.get(name)

    def output(self) -> Node | None:
        return next((node for node in self.children.values() if node.Class() == "Output"), None)

    def firstFrame(self) -> int:
        return int(self._knobs["first_frame"]._value)

    def lastFrame(self) -> int:
        return int(self._knobs["last_frame"]._value)

    def knobs(self) -> dict[str, Knob]:
        return dict(self._knobs)

    def _read(self, line: tuple[str, ...]) -> None:
        """One line of the node's text."""
        if line[0] == "addUserKnob":
            self._add(words(line[1]))
            return
        name, value = line[0], line[1]
        knob = self._knobs[name]
        if name != "help" and value.startswith("{"):
            # One list for each channel, which begins with its expression.
            knob._value = Expression(words(words(value)[0])[0])
        elif isinstance(knob._value, bool):
            knob._value = value in ("true", "1")
        elif isinstance(knob._value, (int, float)):
            knob._value = type(knob._value)(float(value)) if not value.startswith("0x") else int(value, 16)
        else:
            knob._value = value

    def _add(self, parts: tuple[str, ...]) -> None:
        kind, name, rest = parts[0], parts[1], list(parts[2:])
        defaults: dict[str, Any] = {"3": 0, "7": 0.0, "6": False}
        knob = (FileKnob if kind == "2" else Knob)(self, name, defaults.get(kind, ""), kind)
        while rest:
            key = rest.pop(0)
            if key[0] in "+-":
                knob.flags = (*knob.flags, key)
            elif key == "l":
                knob.label = rest.pop(0)
            elif key == "t":
                knob.tooltip = rest.pop(0)
            elif key == "T":
                knob._value = rest.pop(0)
            elif key == "M":
                knob.choices = words(rest.pop(0))
                knob._value = knob.choices[0]
            elif key == "R":
                del rest[:2]
            else:
                raise ValueError(f"addUserKnob {name}: {key} is unknown")
        if name in self._knobs:
            raise ValueError(f"two knobs are called {name}")
        self._knobs[name] = knob


class ProgressTask:
    """Written down in ``progress``; cancelled where ``cancel_when`` says so."""

    def __init__(self, title: str) -> None:
        self.title, self.percent, self.text = title, 0, ""

    def setProgress(self, percent: int) -> None:
        self.percent = percent
        state.progress.append((self.title, percent))

    def setMessage(self, text: str) -> None:
        self.text = text

    def isCancelled(self) -> bool:
        return state.cancel_when(self.title, self.percent)


class _Viewer:
    def __init__(self, node: Node) -> None:
        self._node = node

    def node(self) -> Node:
        return self._node


class _Menu:
    def addMenu(self, name: str) -> _Menu:
        return self

    def addCommand(self, name: str, command: str) -> None:
        state.menu[name] = command


class State:
    def __init__(self) -> None:
        self.root = Node("Root", "root")
        self.root["name"]._value = ""
        self.frame = 1
        self.views = ["main"]
        self.view = "main"
        self.this: list[Node] = []
        self.executing = False
        self.viewer: _Viewer | None = None
        self.nodes: dict[str, Node] = {}
        self.said: list[str] = []
        self.messages: list[str] = []
        self.progress: list[tuple[str, int]] = []
        self.cancel_when: Callable[[str, int], bool] = lambda title, percent: False
        self.answer = True
        self.pasted: list[str] = []
        self.refused_paste = ""
        self.selected: list[Node] = []
        self.menu: dict[str, str] = {}
        self.before_render: list[Callable[[], None]] = []
        self.before_frame: list[Callable[[], None]] = []
        self.waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.plugin_path: list[Path] = []
        self.reading: list[Path] = []
        self.unknown_spaces: tuple[str, ...] = ()


state: State = None  # type: ignore[assignment]


class _this:
    def __init__(self, node: Node) -> None:
        self._node = node

    def __enter__(self) -> None:
        state.this.append(self._node)

    def __exit__(self, *error: object) -> None:
        state.this.pop()


def start(folder: Path, *, gui: bool) -> None:
    """Nuke starts: nothing is open, and ``folder`` is this user's."""
    global state
    state = State()
    env.clear()
    env.update({"gui": gui, "ExecutablePath": "/opt/Nuke16.0v3/Nuke16.0"})
    sys.modules["nuke"] = sys.modules[__name__]
    _enter(Path(folder))


def evaluated(text: str, node: Node | None) -> str:
    """A text with its brackets evaluated, as Nuke does it for a knob of this node; real Tcl but for ``value``."""
    tcl = tkinter.Tcl()

    def value(name: str) -> str:
        place, _, knob = name.rpartition(".")
        there = {"": node, "this": node, "root": state.root, "parent": node._parent if node else None}[place]
        if there is None:
            raise RuntimeError(f"there is no {name} here")
        return evaluated(str(there[knob]._value), there)

    def python(code: str) -> str:
        if node is None:
            return str(eval(code, {}))
        with _this(node):
            return str(eval(code, {}))

    tcl.createcommand("value", value)
    tcl.createcommand("python", python)
    tcl.createcommand("frame", lambda: str(state.frame))
    try:
        return str(tcl.call("subst", text))
    except tkinter.TclError as error:
        raise RuntimeError(str(error)) from error


def load_text(text: str) -> list[Node]:
    """The nodes of a script's or gizmo's text, groups with what is in them."""
    found: list[Node] = []
    group: Node | None = None
    stack: list[Node] = []
    for name, *rest in commands(text):
        if name in ("version", "add_layer"):
            continue
        if name == "end_group":
            group = None
            continue
        node = Node(name, parent=group)
        for line in commands(rest[0]):
            node._read(line)
        if name == "Group":
            found.append(node)
            group, stack = node, []
            continue
        # A node takes its first input from the top of the stack.
        for index in range(int(node["inputs"]._value)):
            node.setInput(index, stack.pop() if stack else None)
        stack.append(node)
        if group is not None:
            group.children[node.name()] = node
        else:
            found.append(node)
    return found


def createNode(kind: str, knobs: str = "", inpanel: bool = True) -> Node:
    for folder in state.plugin_path:
        file = folder / f"{kind}.gizmo"
        if file.is_file():
            (node,) = load_text(file.read_text(encoding="utf-8"))
            break
    else:
        node = Node(kind)
    base = node.name().rstrip("0123456789")
    number = 1
    while f"{base}{number}" in state.nodes:
        number += 1
    node["name"]._value = f"{base}{number}"
    state.nodes[node.name()] = node
    return node


def render(write: Node, first: int, last: int) -> list[int]:
    """Nuke renders a Write: callbacks, then every Switch of a group above it; the frames that came through."""
    state.executing = True
    done = []
    try:
        with _this(write):
            for callback in state.before_render:
                callback()
        for frame in range(first, last + 1):
            state.frame = frame
            with _this(write):
                for callback in state.before_frame:
                    callback()
            group = write.input(0)
            if group is None or shown(group) is None:
                raise RuntimeError(f"frame {frame} failed")
            done.append(frame)
    finally:
        state.executing = False
    return done


def shown(group: Node) -> str | None:
    """The file that a Paintover node shows at the current frame, or None where it fails or shows a notice."""
    switch = group.children["Shown"]
    chosen = switch.input(int(switch["which"].value()))
    if chosen is None or chosen.name() != "Result":
        return None
    pattern = str(chosen["file"].value()).replace("%V", state.view)
    path = pattern % state.frame
    inside = int(chosen["first"].value()) <= state.frame <= int(chosen["last"].value())
    return path if inside and Path(path).is_file() else None


def pump() -> None:
    """The main thread's turn: do what other threads asked for."""
    while state.waiting:
        call, args = state.waiting.pop(0)
        call(*args)


def _main_only(what: object) -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"{type(what).__name__} touched from {threading.current_thread().name}")


def _enter(folder: Path) -> None:
    folder = folder.resolve()
    state.plugin_path.insert(0, folder)
    sys.path.insert(0, str(folder))
    state.reading.append(folder)
    try:
        for name in ("init.py", "menu.py") if env["gui"] else ("init.py",):
            if (folder / name).is_file():
                exec(compile((folder / name).read_text(encoding="utf-8"), str(folder / name), "exec"), {})
    finally:
        state.reading.pop()


# What Nuke's module has


def pluginAddPath(path: str, addToSysPath: bool = True) -> None:
    _enter(state.reading[-1] / path)


def menu(name: str) -> _Menu:
    if not env["gui"]:
        raise RuntimeError("there is no menu without a window")
    return _Menu()


def addBeforeRender(call: Callable[[], None], nodeClass: str = "*") -> None:
    assert nodeClass == "Write"
    state.before_render.append(call)


def addBeforeFrameRender(call: Callable[[], None], nodeClass: str = "*") -> None:
    assert nodeClass == "Write"
    state.before_frame.append(call)


def toNode(name: str) -> Node | None:
    head, _, tail = name.partition(".")
    found = state.nodes.get(head)
    return found.children.get(tail) if found is not None and tail else found


def root() -> Node:
    return state.root


def frame() -> int:
    return state.frame


def thisNode() -> Node:
    return state.this[-1]


def thisParent() -> Node | None:
    return state.this[-1]._parent


def thisGroup() -> Node:
    return state.this[-1]._parent or state.root


def thisView() -> str:
    return state.view


def views() -> list[str]:
    return list(state.views)


def executing() -> bool:
    return state.executing


def activeViewer() -> _Viewer | None:
    return state.viewer


def executeInMainThread(call: Callable[..., None], args: tuple[Any, ...] = ()) -> None:
    state.waiting.append((call, args))


def tcl(command: str, *arguments: str) -> str:
    assert command == "subst"
    return evaluated(arguments[0], None)


def tprint(text: str) -> None:
    state.said.append(text)


def message(text: str) -> None:
    _main_only(text)
    state.messages.append(text)


def ask(text: str) -> bool:
    _main_only(text)
    return state.answer


def nodePaste(path: str) -> None:
    """What is pasted is selected afterwards, and nothing else."""
    if state.refused_paste:
        raise RuntimeError(state.refused_paste)
    state.pasted.append(path)
    state.selected = load_text(Path(path).read_text(encoding="utf-8"))


def selectedNodes(filter: str | None = None) -> list[Node]:
    return [node for node in state.selected if filter in (None, node.Class())]
