"""Limits of a training, and which recipe takes what; it imports next to nothing, for those who must start fast."""

from __future__ import annotations

from engine.base.errors import InputError

__all__ = ["MINIMUM_BUDGET_S", "MINIMUM_STEPS", "OWN_RECIPE", "RECIPES", "check_recipe"]

OWN_RECIPE = "paintover"
"""The only one that takes guides, settings and crisp strokes."""

RECIPES = (OWN_RECIPE, "texler2020", "texler2020-fullframe")

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
