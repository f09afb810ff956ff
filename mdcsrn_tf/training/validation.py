"""What chooses a checkpoint: the error on the validation patches, and what an objective adds to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models.layers import moving_statistics_kept
from mdcsrn_tf.training.state import TrainState
from mdcsrn_tf.training.steps.objective import nothing_more

Judge = Callable[[TrainState, tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


class Validator:
    """Evaluates a state's networks on the same patches every time.

    The generator normalises here as its file will in use: by its moving statistics, or by each patch's own.
    PSNR is that of all voxels together; its data range is that of the high-resolution patches.
    """

    def __init__(
        self,
        state: TrainState,
        batches: Callable[[], tf.data.Dataset],
        judge: Judge = nothing_more,
        *,
        statistics: str = "moving",
        jit: bool = False,
    ):
        self._batches = batches
        self.super_resolve = _generator_in_use(state.generator, statistics)
        self._low, self._high, self._input_error, self.count = self._survey()
        evaluate = _evaluator(state, judge, self.super_resolve)
        self._evaluate = tf.function(evaluate, jit_compile=jit or None, reduce_retracing=True, autograph=False)

    def __call__(self) -> dict[str, float]:
        """`mse`, `psnr` and `input_psnr`, and what the objective adds: means over the patches."""
        sums: dict[str, float] = {}
        for low_res, high_res in self._batches():
            for name, part in self._evaluate(low_res, high_res).items():
                sums[name] = sums.get(name, 0.0) + float(part.numpy())
        means = {name: total / self.count for name, total in sums.items()}
        error = means.pop("mse")
        return {"mse": error, "psnr": self._psnr(error), "input_psnr": self._psnr(self._input_error), **means}

    def examples(self, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
        """The `count` patches of the first batches with the most contrast: the same ones every time."""
        pairs = [pair for batch in self._batches().take(4) for pair in zip(*(b.numpy() for b in batch), strict=True)]
        pairs.sort(key=lambda pair: -float(pair[1].std()))
        low, high = zip(*pairs[:count], strict=True)
        return np.stack(low), np.stack(high)

    def _survey(self) -> tuple[float, float, float, int]:
        low, high, error, count = math.inf, -math.inf, 0.0, 0
        for low_res, high_res in self._batches():
            patches, truth = low_res.numpy().astype(np.float64), high_res.numpy().astype(np.float64)
            low, high = min(low, truth.min()), max(high, truth.max())
            error += float(np.square(_comparable(patches, truth) - truth).mean(axis=tuple(range(1, truth.ndim))).sum())
            count += len(truth)
        if not count:
            raise UserError("There are no validation patches in these shards; make them with more subjects.")
        return low, high, error / count, count

    def _psnr(self, error: float) -> float:
        return 10 * math.log10((self._high - self._low) ** 2 / max(error, 1e-30)) if error == error else math.nan


def _comparable(low_res: np.ndarray, high_res: np.ndarray) -> np.ndarray:
    """Of several slices in, the middle one, where there are not as many out."""
    channels = low_res.shape[-1]
    return low_res if channels in (1, high_res.shape[-1]) else low_res[..., channels // 2][..., np.newaxis]


def _generator_in_use(generator: Any, statistics: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """The generator on a batch of patches, normalised as inference will, which takes one tile at a time."""

    def each_by_its_own(low_res: tf.Tensor) -> tf.Tensor:
        with moving_statistics_kept():
            return tf.map_fn(lambda patch: generator(patch[tf.newaxis], training=True)[0], low_res)

    return each_by_its_own if statistics == "batch" else lambda low_res: generator(low_res, training=False)


def _evaluator(
    state: TrainState, judge: Judge, super_resolve: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Sums over a batch of each patch's mean squared error and of what the objective adds."""

    def evaluate(low_res: tf.Tensor, high_res: tf.Tensor) -> dict[str, tf.Tensor]:
        super_res = super_resolve(low_res)
        errors = tf.reduce_mean(tf.square(super_res - high_res), axis=list(range(1, high_res.shape.rank)))
        return {"mse": tf.reduce_sum(errors), **judge(state, super_res, high_res)}

    return evaluate


def reestimate_statistics(generator: Any, batches: tf.data.Dataset, count: int) -> bool:
    """Measure the moving statistics of every batch normalisation anew, as means over `count` batches.

    False if there is none. Short runs end before exponential averages have forgotten where they started
    (docs/decisions.md).
    """
    layers = [layer for layer in generator.layers if hasattr(layer, "moving_variance")]
    moving = [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
    momenta = [layer.momentum for layer in layers for _ in range(2)]
    if not moving or not count:
        return False
    forward = tf.function(lambda low_res: generator(low_res, training=True), autograph=False)
    sums = [np.zeros(variable.shape) for variable in moving]
    for low_res, _high_res in batches.take(count):
        for variable in moving:
            variable.assign(tf.zeros(variable.shape))
        forward(low_res)
        # From zero, one update leaves (1 - momentum) times the batch's statistic.
        for index, (variable, momentum) in enumerate(zip(moving, momenta, strict=True)):
            sums[index] += variable.numpy() / (1 - momentum)
    for variable, total in zip(moving, sums, strict=True):
        variable.assign((total / count).astype(np.float32))
    return True
