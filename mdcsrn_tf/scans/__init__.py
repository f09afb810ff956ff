"""Scans: their files, their geometry, their k-space; NumPy, SciPy and nibabel only."""
