"""Dense networks in training, in less memory and time than layer by layer."""

from mdcsrn_tf.training.frugal.network import FrugalNetwork, values_of

__all__ = ["FrugalNetwork", "values_of"]
