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
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages
from mdcsrn_tf.run_record import RunRecord

ROOT = Path(__file__).resolve().parents[1]
METRICS = "psnr,ssim,nrmse,psnr_head,ssim_head,nrmse_head,psnr3d,ssim3d,nrmse3d,piqe,niqe"


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
    record.write(pages.RESULTS / "baselines.json", folders_kept=False)
    from benchmarks import results_doc

    results_doc.main()
    print(results_doc.PAGE.read_text(encoding="utf-8"))


def section(record: dict[str, Any]) -> str:
    """Means over the scans, then every scan."""
    results, config = record["results"], record["config"]
    factor = "x".join(str(f) for f in config["factor"])
    lines = [
        f"## Interpolation of scans degraded {factor} along {config['axes']}",
        "",
        f"{pages.circumstances(record)} Mean ± SD over {len(results['subjects'])} scans; "
        "PSNR, SSIM and NRMSE slice by slice in the degraded plane.",
        "",
    ]
    metrics = [metric for metric in config["metrics"] if any(metric in v for v in results["values"].values())]
    scans = results["subjects"]
    means = [
        [name, *(pages.mean_cell(row.get(metric), metric, len(scans)) for metric in metrics)]
        for name, row in results["methods"].items()
    ]
    lines += pages.table(["", *(pages.TITLES[metric] for metric in metrics)], means)
    for metric in metrics:
        rows = [
            [name, *(pages.number(values.get(metric, {}).get(scan), metric) for scan in scans)]
            for name, values in results["values"].items()
            if metric in values
        ]
        lines += ["", f"### {pages.TITLES[metric]}, scan by scan", "", *pages.table(["", *scans], rows)]
    if results["remarks"] or results["left_out"]:
        lines += ["", *(f"- {remark}" for remark in [*results["remarks"], *results["left_out"]])]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
