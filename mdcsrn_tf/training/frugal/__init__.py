"""Dense networks in training, in less memory and time than layer by layer."""

from mdcsrn_tf.training.frugal.network import FrugalNetwork

__all__ = ["FrugalNetwork"]
