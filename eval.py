"""Evaluate super-resolved scans and regenerate the papers' tables; the same as `mdcsrn-eval`."""

import sys

from mdcsrn_tf.cli.eval import main

if __name__ == "__main__":
    sys.exit(main())
