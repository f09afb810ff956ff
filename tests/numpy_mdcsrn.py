"""mDCSRN in NumPy and SciPy, to compare the networks of Keras with."""

import numpy as np
from scipy.ndimage import correlate


class NumpyMdcsrn:
    """A forward pass of a model's weights, written from the papers' text: correlate, normalise, ELU, concatenate."""

    def __init__(self, model, config, training):
        self.weights = {variable.path: variable.numpy().astype(np.float64) for variable in model.variables}
        self.config, self.training = config, training

    def __call__(self, volume):
        features = self.features(self.conv(volume[..., np.newaxis], "stem"))
        return self.conv(features, "reconstruct")[..., 0]

    def features(self, stem):
        levels = [stem]
        for block in range(1, self.config.blocks + 1):
            x = np.concatenate(levels, axis=-1)
            if block > 1 or self.config.compress_first:
                x = self.conv(x, f"block{block}_compress")
            for unit in range(1, self.config.units + 1):
                x = np.concatenate([x, self.unit(x, f"block{block}_unit{unit}")], axis=-1)
            levels.append(x)
        return np.concatenate(levels, axis=-1)

    def unit(self, x, name):
        if self.config.bottleneck and x.shape[-1] > 4 * self.config.growth:
            x = self.conv(self.norm_elu(x, f"{name}_bottleneck"), f"{name}_bottleneck_conv")
        return self.conv(self.norm_elu(x, name), f"{name}_conv")

    def norm_elu(self, x, name):
        gamma, beta, mean, variance = (
            self.weights[f"{name}_norm/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        if self.training:
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        y = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        return np.where(y > 0, y, np.expm1(np.minimum(y, 0)))

    def conv(self, x, name, kernel=None):
        kernel = self.weights[f"{name}/kernel"] if kernel is None else kernel
        channels = []
        for out in range(kernel.shape[-1]):
            terms = [correlate(x[..., i], kernel[..., i, out], mode="constant") for i in range(x.shape[-1])]
            channels.append(sum(terms))
        bias = self.weights.get(f"{name}/bias", 0.0)
        return np.stack(channels, axis=-1) + bias
