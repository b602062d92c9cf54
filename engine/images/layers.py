"""Layers: which channels of a file are the picture, by the names that renderers and compositors give it.

A file may hold dozens of layers, in one part or in many, for one view or for two. EXR stores channels by the alphabet,
so the order says nothing; the name does.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["ColorChannels", "PartNames", "PictureLayer", "chroma_apart", "find_picture", "no_color", "no_layer"]

_CALLED = (
    "",
    *"rgba rgb combined beauty bty composite comp final c color colour main master primary".split(),
    *"image picture render default full".split(),
)
"""What the picture is called, the surest first: Nuke, Blender, Arnold, Houdini and others."""
_SHARES = frozenset(
    (
        "aov albedo diff diffuse diffcol diffdir diffind spec specular gloss glossy glosscol glossdir glossind trans"
    ).split()
    + "transmission transcol transdir transind sss subsurface coat sheen emit emission env environment ao".split()
    + "shadow shadows direct indirect reflect reflection refract refraction volume light lighting gi raw".split()
    + "self illum background denoise denoising variance noisy".split()
)
"""Words of layers that are a share of the picture's light."""
_DATA = frozenset(
    (
        "z depth zback dist distance n normal normals p pos position world motion vector vectors velocity uv st id ids"
    ).split()
    + "object material asset mist fog crypto cryptomatte index mask matte forward backward samples sample".split()
)
"""Words of layers that hold numbers and no light."""
_COVERAGE = frozenset({"a", "alpha", "coverage", "mask", "matte"})
_VIEWS = ("left", "right")

_CALLED_RANK = {name: rank for rank, name in enumerate(_CALLED)}
_GRAY_RANK, _OTHER_RANK, _SHARE_RANK, _DATA_RANK = 100, 101, 102, 103
_SHOWN_NAMES = 8


@dataclass(frozen=True)
class ColorChannels:
    """The channels of one part that are the picture."""

    rgb: tuple[str, ...]
    """Three names, or one for a gray image."""
    alpha: str | None
    """The coverage that belongs to them."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, color first."""
        return self.rgb if self.alpha is None else (*self.rgb, self.alpha)


@dataclass(frozen=True)
class PartNames:
    """What one part says of itself."""

    channels: tuple[str, ...]
    name: str = ""
    views: tuple[str, ...] = ()
    """The view that all of it is for, or the names of its views, the first of which has no prefix."""


@dataclass(frozen=True)
class PictureLayer:
    """Which channels are the picture, and what else could have been meant."""

    index: int
    """Of the part."""
    color: ColorChannels
    layer: str = ""
    """Its name; empty for plain R, G, B."""
    rivals: tuple[str, ...] = ()
    """Other layers that could be the picture just as well."""
    view: str = ""
    """Empty where the file has only one."""
    other_views: tuple[str, ...] = ()
    asked: bool = False
    """Whether it was asked for by name, and so needs no word on what else could be meant."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know of the choice, a line each."""
        lines = []
        if self.other_views:
            lines.append(
                f"the file is stereo: the view {self.view or 'without a name'} is taken, "
                f"{_listed(self.other_views)} stays as it is in EXR frames and is lost in others"
                + ("" if self.asked else f"; --layer {self.other_views[0]} takes that view of a plate")
            )
        if self.asked:
            return tuple(lines)
        if self.rivals:
            lines.append(
                f"several layers could be the picture: {self.layer or 'R, G, B'} is taken, not {_listed(self.rivals)}; "
                f"--layer {self.rivals[0]} takes that one of a plate, for others write it as R, G, B"
            )
        elif self.layer:
            lines.append(f"the picture is the layer {self.layer}")
        return tuple(lines)


@dataclass(frozen=True)
class _Candidate:
    index: int
    color: ColorChannels
    layer: str
    view: str
    rank: tuple[int, ...]


