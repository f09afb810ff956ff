"""Shards: the format that data_prep writes and training reads."""
