"""Limits of a training, and which recipe takes what; it imports next to nothing, for those who must start fast."""

from __future__ import annotations

from engine.base.errors import InputError

__all__ = [
    "AUGMENTATIONS",
    "FULL_FRAME",
    "MINIMUM_BUDGET_S",
    "MINIMUM_STEPS",
    "OWN_RECIPE",
    "RECIPES",
    "check_augmentation",
    "check_recipe",
]

OWN_RECIPE = "paintover"
"""The only one that takes guides, settings and crisp strokes."""

FULL_FRAME = "texler2020-fullframe"
"""The only one that is augmented: the baselines of Texler et al. 2020, figure 9."""

RECIPES = (OWN_RECIPE, "texler2020", FULL_FRAME)

AUGMENTATIONS = ("noise", "black-pixels", "occlusion", "map-dropout", "pixel-dropout")
"""What the full frames, or the network that sees them, suffer in each step."""

MINIMUM_BUDGET_S = 5.0
MINIMUM_STEPS = 1


def check_recipe(recipe: str, *, guides: object = None, settings: object = None, crisp: bool = False) -> None:
    """The recipe is known and takes what is asked of it.

    Args:
        guides, settings: None where not asked for.

    Raises:
        InputError: an unknown recipe; or guide images, settings or crisp strokes for one that is not ours.
    """
    if recipe not in RECIPES:
        raise InputError(f"unknown recipe {recipe!r}", remedy=f"known are {', '.join(RECIPES)}")
    if recipe == OWN_RECIPE:
        return
    asked = {"guides": (guides, "guide"), "settings": (settings, "settings"), "crisp": (crisp or None, "crisp strokes")}
    for option, (value, what) in asked.items():
        if value is not None:
            raise InputError(f"the recipe {recipe} takes no {what}", remedy=f"drop --{option} or --recipe")


def check_augmentation(recipe: str, augment: str | None) -> None:
    """The recipe takes the augmentation.

    Raises:
        InputError: an unknown one, or one for a recipe that has none.
    """
    if augment is None:
        return
    if augment not in AUGMENTATIONS:
        raise InputError(f"unknown augmentation {augment!r}", remedy=f"known are {', '.join(AUGMENTATIONS)}")
    if recipe != FULL_FRAME:
        raise InputError(
            f"the recipe {recipe} has no augmentations", remedy=f"give --recipe {FULL_FRAME} with --augment"
        )
