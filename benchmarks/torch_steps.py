"""The training steps and the tiled volume in PyTorch, on any device and in each form that its users may choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.torch_networks import Critic, Mdcsrn
from mdcsrn_tf.papers.config import CriticConfig, MdcsrnConfig, Preset


@dataclass(frozen=True)
class Form:
    """How PyTorch runs: in which memory format, by `torch.compile` or eagerly, in bfloat16 (autocast) or float32."""

    layout: str = "channels_last_3d"
    compiled: bool = False
    bfloat16: bool = True

    def __str__(self) -> str:
        return f"{'compiled' if self.compiled else 'eager'}, {self.layout.replace('_format', '')}"

    @property
    def format(self) -> torch.memory_format:
        """PyTorch's own name of the layout."""
        return getattr(torch, self.layout)

    def ready(self, module: torch.nn.Module, device: str) -> Any:
        """The module on the device, in this layout, compiled if so wanted."""
        module = module.to(device=device, memory_format=self.format)
        return torch.compile(module) if self.compiled else module


class TrainingSteps:
    """One step of each kind, on one fixed batch; each returns its loss as a tensor, without waiting for a GPU."""

    def __init__(self, preset: Preset, kind: str, batch: int, patch: int, form: Form, device: str = "cpu"):
        assert isinstance(preset.network, MdcsrnConfig)
        self.form, self.device = form, device
        recipe = preset.training
        self.wgan: Any = recipe.phase("gan").objective
        self.generator = form.ready(Mdcsrn(preset.network).train(), device)
        rate = recipe.phase("l1").learning_rate
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), rate, fused=True)
        if kind != "l1":
            # The penalty's gradient is a second derivative, which torch.compile does not take.
            critic_form = Form(form.layout, form.compiled and kind != "critic")
            assert isinstance(self.wgan.critic, CriticConfig)
            self.critic = critic_form.ready(Critic(self.wgan.critic, patch), device)
            rate = recipe.phase("gan").learning_rate
            self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), rate, fused=True)
        shape = (batch, 1, *3 * (patch,))
        self.low_res, self.high_res = (
            torch.randn(shape, device=device).to(memory_format=form.format) for _ in range(2)
        )
        self.step: Callable[[], torch.Tensor] = getattr(self, f"_{kind}")

    def _super_resolve(self) -> torch.Tensor:
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.form.bfloat16):
            return self.generator(self.low_res).float()

    def _l1(self) -> torch.Tensor:
        return _update(self.generator_optimizer, (self._super_resolve() - self.high_res).abs().mean())

    def _generator(self) -> torch.Tensor:
        super_res = self._super_resolve()
        adversarial = -self.critic(super_res).mean()
        loss = (super_res - self.high_res).abs().mean() + self.wgan.adversarial_weight * adversarial
        return _update(self.generator_optimizer, loss)

    def _critic(self) -> torch.Tensor:
        with torch.no_grad():
            super_res = self._super_resolve()
        penalty = self.wgan.gradient_penalty_weight * _penalty(self.critic, self.high_res, super_res)
        loss = penalty - self.critic(self.high_res).mean() + self.critic(super_res).mean()
        return _update(self.critic_optimizer, loss)


def _update(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> torch.Tensor:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _penalty(critic: Any, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """WGAN-GP's gradient penalty."""
    alpha = torch.rand(len(real), 1, 1, 1, 1, device=real.device)
    between = (alpha * real + (1 - alpha) * fake).requires_grad_()
    (gradients,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((gradients.flatten(1).norm(dim=1) - 1) ** 2).mean()


class TiledVolume:
    """A volume, an array in the host's memory to another, by trained statistics; `batch` tiles at a time.

    Its edges are multiples of the cores'.
    """

    def __init__(self, config: MdcsrnConfig, tile: int, margin: int, batch: int, form: Form, device: str):
        self.tile, self.margin, self.batch, self.form, self.device = tile, margin, batch, form, device
        self.dtype = torch.bfloat16 if form.bfloat16 else torch.float32
        self.network = form.ready(Mdcsrn(config).eval().to(self.dtype), device)

    @torch.inference_mode()
    def __call__(self, volume: np.ndarray) -> np.ndarray:
        """[i, j, k] float32, normalised, to the same."""
        tile, margin = self.tile, self.margin
        core = tile - 2 * margin
        whole = torch.from_numpy(volume).to(self.device)
        padded = functional.pad(whole[None, None], [margin] * 6, mode="reflect")[0, 0]
        corners = list(product(*(range(0, size, core) for size in volume.shape)))
        result = torch.empty_like(whole)
        for first in range(0, len(corners), self.batch):
            some = corners[first : first + self.batch]
            cut = torch.stack([padded[i : i + tile, j : j + tile, k : k + tile] for i, j, k in some])[:, None]
            output = self.network(cut.to(self.dtype).contiguous(memory_format=self.form.format))[:, 0].float()
            inside = output[:, margin : tile - margin, margin : tile - margin, margin : tile - margin]
            for (i, j, k), part in zip(some, inside, strict=True):
                result[i : i + core, j : j + core, k : k + core] = part
        return result.cpu().numpy()
