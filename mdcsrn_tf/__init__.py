"""mDCSRN and mDCSRN-GAN: 3D MRI super-resolution, faithful to the papers.

    import mdcsrn_tf as m

    m.super_resolve("scan.nii.gz", "sr.nii.gz")   # a file for a file
    m.super_resolve(image)                        # a nibabel image for a nibabel image
    m.super_resolve(array, affine=affine)         # an array for an array
    m.list_models(), m.load_model(), m.degrade(...), m.evaluate(...)

Importing this package loads no TensorFlow; the functions load what they need when they are called (mdcsrn_tf.api).
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "degrade", "evaluate", "list_models", "load_model", "super_resolve"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("mdcsrn_tf.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
