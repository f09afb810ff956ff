"""A scan's way through a trained network."""
