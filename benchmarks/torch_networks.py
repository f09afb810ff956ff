"""The same networks in PyTorch, as its users would write them: the alternative that ours are timed against."""

from __future__ import annotations

import torch
from torch import nn

from mdcsrn_tf.papers.config import CriticConfig, MdcsrnConfig


class Mdcsrn(nn.Module):
    """The generator of `mdcsrn_tf.models.mdcsrn` with direct reconstruction."""

    def __init__(self, config: MdcsrnConfig):
        super().__init__()
        width = 2 * config.growth
        self.stem = nn.Conv3d(1, width, 3, padding=1, bias=config.use_bias)
        self.blocks = nn.ModuleList()
        seen = width
        for index in range(config.blocks):
            compress = config.compress_first or index > 0
            self.blocks.append(_DenseBlock(config, seen if compress else None))
            seen += width + config.units * config.growth
        self.reconstruct = nn.Conv3d(seen, 1, 1, bias=config.use_bias)

    def forward(self, x):
        """(batch, 1, D, H, W) -> the same shape."""
        levels = [self.stem(x)]
        for block in self.blocks:
            levels.append(block(torch.cat(levels, 1)))
        return self.reconstruct(torch.cat(levels, 1))


class _DenseBlock(nn.Module):
    def __init__(self, config: MdcsrnConfig, compressed_from: int | None):
        super().__init__()
        width = 2 * config.growth
        self.compress = (
            nn.Identity() if compressed_from is None else nn.Conv3d(compressed_from, width, 1, bias=config.use_bias)
        )
        self.units = nn.ModuleList(_dense_unit(config, width + index * config.growth) for index in range(config.units))

    def forward(self, x):
        features = self.compress(x)
        for unit in self.units:
            features = torch.cat([features, unit(features)], 1)
        return features


def _dense_unit(config: MdcsrnConfig, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    if config.bottleneck and width > 4 * config.growth:
        layers += [*_activate(width), nn.Conv3d(width, 4 * config.growth, 1, bias=config.use_bias)]
        width = 4 * config.growth
    convolution = nn.Conv3d(width, config.growth, 3, padding=1, bias=config.use_bias)
    return nn.Sequential(*layers, *_activate(width), convolution)


def _activate(width: int) -> list[nn.Module]:
    return [nn.BatchNorm3d(width, eps=1e-3, momentum=0.01), nn.ELU()]


class OwnStatistics(nn.Module):
    """Batch normalisation by the batch's own statistics of plain operations, for what cannot export a training mode."""

    def __init__(self, norm: nn.BatchNorm3d):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        """(batch, C, D, H, W) -> the same shape."""
        mean = x.mean((0, 2, 3, 4), keepdim=True)
        centred = x - mean
        scale = torch.rsqrt((centred * centred).mean((0, 2, 3, 4), keepdim=True) + self.norm.eps)
        return centred * scale * self.norm.weight.reshape(1, -1, 1, 1, 1) + self.norm.bias.reshape(1, -1, 1, 1, 1)


def by_own_statistics(network: nn.Module) -> nn.Module:
    """The network, its batch normalisations exchanged."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm3d):
            setattr(network, name, OwnStatistics(child))
        else:
            by_own_statistics(child)
    return network


class Critic(nn.Module):
    """The critic of `mdcsrn_tf.models.critic`."""

    def __init__(self, config: CriticConfig, patch_size: int):
        super().__init__()
        layers: list[nn.Module] = []
        before, size = 1, patch_size
        for stage in range(config.stages):
            filters = config.filters * 2**stage
            for stride in (1, 2):
                layers.append(nn.Conv3d(before, filters, 3, stride=stride, padding=1))
                if stage > 0 or stride == 2:
                    layers.append(nn.GroupNorm(1, filters, eps=1e-3))
                layers.append(nn.LeakyReLU(config.leak))
                before = filters
                size = -(-size // stride)
        layers += [nn.Flatten(), nn.Linear(before * size**3, config.dense_units), nn.LeakyReLU(config.leak)]
        self.layers = nn.Sequential(*layers, nn.Linear(config.dense_units, 1))

    def forward(self, x):
        """(batch, 1, patch, patch, patch) -> (batch, 1)."""
        return self.layers(x)