def find_picture(parts: tuple[PartNames, ...], *, coverage: bool = False, layer: str = "") -> PictureLayer | None:
    """The part and the channels that are the picture, from the names in every part; None where there is no color.

    First what is called so (plain R, G, B; "rgba", "Combined", "beauty" ...), then gray, then layers of unknown names,
    then shares of the light ("diffuse"). Data and the second eye are never taken for it.

    Args:
        coverage: a single channel of any kind but depth will do: what is wanted is a matte.
        layer: the name of a layer, a part or a view in place of the picture's, in any case; empty for the picture.
            None is returned where there is none such.
    """
    views, found = _all(parts)
    prefixed = tuple(dict.fromkeys(item.view for item in found if item.view))
    plain = next((name for name in views if name not in prefixed), "") if prefixed else ""
    if not plain and len(prefixed) == 1 and prefixed[0] in _VIEWS and any(not item.view for item in found):
        # One eye is named, so what has no name is the other one.
        plain = next(name for name in _VIEWS if name not in prefixed)
    if layer:
        return _asked(layer, parts, found, plain, (*((plain,) if plain else ()), *prefixed))
    eligible = [item for item in found if not item.view and item.rank[0] < _DATA_RANK]
    view = plain
    if not eligible and prefixed:
        view = next(name for name in views if name in prefixed)
        eligible = [item for item in found if item.view == view]
    others = tuple(name for name in prefixed if name != view)
    if not eligible:
        single = [
            PictureLayer(index, ColorChannels(part.channels, None))
            for index, part in enumerate(parts)
            if len(part.channels) == 1 and _may_stand_alone(part.channels[0], coverage)
        ]
        return single[0] if single else None
    best = min(eligible, key=lambda item: item.rank)
    if best.rank[0] >= _DATA_RANK:
        return None
    rivals = tuple(item.layer for item in eligible if item is not best and _rivals(item, best))
    return PictureLayer(best.index, best.color, best.layer, rivals, view, others)


def _all(parts: tuple[PartNames, ...]) -> tuple[tuple[str, ...], list[_Candidate]]:
    """The file's views, and every layer of color."""
    views = _views(parts)
    several = sum(bool(_rgb_under("", part.channels)) for part in parts) > 1
    return views, [item for index, part in enumerate(parts) for item in _candidates(index, part, views, several)]


def _asked(
    wanted: str, parts: tuple[PartNames, ...], found: list[_Candidate], plain: str, views: tuple[str, ...]
) -> PictureLayer | None:
    """The layer of a name, or the picture of a view or of a part; the first that fits."""
    name = wanted.lower()

    def own_view(item: _Candidate) -> str:
        return item.view or plain

    fitting = [item for item in found if name in (item.layer.lower(), f"{own_view(item)}.{item.layer}".lower())]
    fitting = fitting or [item for item in found if name == own_view(item).lower()]
    fitting = fitting or [item for item in found if item.layer.lower().endswith(f".{name}")]
    fitting = fitting or [item for item in found if name == parts[item.index].name.lower()]
    if not fitting:
        return None
    best = min(fitting, key=lambda item: item.rank)
    view = own_view(best)
    others = tuple(other for other in views if other != view)
    return PictureLayer(best.index, best.color, best.layer, (), view, others, asked=True)


def no_layer(wanted: str, parts: tuple[PartNames, ...]) -> tuple[str, str]:
    """Why a file has no layer or view of a name, and the remedy."""
    views, found = _all(parts)
    names = [name for item in found for name in (item.layer, item.view) if name]
    names += [*views, *(part.name for part in parts if part.name and _rgb_under("", part.channels))]
    known = tuple(dict.fromkeys(names))
    if not known:
        return f'it has no layer or view "{wanted}", only one picture', "drop --layer"
    close = difflib.get_close_matches(wanted.lower(), [name.lower() for name in known], n=1, cutoff=0.6)
    meant = next((f"did you mean {name}?" for name in known if close and name.lower() == close[0]), "")
    return f'it has no layer or view "{wanted}" with color', meant or f"there are {_listed(known)}"


def no_color(parts: tuple[PartNames, ...]) -> tuple[str, str]:
    """Why a file has no picture, and the remedy."""
    names = [name for part in parts for name in part.channels]
    words = {name.split(".")[-1].lower() for name in names}
    kind = ""
    if words <= {"z", "zback", "depth", "dist"}:
        kind = ", only depth"
    elif words <= _COVERAGE:
        kind = ", only coverage"
    elif {"y", "ry", "by"} <= words:
        return chroma_apart()
    text = f"no color in it{kind}: there is no R, G, B or Y among the channels {_listed(tuple(names))}"
    return text, "give the file of the beauty pass"


