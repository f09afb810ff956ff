"""Adam as one operation a variable: Keras's takes a dozen, each traced, placed and run by itself."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class Adam(keras.optimizers.Adam):
    """Keras's Adam with the same slots and the same arithmetic, done by TensorFlow's own kernel."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one float32 variable, and its two moments, by its gradient."""
        place = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[place]),
            v=_handle(self._velocities[place]),
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )


def _handle(variable: Any) -> tf.Tensor:
    """Of a Keras variable or TensorFlow's; where there are several replicas, that of the one at hand."""
    return variable.value.handle if isinstance(variable, keras.Variable) else variable.handle
