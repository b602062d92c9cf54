"""Recipes: what one training step does. The loop around it is :mod:`engine.training.train`."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from engine.training.data.patches import Batch, Pair, PatchSampler
from engine.training.job.job import Settings
from engine.training.machine import Machine
from engine.training.model.augmentation import Augmentation
from engine.training.model.carry import Carried
from engine.training.model.features import DeepFeatures
from engine.training.model.losses import Discriminator, feature_matching, grid_pattern, masked_l1
from engine.training.model.network import Architecture, Translator, fit_skip
from engine.training.model.texler import GeneratorJ, TexlerDiscriminator, TexlerSampler, deep_feature_loss
from engine.training.optimizer import OrthogonalAdam

__all__ = ["PaintoverRecipe", "Recipe", "TexlerRecipe"]

LAYOUT = torch.channels_last
_ANEW_STEPS = 20
"""Averages that begin anew hold a third of such a number of steps."""


class Recipe(Protocol):
    """A way to train. ``modules`` and ``optimizers`` are everything that a checkpoint holds."""

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Adam]

    def step(self, progress: float) -> Mapping[str, Tensor]:
        """One update; ``progress`` in 0..1 drives the schedule. Returns the losses, unsynchronized scalars."""
        ...

    def result(self) -> nn.Module:
        """The network to export, in evaluation mode."""
        ...

    def sampler_state(self) -> dict[str, Any]: ...

    def restore_sampler(self, state: dict[str, Any]) -> None: ...


class PaintoverRecipe:
    """Ours: closed-form start, masked L1, feature matching in a small discriminator, orthogonal steps, cosine rate,
    averaged weights."""

    def __init__(
        self,
        pairs: list[Pair],
        settings: Settings,
        machine: Machine,
        rng: np.random.Generator,
        deep: DeepFeatures | None = None,
    ) -> None:
        self.settings = settings
        self.machine = machine
        self.deep = None if deep is None else deep.to(machine.device, memory_format=LAYOUT)  # type: ignore[call-overload]
        guides = 0 if pairs[0].guide is None else pairs[0].guide.shape[0]
        net = Translator(Architecture(settings.width, settings.blocks, guide_channels=guides, crisp=settings.crisp))
        self.start_residual = fit_skip(net, [(p.plate, p.painting, p.weight) for p in pairs])
        self.net = net.to(machine.device, memory_format=LAYOUT)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.net).requires_grad_(False).eval()
        self.discriminator = Discriminator(3, settings.discriminator_width).to(
            machine.device,
            memory_format=LAYOUT,  # type: ignore[call-overload]
        )
        context = min(settings.context, -(-net.reach // net.multiple) * net.multiple)
        self.sampler = PatchSampler(pairs, crop=settings.crop, halo=context, batch=settings.batch, rng=rng)
        fused = machine.device.type == "cuda"
        self.generator_adam = OrthogonalAdam(
            self.net.parameters(),
            self.net.hidden,
            settings.learning_rate,
            settings.orthogonal,
            fused=fused,
        )
        self.discriminator_adam = torch.optim.Adam(
            self.discriminator.parameters(), settings.discriminator_rate, (0.5, 0.999), fused=fused
        )
        self.modules: Mapping[str, nn.Module] = {
            "net": self.net,
            "averaged": self.averaged,
            "discriminator": self.discriminator,
        }
        self.optimizers: Mapping[str, torch.optim.Adam] = {
            "generator": self.generator_adam,
            "discriminator": self.discriminator_adam,
        }
        self._steps = 0
        self._averages_from = 0

    def step(self, progress: float) -> dict[str, Tensor]:
        self._set_rate(progress)
        batch = self.sampler.next()
        with self.machine.autocast():
            answer = self.net.answer(batch.plate, Carried.of(batch.carried), batch.guide)
        shown, wanted = self._judged(batch, answer.plain)
        # Of carried strokes nearly all is the painting: they would only tell the discriminator that paint passes.
        discriminator_loss = self._train_discriminator(shown.detach(), wanted)
        losses = self._generator_losses(batch, answer.plain, shown, wanted)
        carried = batch.of_carried
        more = self._generator_losses(carried, answer.result, *self._judged(carried, answer.result))
        losses = {name: loss + more[name] for name, loss in losses.items()}
        total = torch.stack(list(losses.values())).sum()
        self.generator_adam.zero_grad(set_to_none=True)
        total.backward()
        self.generator_adam.step()
        self._steps += 1
        self._average()
        return {"loss": total.detach(), **{k: v.detach() for k, v in losses.items()}, "critic": discriminator_loss}

    def _judged(self, batch: Batch, result: Tensor) -> tuple[Tensor, Tensor]:
        """Result and painting inside the halo, black outside the matte in both: what the discriminator may see."""
        weight = batch.judged(batch.weight)
        return batch.judged(result).float() * weight, batch.judged(batch.painting) * weight

    def _train_discriminator(self, fake: Tensor, real: Tensor) -> Tensor:
        with self.machine.autocast():
            verdict, _ = self.discriminator(torch.cat([fake, real]).contiguous(memory_format=LAYOUT))
        on_fake, on_real = verdict.float().chunk(2)
        loss = on_fake.square().mean() + (on_real - 1).square().mean()
        self.discriminator_adam.zero_grad(set_to_none=True)
        loss.backward()
        self.discriminator_adam.step()
        return loss.detach()

    def _generator_losses(self, batch: Batch, result: Tensor, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        settings = self.settings
        losses = {
            "l1": settings.l1 * masked_l1(result, batch.painting, batch.weight),
            "grid": settings.grid * grid_pattern(result, batch.painting, batch.weight),
        }
        self.discriminator.requires_grad_(False)
        with self.machine.autocast():
            verdict, features = self.discriminator(fake.contiguous(memory_format=LAYOUT))
            with torch.no_grad():
                _, wanted = self.discriminator(real.contiguous(memory_format=LAYOUT))
            losses["matching"] = settings.feature_matching * feature_matching(features, wanted)
            losses["adversarial"] = settings.adversarial * (verdict.float() - 1).square().mean()
            if self.deep is not None and settings.deep:
                with torch.no_grad():
                    target = self.deep(real)
                maps = zip(self.deep(fake), target, strict=True)
                losses["deep"] = settings.deep * sum((a.float() - b.float()).square().mean() for a, b in maps)
        self.discriminator.requires_grad_(True)
        return losses

    def _set_rate(self, progress: float) -> None:
        warm = min(1.0, (self._steps + 1) / self.settings.warmup_steps)
        rate = self.settings.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * min(progress, 1.0)))
        for group in self.generator_adam.param_groups:
            group["lr"] = max(rate, 1e-6)

    @torch.no_grad()
    def _average(self) -> None:
        steps = self._steps - self._averages_from
        decay = min(self.settings.averaging, (steps + 1) / (steps + 10))
        mean, new = self.averaged.state_dict(), self.net.state_dict()
        names = [name for name, value in mean.items() if value.is_floating_point()]
        torch._foreach_lerp_([mean[n] for n in names], [new[n] for n in names], 1 - decay)

    def set_steps(self, steps: int) -> None:
        """Go on as after so many steps: no warming up, and the averages as slow as they were."""
        self._steps = steps

    def average_anew(self) -> None:
        """Let the averages follow at once, as early in a training: what they knew is no longer wanted everywhere."""
        self._averages_from = max(0, self._steps - _ANEW_STEPS)

    def result(self) -> nn.Module:
        return self.averaged

    def sampler_state(self) -> dict[str, Any]:
        return {"steps": self._steps, **self.sampler.state()}

    def restore_sampler(self, state: dict[str, Any]) -> None:
        self._steps = int(state["steps"])
        self.sampler.restore(state)


class TexlerRecipe:
    """Configuration P of Texler et al. 2020, with ``full_frame`` its baseline F: weights, rates, batch as published."""

    PATCH, BATCH, BLOCKS, RATE = 32, 40, 7, 4e-4
    FULL_FRAME_BLOCKS, FULL_FRAME_RATE = 4, 2e-4
    L1, DEEP, ADVERSARIAL = 4.0, 6.0, 0.5

    def __init__(
        self,
        pairs: list[Pair],
        machine: Machine,
        rng: np.random.Generator,
        deep: DeepFeatures | None,
        *,
        full_frame: bool = False,
        augment: str | None = None,
    ) -> None:
        """
        Args:
            augment: one of ``AUGMENTATIONS``, of full frames; None for none.
        """
        self.machine = machine
        self.augmentation = None if augment is None else Augmentation(augment, rng)
        self.deep = None if deep is None else deep.to(machine.device, memory_format=LAYOUT)  # type: ignore[call-overload]
        net = GeneratorJ(self.FULL_FRAME_BLOCKS if full_frame else self.BLOCKS)
        self.net = net.to(machine.device, memory_format=LAYOUT)  # type: ignore[call-overload]
        self.discriminator = TexlerDiscriminator().to(machine.device, memory_format=LAYOUT)  # type: ignore[call-overload]
        if self.augmentation is not None:
            self.augmentation.into(self.net)
        tensors = [(p.plate, p.painting, p.weight) for p in pairs]
        self.sampler = TexlerSampler(tensors, 0 if full_frame else self.PATCH, self.BATCH, rng)
        rate = self.FULL_FRAME_RATE if full_frame else self.RATE
        self.generator_adam = torch.optim.Adam(self.net.parameters(), rate, weight_decay=1e-5)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), rate, weight_decay=1e-5)
        self.modules: Mapping[str, nn.Module] = {"net": self.net, "discriminator": self.discriminator}
        self.optimizers: Mapping[str, torch.optim.Adam] = {
            "generator": self.generator_adam,
            "discriminator": self.discriminator_adam,
        }

    def step(self, progress: float) -> dict[str, Tensor]:
        self.net.train()
        plate, painting, real, weight = self.sampler.next()
        if self.augmentation is not None:
            plate = self.augmentation.spoiled(plate)
        plate = plate.contiguous(memory_format=LAYOUT)
        with self.machine.autocast():
            result = self.net(plate)
            fake = (result * weight * 2 - 1).contiguous(memory_format=LAYOUT)
            on_fake = self.discriminator(fake.detach()).float()
            on_real = self.discriminator((real * weight * 2 - 1).contiguous(memory_format=LAYOUT)).float()
            critic = on_fake.square().mean() + (on_real - 1).square().mean()
        self.discriminator_adam.zero_grad(set_to_none=True)
        critic.backward()
        self.discriminator_adam.step()
        self.discriminator.requires_grad_(False)
        with self.machine.autocast():
            losses = {
                # The published images span -1..1, twice the range of the encoding here.
                "l1": self.L1 * 2 * masked_l1(result, painting, weight),
                "adversarial": self.ADVERSARIAL * (self.discriminator(fake).float() - 1).square().mean(),
            }
            if self.deep is not None:
                with torch.no_grad():
                    target = self.deep((painting * weight).contiguous(memory_format=LAYOUT))
                losses["deep"] = self.DEEP * deep_feature_loss(self.deep(result * weight), target)
        self.discriminator.requires_grad_(True)
        total = torch.stack(list(losses.values())).sum()
        self.generator_adam.zero_grad(set_to_none=True)
        total.backward()
        self.generator_adam.step()
        return {"loss": total.detach(), **{k: v.detach() for k, v in losses.items()}, "critic": critic.detach()}

    def result(self) -> nn.Module:
        return self.net.eval()

    def sampler_state(self) -> dict[str, Any]:
        return {"turn": self.sampler.turn, "queues": [q.tolist() for q in self.sampler.queues]}

    def restore_sampler(self, state: dict[str, Any]) -> None:
        self.sampler.turn = int(state["turn"])
        self.sampler.queues = [np.asarray(q, np.int64).reshape(-1, 2) for q in state["queues"]]
