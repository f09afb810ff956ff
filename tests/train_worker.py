"""A process of a training run of both phases on a tiny network, for the tests of more than one process."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import train_helpers

from mdcsrn_tf.training.distribution import make_strategy, variables_of
from mdcsrn_tf.training.loop import Phase, TrainData
from mdcsrn_tf.training.state import build_state


def paired_batches(start_step, part=(0, 6)):
    """Batches of 6 whose halves are equal, so that a half has the batch statistics of the whole."""

    def generate():
        step = start_step
        while True:
            whole = (np.concatenate([half, half]) for half in train_helpers.batch(0, step, 3))
            yield tuple(images[part[0] : sum(part)] for images in whole)
            step += 1

    signature = (tf.TensorSpec((part[1], *[train_helpers.PATCH] * 3, 1)),) * 2
    return tf.data.Dataset.from_generator(generate, output_signature=signature)


def main(strategy_name, workdir, *assignments):
    if strategy_name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    else:
        strategy = make_strategy(strategy_name)
    for phase in ("l1", "gan"):
        settings = train_helpers.settings(phase, "batch_size=6", *assignments, strategy=strategy_name)
        keras.utils.set_random_seed(0)
        with variables_of(strategy):
            state = build_state(settings.preset, phase)
        data = TrainData(paired_batches, train_helpers.data().validation)
        Phase(settings, state, data, Path(workdir), lambda *_: None, strategy).run()
    print(strategy.num_replicas_in_sync, "replicas")
