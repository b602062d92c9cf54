"""Which channels are the picture."""

from __future__ import annotations

import pytest

from engine.images.layers import PartNames, find_picture, no_color, no_layer


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


STEREO = (PartNames(rgb("", "right", "right.diffuse"), views=("left", "right")),)
IN_PARTS = (PartNames(rgb(""), "rgba.left", ("left",)), PartNames(rgb(""), "rgba.right", ("right",)))


@pytest.mark.parametrize(
    ("parts", "wanted", "index", "channels", "others"),
    [
        (STEREO, "left", 0, rgb(""), ("right",)),
        (STEREO, "Right", 0, rgb("right"), ("left",)),
        (STEREO, "right.diffuse", 0, rgb("right.diffuse"), ("left",)),
        (STEREO, "diffuse", 0, rgb("right.diffuse"), ("left",)),
        (IN_PARTS, "right", 1, rgb(""), ("left",)),
        (IN_PARTS, "rgba.right", 1, rgb(""), ("left",)),
        ((PartNames(rgb("hero", "villain")),), "villain", 0, rgb("villain"), ()),
    ],
)
def test_a_layer_or_view_that_is_asked_for_is_the_picture(
    parts: tuple[PartNames, ...], wanted: str, index: int, channels: tuple[str, ...], others: tuple[str, ...]
) -> None:
    found = find_picture(parts, layer=wanted)
    assert found is not None
    assert (found.index, found.color.rgb, found.other_views) == (index, channels, others)
    assert not any("--layer" in line or "could be" in line for line in found.remarks)


def test_a_layer_that_is_not_there_is_refused_with_those_that_are() -> None:
    assert find_picture(STEREO, layer="rihgt") is None
    assert no_layer("rihgt", STEREO) == ('it has no layer or view "rihgt" with color', "did you mean right?")
    assert no_layer("beauty", (PartNames(rgb("hero", "villain")),))[1] == "there are hero, villain"
    assert no_layer("right", (PartNames(rgb("")),)) == (
        'it has no layer or view "right", only one picture',
        "drop --layer",
    )


def test_what_could_also_be_meant_says_how_to_take_it() -> None:
    stereo, equal = find_picture(STEREO), find_picture((PartNames(rgb("hero", "villain")),))
    assert stereo is not None and stereo.remarks[0].endswith("; --layer right takes that view of a plate")
    assert equal is not None and "--layer villain takes that one" in equal.remarks[0]


def test_luminance_beside_chroma_is_no_gray_picture() -> None:
    parts = (PartNames(("BY", "RY", "Y")),)
    assert find_picture(parts) is None
    assert no_color(parts) == (
        "its color is stored as luminance and chroma (Y, RY, BY), which is not read",
        "write it as R, G, B",
    )
