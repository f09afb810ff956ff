"""mDCSRN and mDCSRN-GAN: 3D MRI super-resolution, faithful to the papers.

Importing this package loads no TensorFlow; the modules that need it load it.
"""

__version__ = "0.1.0"
