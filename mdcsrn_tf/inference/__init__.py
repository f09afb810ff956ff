"""A scan's way through a trained network."""

from mdcsrn_tf.inference.volume import super_resolve_volume

__all__ = ["super_resolve_volume"]
