"""A shot to report on, and a report's page taken apart."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenImageIO as oiio

from engine import images
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.motion.stmap import sidecar_path
from engine.shot.shot import Keyframe, Plate
from plugin.progress.protocol import NoProgress
from plugin.report.page import Summary, write_report
from tests.support import ROOT

SIZE = (72, 128)
TEMPLATES = ROOT / "plugin" / "report" / "templates"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: text, tags with attributes, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.styles = ""
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.scripts.append(data)
        elif inside == "style":
            self.styles += data
        else:
            self.text += data + "\n"

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def reel(self) -> list[dict[str, Any]]:
        """The frames that the player shows."""
        return json.loads(self.scripts[0])["frames"]


def texture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    layers = sum(
        sigma * cv2.GaussianBlur(rng.standard_normal((*size, 3)).astype(np.float32), (0, 0), sigma)
        for sigma in (1.5, 4, 9)
    )
    return cv2.normalize(layers, None, 0.05, 0.9, cv2.NORM_MINMAX).astype(np.float32)


def sidecar(work: Path, key: int, frame: int, confidence: float, size: tuple[int, int] = SIZE) -> None:
    path = sidecar_path(work, key, frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = oiio.ImageSpec(size[1], size[0], 4, "float")
    spec.channelnames = ("R", "G", "B", "A")
    out = oiio.ImageOutput.create(str(path))
    out.open(str(path), spec)
    out.write_image(np.full((*size, 4), confidence, np.float32))
    out.close()


class Shot:
    """Nine still plates and results that are half as bright; frame 5's result is brighter by 20 codes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.plate = Plate(SequencePath.parse(folder / "plate.%04d.png"), FrameRange.parse("1-9"))
        self.out = SequencePath.parse(folder / "out.%04d.png")
        self.picture = texture(1)
        for frame in range(1, 10):
            images.write(self.plate.path.path(frame), self.picture, bit_depth="uint8")
            lift = 20 / 255 if frame == 5 else 0.0
            images.write(self.out.path(frame), self.picture * 0.5 + lift, bit_depth="uint8")

    def sidecars(self, shares: dict[int, float]) -> None:
        for frame, share in shares.items():
            sidecar(self.work, 1, frame, share)

    def report(self, look: Path | None = None, page: str = "report.html", **more: object) -> tuple[Summary, str]:
        path = self.folder / page
        keys = [Keyframe(1, Path("painted.png"))]
        given = {"work": self.work, "out": self.out, "plate": self.plate, **more}
        summary = write_report(
            path,
            given.pop("plate"),  # type: ignore[arg-type]
            given.pop("out"),  # type: ignore[arg-type]
            look,
            keys,
            given.pop("work"),  # type: ignore[arg-type]
            ColorConfig.active(),
            NoProgress(),
            **given,  # type: ignore[arg-type]
        )
        return summary, path.read_text(encoding="utf-8")


def alone(text: str) -> Page:
    """The page parses, closes its tags, and refers to nothing outside itself."""
    page = Page(text)
    assert page.open == [] and text.startswith("<!DOCTYPE html>")
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    # The only scripts are the player's data and the player, which stands in a file of its own.
    assert page.every("script") == [{"type": "application/json", "id": "reel"}, {}]
    assert page.scripts[1].strip() == (TEMPLATES / "player.js").read_text(encoding="utf-8").strip()
    pictures = [one[kind] for one in page.reel for kind in ("plate", "result")]
    assert all(uri is None or uri.startswith("data:image/jpeg;base64,") for uri in pictures)
    policy = next(meta["content"] for meta in page.every("meta") if "http-equiv" in meta)
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:;")
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "xlink:href", "action", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/jpeg;base64,"), value
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\(|@import|https?://", text)
    return page
