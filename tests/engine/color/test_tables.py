"""Facilities' OCIO configs: missing tables, names in folders, views of data, identifiers, and no sRGB."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PyOpenColorIO as ocio
import pytest

from engine import images
from engine.base.errors import ColorError
from engine.color.assignment import Assignment, assign
from engine.color.config import ColorConfig
from engine.color.keys import export_key
from engine.images import movies
from tests.support.color_files import spec_file, yuv_movie

HEAD = "ocio_profile_version: 2\nsearch_path: luts\nroles: {scene_linear: lin, default: raw%s}\n"
RULES = "file_rules:\n  - !<Rule> {name: Default, colorspace: raw}\n"
SPACES = """colorspaces:
  - !<ColorSpace> {name: lin}
  - !<ColorSpace> {name: raw, isdata: true}
  - !<ColorSpace>
    name: film
    from_scene_reference: !<ExponentTransform> {value: [2.6, 2.6, 2.6, 1], direction: inverse}
"""
VIEWS = "displays:\n  Screen:\n    - !<View> {name: Raw, colorspace: raw}\n    - !<View> {name: Film, colorspace: %s}\n"


def config_of(path: Path, text: str) -> ColorConfig:
    path.write_text(text, encoding="utf-8")
    return ColorConfig.active(path)


def taken(config: ColorConfig, path: Path) -> Assignment:
    return assign(config, images.read_header(path), path)


def test_a_missing_table_stops_only_what_needs_it(tmp_path):
    """One camera's table on somebody else's disk made the whole config "cannot load"."""
    lost = '  - !<ColorSpace>\n    name: cam\n    to_scene_reference: !<FileTransform> {src: "gone.cube"}\n'
    config = config_of(tmp_path / "a.ocio", HEAD % "" + RULES + VIEWS % "film" + SPACES + lost)
    plate = spec_file(tmp_path / "a.exr", "half")
    assert export_key(plate, 1, tmp_path / "k.png", config, None).view == "Film"
    with pytest.raises(ColorError, match="a table that the OCIO config needs for cam to lin is missing") as caught:
        config.to_working(np.zeros((1, 1, 3), np.float32), "cam")
    assert "search_path" in caught.value.remedy and "\n" not in str(caught.value)


def test_tables_of_views_count_as_content(tmp_path):
    """They changed the pictures, and frames of before were taken for current."""
    (tmp_path / "luts").mkdir()
    views = VIEWS.replace(
        "{name: Film, colorspace: %s}", "{name: Film, view_transform: tone, display_colorspace: film}"
    )
    tone = (
        "view_transforms:\n  - !<ViewTransform>\n    name: tone\n"
        "    from_scene_reference: !<FileTransform> {src: tone.spi1d, interpolation: linear}\n"
    )
    display = SPACES.replace("colorspaces:", "display_colorspaces:\n" + SPACES.partition("raw, isdata: true}\n")[2])
    display = display.replace("from_scene_reference", "from_display_reference", 1)
    text = HEAD % "" + RULES + views + tone + display.rpartition("  - !<ColorSpace>\n    name: film")[0]
    names = set()
    for top in (1.0, 0.5):
        table = f"Version 1\nFrom 0 1\nLength 2\nComponents 1\n{{\n0\n{top}\n}}\n"
        (tmp_path / "luts" / "tone.spi1d").write_text(table, encoding="utf-8")
        (tmp_path / f"{top}.ocio").write_text(text, encoding="utf-8")
        names.add(ColorConfig.active(tmp_path / f"{top}.ocio").name.rpartition("-")[2])
    assert len(names) == 2


def test_a_table_that_is_written_anew(tmp_path):
    """A resident process kept the old one, and rendered with it under the name of the old content."""
    (tmp_path / "luts").mkdir()
    space = "  - !<ColorSpace>\n    name: cam\n    to_scene_reference: !<FileTransform> {src: cam.spi1d}\n"
    (tmp_path / "a.ocio").write_text(HEAD % "" + RULES + VIEWS % "film" + SPACES + space, encoding="utf-8")
    found = []
    for top in (1.0, 0.25):
        table = f"Version 1\nFrom 0 1\nLength 2\nComponents 1\n{{\n0\n{top}\n}}\n"
        (tmp_path / "luts" / "cam.spi1d").write_text(table, encoding="utf-8")
        config = ColorConfig.active(tmp_path / "a.ocio")
        assert ColorConfig.active(tmp_path / "a.ocio") is config
        light = config.to_working(np.ones((1, 1, 3), np.float32), "cam")
        found.append((config.name, float(light[0, 0, 0])))
    assert [value for _, value in found] == [1.0, 0.25]
    assert found[0][0] != found[1][0]


def test_a_rule_by_folder_holds_for_relative_paths(tmp_path, monkeypatch):
    """A shot is trained where it lies and rendered by its whole path on a farm: both are one colorspace."""
    rules = RULES.replace(
        "file_rules:\n", "file_rules:\n  - !<Rule> {name: s, colorspace: film, regex: '.*/scans/.*'}\n"
    )
    config = config_of(tmp_path / "a.ocio", HEAD % "" + rules + VIEWS % "film" + SPACES)
    (tmp_path / "scans").mkdir()
    spec_file(tmp_path / "scans" / "a.exr", "half")
    assert taken(config, tmp_path / "scans" / "a.exr").colorspace == "film"
    monkeypatch.chdir(tmp_path / "scans")
    assert taken(config, Path("a.exr")).colorspace == "film"


def test_a_folder_is_no_file_rule_in_configs_of_ocio_1(tmp_path):
    text = (
        "ocio_profile_version: 1\nstrictparsing: false\nroles: {scene_linear: linear, default: raw}\n"
        "displays:\n  default:\n    - !<View> {name: None, colorspace: raw}\n"
        "    - !<View> {name: sRGB, colorspace: sRGB}\n"
        "colorspaces:\n  - !<ColorSpace> {name: linear}\n  - !<ColorSpace> {name: raw, isdata: true}\n"
        "  - !<ColorSpace>\n    name: sRGB\n"
        "    from_reference: !<ExponentTransform> {value: [2.2, 2.2, 2.2, 1], direction: inverse}\n"
        "  - !<ColorSpace>\n    name: log\n    to_reference: !<ExponentTransform> {value: [4, 4, 4, 1]}\n"
    )
    config = config_of(tmp_path / "v1.ocio", text)
    for name, space in (("catalog/p.png", "sRGB"), ("raw/p.png", "sRGB"), ("logo.png", "sRGB"), ("p_log.png", "log")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(path), np.full((8, 8, 3), 128, np.uint8))
        assert taken(config, path).colorspace == space, name
    assert config.default_display_view() == ("default", "sRGB"), "None shows data"
    assert config.default_display_view("default") == ("default", "sRGB")


def test_identifiers_of_the_config_and_of_the_forum(tmp_path):
    """``interop_id`` of a space, whatever the space is called; else what the identifier means."""
    house = "  - !<ColorSpace>\n    name: house\n    interop_id: ours:wide\n"
    if not hasattr(ocio.ColorSpace, "getInteropID"):
        pytest.skip("this OCIO has no identifiers")
    text = (
        (HEAD % ", aces_interchange: lin").replace("version: 2\n", "version: 2.5\n")
        + RULES
        + VIEWS % "film"
        + SPACES
        + house
    )
    config = config_of(tmp_path / "a.ocio", text)
    assert taken(config, spec_file(tmp_path / "a.exr", "half", colorInteropID="ours:wide")).colorspace == "house"
    assert taken(config, spec_file(tmp_path / "b.exr", "half", colorInteropID="data")).colorspace == "raw"
    known = taken(config, spec_file(tmp_path / "c.exr", "half", colorInteropID="lin_p3d65_scene"))
    assert (known.colorspace, known.source) == ("linear, P3-D65", "file")


def test_configs_without_srgb(tmp_path):
    """Made where the config says what its spaces are; else one line, which names what to give."""
    assert cv2.imwrite(str(tmp_path / "1.png"), np.full((8, 8, 3), 128, np.uint8))
    tied = config_of(tmp_path / "a.ocio", HEAD % ", aces_interchange: lin" + RULES + VIEWS % "film" + SPACES)
    found = taken(tied, tmp_path / "1.png")
    assert (found.colorspace, found.source) == ("sRGB curve, Rec.709", "custom")
    light = tied.to_working(np.full((1, 1, 3), 0.5, np.float32), found.colorspace)
    np.testing.assert_allclose(light, 0.21404, atol=1e-4)
    movie = yuv_movie(tmp_path / "a.mkv", (150, 128, 128), "yuv420p")
    assert assign(tied, movies.read_frame(movie, 0).header, movie).colorspace == "BT.1886, Rec.709"
    loose = config_of(tmp_path / "b.ocio", HEAD % "" + RULES + VIEWS % "film" + SPACES)
    with pytest.raises(ColorError, match="integer images are sRGB") as caught:
        taken(loose, tmp_path / "1.png")
    assert "--colorspace" in caught.value.remedy and caught.value.path == tmp_path / "1.png"
    assert assign(loose, images.read_header(tmp_path / "1.png"), tmp_path / "1.png", "film").colorspace == "film"
