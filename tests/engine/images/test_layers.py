"""Which channels are the picture."""

from __future__ import annotations

import pytest

from engine.images.layers import PartNames, find_picture, no_color


def rgb(*layers: str) -> tuple[str, ...]:
    return tuple(f"{layer}{'.' if layer else ''}{letter}" for layer in layers for letter in "RGB")


@pytest.mark.parametrize(
    ("channels", "layer"),
    [
        (rgb("Main.AOV", "Main.Combined"), "Main.Combined"),
        ((*rgb("View Layer.DiffCol", "ViewLayer.Combined"), "ViewLayer.Depth.Z"), "ViewLayer.Combined"),
        (rgb("Composite.Combined", "ViewLayer.Combined"), "Composite.Combined"),
        (rgb("AO", "C", "diffuse_color"), "C"),
        (rgb("albedo", "rgba_main", "specular"), "rgba_main"),
        (rgb("albedo", "beauty", ""), ""),
        (rgb("N", "crypto00", "zebra"), "zebra"),
    ],
)
def test_the_picture_is_what_people_call_it(channels: tuple[str, ...], layer: str) -> None:
    found = find_picture((PartNames(channels),))
    assert found is not None and found.layer == layer
    assert found.color.rgb == rgb(layer)


def test_parts_are_known_by_their_names() -> None:
    parts = tuple(PartNames(rgb(""), name) for name in ("albedo", "beauty", "depth"))
    found = find_picture(parts)
    assert found is not None and (found.index, found.layer) == (1, "beauty")


def test_a_choice_between_equals_is_said() -> None:
    found = find_picture((PartNames(rgb("hero", "villain")),))
    assert found is not None and found.layer == "hero" and found.rivals == ("villain",)
    assert "hero is taken, not villain" in found.remarks[0]


def test_the_second_eye_is_named_and_not_taken() -> None:
    single = find_picture((PartNames(rgb("", "right"), views=("left", "right")),))
    assert single is not None and (single.layer, single.view, single.other_views) == ("", "left", ("right",))
    parts = (PartNames(rgb(""), "rgba.right", ("right",)), PartNames(rgb(""), "rgba.left", ("left",)))
    several = find_picture(parts)
    assert several is not None and (several.index, several.view, several.other_views) == (0, "right", ("left",))
    assert "the view right is taken, left stays" in several.remarks[0]


@pytest.mark.parametrize(
    ("channels", "words"),
    [(("Z",), "only depth"), (("A",), "only coverage"), (("P.X", "P.Y", "P.Z"), "no color"), (rgb("N"), "no color")],
)
def test_data_is_no_picture(channels: tuple[str, ...], words: str) -> None:
    parts = (PartNames(channels),)
    assert find_picture(parts) is None
    assert words in no_color(parts)[0]


def test_a_matte_may_be_coverage_alone_but_not_depth() -> None:
    found = find_picture((PartNames(("A",)),), coverage=True)
    assert found is not None and found.color.rgb == ("A",)
    assert find_picture((PartNames(("Z",)),), coverage=True) is None
