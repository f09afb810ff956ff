"""Which device TensorFlow uses, and how it multiplies there."""

from __future__ import annotations

from mdcsrn_tf.errors import UserError


def choose_device(device: str, engine: str = "tensorflow") -> None:
    """Hide the GPUs for `cpu`; refuse `gpu` where there is none."""
    if engine == "openvino":
        if device == "gpu":
            raise UserError("--engine=openvino runs on the processor; leave out --device=gpu.")
        return
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise UserError(
            "TensorFlow sees no GPU here; check nvidia-smi and pip install 'mdcsrn-tf[gpu]', or take --device=cpu."
        )
    if not gpus:
        return
    try:
        if device == "cpu":
            tf.config.set_visible_devices([], "GPU")
        else:
            for gpu in gpus:
                tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        # The GPU is in use already (a notebook): its settings cannot change any more, and need not.
        return


def choose_precision(precision: str) -> None:
    """Let TensorFlow multiply in full float32, but for `tensorfloat32`."""
    import tensorflow as tf

    # TensorFlow rounds to TensorFloat-32 on a GPU unless told not to; float32 shall mean float32.
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tensorfloat32")
