"""The interpolations on real scans: the record from which docs/results.md is generated.

    python benchmarks/baselines.py --data=DIR [--workdir=DIR]

Runs eval.py on every scan in DIR (docs/evaluation.md's default conventions, 2x2x1 along LR and AP), keeps each
scan's values in benchmarks/results/baselines.json and writes docs/results.md anew. A run that was stopped goes
on in --workdir. The networks' record is benchmarks/networks.py's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import results_doc
from mdcsrn_tf.run_record import RunRecord

ROOT = Path(__file__).resolve().parents[1]
METRICS = "psnr,ssim,nrmse,psnr3d,ssim3d,nrmse3d,piqe,niqe"


def main() -> None:
    """Evaluate, keep the record, regenerate the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workdir", type=Path)
    arguments = parser.parse_args()
    record = RunRecord.begin({"metrics": METRICS.split(","), "axes": "LR,AP", "factor": [2, 2]})
    with tempfile.TemporaryDirectory() as folder:
        output = arguments.workdir or Path(folder)
        flags = [f"--hr={arguments.data}", f"--output={output}", f"--metrics={METRICS}", "--nofigures"]
        subprocess.run([sys.executable, "eval.py", *flags], cwd=ROOT, check=True)
        record.results = json.loads((output / "run.json").read_text(encoding="utf-8"))["results"]
    record.write(results_doc.RESULTS / "baselines.json", folders_kept=False)
    results_doc.main()
    print(results_doc.PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
