"""`train.py` with networks small enough to be trained in a test under the names of two presets.

usage: train_small.py, with the flags of train.py
"""

import sys
from dataclasses import replace

from mdcsrn_tf.papers import PRESETS
from mdcsrn_tf.papers.config import MdcsrnConfig, SmallGridConfig

NETWORK = MdcsrnConfig(blocks=1, units=2, growth=4, compress_first=True, bottleneck=True, use_bias=True)
NETWORKS = {"miccai/b1u8k16": NETWORK, "fast/b4u4k16": SmallGridConfig(NETWORK)}
SMALL = {name: replace(PRESETS[name], network=network) for name, network in NETWORKS.items()}

if __name__ == "__main__":
    from mdcsrn_tf.cli.train import main

    PRESETS.update(SMALL)
    sys.exit(main(sys.argv[1:]))
