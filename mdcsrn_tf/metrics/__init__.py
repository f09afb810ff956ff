"""Image metrics: NumPy, SciPy and scikit-image only, no TensorFlow."""