def chroma_apart() -> tuple[str, str]:
    """Why a file of luminance and chroma is not read, and the remedy."""
    return "its color is stored as luminance and chroma (Y, RY, BY), which is not read", "write it as R, G, B"


def _views(parts: tuple[PartNames, ...]) -> tuple[str, ...]:
    said = tuple(dict.fromkeys(view for part in parts for view in part.views if view))
    if len(said) > 1:
        return said
    prefixes = {word for part in parts for name in part.channels for word in _words(name.rpartition(".")[0])}
    named = {word for part in parts for word in _words(part.name)} if len(parts) > 1 else set()
    there = prefixes | named
    return tuple(view for view in _VIEWS if view in there) or said


def _candidates(index: int, part: PartNames, views: tuple[str, ...], several: bool) -> Iterator[_Candidate]:
    eyes = {view.lower(): view for view in views}
    own = part.views[0] if len(part.views) == 1 else ""
    prefixes = dict.fromkeys(name.rpartition(".")[0] for name in part.channels)
    for prefix in prefixes:
        dotted = f"{prefix}." if prefix else ""
        color = _rgb_under(dotted, part.channels)
        gray = None if color or prefix else _gray(part.channels)
        if color is None and gray is None:
            continue
        label = prefix or (part.name if several else "")
        words = _words(label)
        view = own if len(views) > 1 else ""
        view = next((eyes[word] for word in words if word in eyes), view)
        words = [word for word in words if word not in eyes]
        rank = _rank(words) if color else _GRAY_RANK
        found = color or gray
        if found is None:
            continue
        others = tuple(sorted(_CALLED_RANK.get(word, _OTHER_RANK) for word in words[:-1])) or (_OTHER_RANK,)
        order = index if not prefix else len(label)
        plain = 0 if not prefix else 1
        lacks_alpha = 0 if found.alpha is not None else 1
        view_rank = list(eyes).index(view.lower()) if view.lower() in eyes else 0
        yield _Candidate(
            index, found, label, view, (rank, view_rank, plain, others[0], lacks_alpha, order, len(prefixes))
        )


def _rank(words: list[str]) -> int:
    if not words:
        return 0
    if any(word in _DATA or re.match(r"(u?crypto)", word) for word in words):
        return _DATA_RANK
    if any(word in _SHARES for word in words):
        return _SHARE_RANK
    return _CALLED_RANK.get(words[-1], min(_CALLED_RANK.get(word, _OTHER_RANK) for word in words))


def _rivals(item: _Candidate, best: _Candidate) -> bool:
    """Whether another layer could be meant: one of the same standing that was chosen by less than its name."""
    if item.rank[0] >= _DATA_RANK:
        return False
    if best.rank[0] < _GRAY_RANK:
        return item.rank[0] == best.rank[0] and item.rank[2] == best.rank[2]
    return best.rank[0] in (_OTHER_RANK, _SHARE_RANK) and item.rank[0] >= _OTHER_RANK


def _may_stand_alone(name: str, coverage: bool) -> bool:
    word = name.split(".")[-1].lower()
    if word in _COVERAGE:
        return coverage
    return word not in _DATA and not re.match(r"u?crypto", word)


def _words(label: str) -> list[str]:
    """The words of a layer's name in lower case, "diffCol2" as one and without its number."""
    words = (re.sub(r"\d+$", "", word) for word in re.split(r"[._:/\s-]+", label.lower()))
    return [word for word in words if word]


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


def _rgb_under(prefix: str, names: tuple[str, ...]) -> ColorChannels | None:
    lower = {name.lower(): name for name in reversed(names)}
    for letters in (("r", "g", "b", "a"), ("red", "green", "blue", "alpha")):
        wanted = [prefix.lower() + letter for letter in letters]
        if all(name in lower for name in wanted[:3]):
            return ColorChannels(tuple(lower[name] for name in wanted[:3]), lower.get(wanted[3]))
    return None


def _gray(names: tuple[str, ...]) -> ColorChannels | None:
    lower = {name.lower(): name for name in reversed(names)}
    # X, Y, Z are a place or a normal, and Y beside them is no luminance; with RY and BY it is a share of the color.
    for name in ("y", "i", "l", "gray"):
        if name in lower and not (name == "y" and ({"x", "z"} <= set(lower) or {"ry", "by"} & set(lower))):
            return ColorChannels((lower[name],), lower.get("a", lower.get("alpha")))
    return None
