"""The updates that a training step is made of, one objective a file."""
