"""Our recipe's step: what it judges, and which part of the network learns from what."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine.color import shaper
from engine.training.data.keyframes import LoadedKeyframe
from engine.training.job.job import Settings
from engine.training.machine import Machine
from engine.training.recipes import PaintoverRecipe
from tests.support.pairs import make_pair
from tests.support.procedural import TINY, plate

FLOAT32 = Machine(torch.device("cpu"), torch.float32)


def recipe(settings: Settings = TINY, side: int = 96) -> PaintoverRecipe:
    torch.manual_seed(0)
    return PaintoverRecipe([make_pair(side, side)], settings, FLOAT32, np.random.default_rng(0))


def changed(made: PaintoverRecipe, steps: int = 2) -> set[str]:
    """Parameters of the network that steps change; a head of zeros lets nothing through in the first."""
    before = {name: value.detach().clone() for name, value in made.net.named_parameters()}
    for _ in range(steps):
        made.step(0.1)
    return {name for name, value in made.net.named_parameters() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(("settings", "context"), [(Settings(), 16), (replace(TINY, crop=120, context=64), 40)])
def test_crops_have_some_context_and_never_more_than_the_network_sees(settings: Settings, context: int) -> None:
    made = recipe(settings, side=240)
    batch = made.sampler.next()
    assert batch.size == (settings.crop - 2 * context,) * 2
    shown, wanted = made._judged(batch, batch.plate)
    assert shown.shape == wanted.shape == (settings.batch, 3, *batch.size)


def test_the_plain_translation_learns_from_crops_that_carry_an_exemplar() -> None:
    made = recipe()
    made.sampler._spoiler.PLAIN = 0.0  # type: ignore[misc]
    everything = {name for name, _ in made.net.named_parameters()}
    assert changed(made) == everything


def test_the_branch_of_the_strokes_learns_nothing_from_crops_that_carry_none() -> None:
    made = recipe()
    made.sampler._spoiler.PLAIN = 1.0  # type: ignore[misc]
    assert changed(made) == {name for name, _ in made.net.named_parameters() if not name.startswith("strokes.")}


def test_the_discriminator_is_not_shown_carried_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe()
    batch = made.sampler.next()
    monkeypatch.setattr(made.sampler, "next", lambda: batch)
    # Before the first step the plain translation is the skip alone; the norms of a training network make no difference.
    skip = made.net(batch.plate).detach()
    seen = []
    monkeypatch.setattr(made, "_train_discriminator", lambda fake, real: seen.append((fake, real)) or torch.zeros(()))
    made.step(0.1)
    [(fake, real)] = seen
    assert torch.allclose(fake, made._judged(batch, skip)[0], atol=1e-5)
    assert torch.equal(real, batch.judged(batch.painting) * batch.judged(batch.weight))


def test_grain_is_taken_away_and_ink_drawn_in_few_steps() -> None:
    """A painting that is a filter of its plate, in few tones with dark lines; steps of Adam alone leave 0.053."""
    torch.manual_seed(0)
    seen = plate(128, 128)
    soft = cv2.GaussianBlur(shaper.encode(seen), (0, 0), 1)
    ridge = (soft - cv2.GaussianBlur(shaper.encode(seen), (0, 0), 2)).mean(axis=2, keepdims=True)
    ink = 1 - 0.8 / (1 + np.exp(400 * (ridge + 0.015)))
    painting = shaper.decode((np.round(soft * 5) / 5 * ink).astype(np.float32))
    pair = LoadedKeyframe(0, seen, painting, np.ones((128, 128), np.float32), "", "", "").pair(torch.device("cpu"), 8)
    small = replace(TINY, width=32, blocks=2, crop=96, feature_matching=0.0, adversarial=0.0, grid=0.0)
    made = PaintoverRecipe([pair], small, FLOAT32, np.random.default_rng(0))
    assert made.start_residual == pytest.approx(0.0556, abs=5e-4)
    for step in range(60):
        made.step(step / 60)
    with torch.no_grad():
        translated = made.result().eval().translate_plain(pair.plate[None])[1]
    assert float((translated - pair.painting[None]).abs().mean()) < 0.051
