"""Scans: files and geometry, NumPy, SciPy and nibabel only."""
