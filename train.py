"""Train mDCSRN (see `train.py --help`)."""

import sys

from mdcsrn_tf.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
