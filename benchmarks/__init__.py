"""Benchmarks: side by side with the alternative, in one run; records in results/."""
