"""Super-resolve scans; the same as `mdcsrn-infer`."""

import sys

from mdcsrn_tf.cli.infer import main

if __name__ == "__main__":
    sys.exit(main())
