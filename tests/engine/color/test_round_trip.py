"""What was painted comes back: out as a key, painted, renamed or saved again by another program, and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import images
from engine.color.assignment import assign
from engine.color.config import ColorConfig
from engine.color.keys import export_key, write_key
from engine.color.paintings import painting_color
from tests.support.round_trips import DISPLAY_REFERRED, PLATES, WAYS, make_plate, round_trip


@pytest.fixture(scope="module")
def config() -> ColorConfig:
    return ColorConfig.active("ocio://default")


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("kind", PLATES)
def test_painted_codes_come_back(config, tmp_path, kind, how):
    """Within one 8-bit code, on paint and beside it."""
    found = round_trip(tmp_path, kind, how, config)
    assert found.has_view == (kind not in DISPLAY_REFERRED), "display-referred goes out as it is"
    assert not found.color.question
    assert found.codes < 1.0
    if how == "painted in a viewer" and not found.has_view:
        codes = [np.rint(image.rgb[13:] * 65535) for image in (found.painting, found.plate)]
        assert np.abs(codes[0] - codes[1]).max() <= (kind == "prores"), "exported as it is; halves are rounded"


def test_the_table_of_the_documentation(config, tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "color.md").read_text(encoding="utf-8")
    assert "python -m tests.support.round_trips" in page
    for kind, name in PLATES.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
        figures = [float(cell) for cell in row.split("|")[2:-1]]
        assert len(figures) == len(WAYS)
        folder = tmp_path / kind
        folder.mkdir()
        found = round_trip(folder, kind, WAYS[0], config)
        assert figures[0] == pytest.approx(found.codes, abs=0.02), name
        assert max(figures) < 1.0


def test_where_both_were_stripped_one_line_asks(config, tmp_path):
    plate_path = make_plate(tmp_path, "exr acescg")
    plate = images.read(plate_path)
    taken = assign(config, plate.header, plate_path)
    export_key(plate_path, 1, tmp_path / "key.png", config, None)
    (tmp_path / "elsewhere").mkdir()
    lost = tmp_path / "elsewhere" / "v02.png"
    assert cv2.imwrite(str(lost), cv2.imread(str(tmp_path / "key.png"), cv2.IMREAD_UNCHANGED))
    painting = images.read(lost)
    color = painting_color(config, painting.header, lost, None, taken, plate.header)
    assert "is that right?" in color.question and "--paint-colorspace" in color.question
    assert "\n" not in color.question
    # The line says what to give, and that is accepted and right.
    asked = color.question.rsplit('"', 2)[1]
    again = painting_color(config, painting.header, lost, asked, taken, plate.header)
    assert not again.question
    scene = again.to_working(painting, config)
    expected = plate.rgb
    assert float(np.abs(scene - expected).mean() / expected.mean()) < 0.01


def test_a_copy_with_its_metadata_needs_no_sidecar(config, tmp_path):
    for suffix in (".png", ".tif", ".jpg"):
        plate_path = make_plate(tmp_path, "exr rec709")
        key = tmp_path / f"key{suffix}"
        transform = export_key(plate_path, 7, key, config, None)
        (tmp_path / f"sub{suffix}").mkdir()
        copy = tmp_path / f"sub{suffix}" / f"other{suffix}"
        shutil.copy(key, copy)
        plate = images.read(plate_path)
        taken = assign(config, plate.header, plate_path)
        color = painting_color(config, images.read_header(copy), copy, None, taken, plate.header)
        assert color.transform is not None and color.transform.view == transform.view and color.transform.frame == 7


def test_a_program_that_converted_its_document_is_believed(config, tmp_path):
    """It keeps the text, and says P3 in the file; the plate went out as sRGB."""
    plate_path = make_plate(tmp_path, "png16")
    plate = images.read(plate_path)
    taken = assign(config, plate.header, plate_path)
    transform = export_key(plate_path, 1, tmp_path / "key.png", config, None)
    p3 = config.resolve("srgb_displayp3")
    write_key(tmp_path / "key.png", plate.rgb, transform, config)
    facts = images.read_provenance(tmp_path / "key.png")
    images.write(tmp_path / "key.png", plate.rgb, bit_depth="uint16", provenance=facts, color=config.claim_for(p3))
    color = painting_color(
        config, images.read_header(tmp_path / "key.png"), tmp_path / "key.png", None, taken, plate.header
    )
    assert color.taken.colorspace == p3
