"""A volume through journal/b4u4k12 in 70^3 tiles: TensorFlow, OpenVINO and ONNX Runtime against PyTorch with MONAI.

    python benchmarks/infer_volume.py [--shape=320,320,256] [--rounds=5] [--model=FILE.keras] [--hr=FILE.nii.gz]

Every contender runs the same network in the paper's mode (each tile's own statistics, margin 3), in a process
of its own with our allocator setting (`-system`: without), settled on one tile, taking turns.
PyTorch runs MONAI's sliding_window_inference over the same tiles in channels_last_3d, `-contiguous` or `-compiled`
(torch.compile); ONNX Runtime a file that PyTorch has exported, in float32: its bfloat16 convolutions are a GPU's.
With a trained model the PSNR against the high-resolution scan is reported for every precision, in the whole
volume, its maximum as range. Writes benchmarks/results/infer_volume.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks import pages, side_by_side
from mdcsrn_tf.inference.memory import keep_freed_memory
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.papers.config import MdcsrnConfig
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.workers import available_cores

PRESET = get_preset("journal/b4u4k12")
REFERENCE = side_by_side.REFERENCE
ENGINES = (
    *(REFERENCE, f"{REFERENCE}-contiguous", f"{REFERENCE}-compiled", f"{REFERENCE}-system", "tensorflow-bfloat16"),
    *("openvino-bfloat16", "openvino-int8", "tensorflow-float32", "onnxruntime-float32"),
)
RESULTS = Path(__file__).parent / "results" / "infer_volume.json"
TILE, MARGIN = 70, 3


def main() -> None:
    """Time every engine, or be one contender (`--engine`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="320,320,256")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--keep", action="store_true", help="keep what the record has of other contenders")
    parser.add_argument("--model", help="a trained .keras file of the preset (default: bundled, else untrained)")
    parser.add_argument("--hr", help="a scan to degrade, tiled to the shape (default: a phantom)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--engine", help="be this contender: what the benchmark starts itself with")
    parser.add_argument("--folder", help="of the contenders' files")
    arguments = parser.parse_args()
    if arguments.engine:
        contend(arguments.engine, Path(arguments.folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(arguments, Path(folder))


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Prepare the volume and the model, let the engines take turns, and write the record."""
    shape = tuple(int(size) for size in arguments.shape.split(","))
    trained = prepare_model(arguments.model, folder / "model.keras")
    high_res, low_res = prepare_volumes(arguments.hr, shape, folder / "model.keras")
    np.save(folder / "low_res.npy", low_res)
    record = RunRecord.begin(
        {
            **{"preset": PRESET.name, "shape": shape, "tile": TILE, "margin": MARGIN, "bn": "batch"},
            "rounds": arguments.rounds,
        },
        data={"model": trained, "hr": Path(arguments.hr).name if arguments.hr else "phantom"},
    )
    contenders = [
        side_by_side.Contender(name, [sys.executable, __file__, f"--engine={name}", f"--folder={folder}"])
        for name in arguments.engines.split(",")
    ]
    print(f"{'x'.join(map(str, shape))}, median | to {REFERENCE} | peak")
    side_by_side.take_turns(contenders, arguments.rounds)
    reference = next((one for one in contenders if one.name == REFERENCE), contenders[0])
    rows = [row_of(contender, reference) for contender in contenders]
    for row in rows:
        output = folder / f"{row['contender']}.npy"
        if trained and output.exists():
            row["psnr_db"] = round(psnr(np.load(output), high_res), 4)
    for row in rows:
        print(f"{row['contender']:24s} {row['median_seconds']:9.3f} s {row['ratio']:7.2f} {row['peak_gib']:7.2f} GiB")
    print("PSNR (dB)", {row["contender"]: row["psnr_db"] for row in rows if "psnr_db" in row})
    kept = pages.read(RESULTS.name)["results"]["rows"] if arguments.keep else []
    record.results["rows"] = [row for row in kept if row["contender"] not in arguments.engines.split(",")] + rows
    record.write(arguments.output, folders_kept=False)


def row_of(contender: side_by_side.Contender, reference: side_by_side.Contender) -> dict[str, Any]:
    """What is recorded of an engine; ratios are to the reference's medians."""
    cpu = statistics.median(contender.cpu_seconds)
    return {
        "contender": contender.name,
        "median_seconds": round(contender.median, 4),
        "seconds": side_by_side.rounded(contender.seconds),
        "ratio": round(contender.median / reference.median, 3),
        "median_cpu_seconds": round(cpu, 4),
        "cpu_seconds": side_by_side.rounded(contender.cpu_seconds),
        "cpu_ratio": round(cpu / statistics.median(reference.cpu_seconds), 3),
        "peak_gib": round(contender.peak_gib, 2),
    }


def contend(engine: str, folder: Path) -> None:
    """Be one engine: settle on a single tile, then run the volume whenever asked."""
    low_res = np.load(folder / "low_res.npy")
    name, precision, *form = engine.split("-")
    if form != ["system"]:
        keep_freed_memory()
    if name == "torch":
        super_resolve = torch_engine(precision, *form)
    elif name == "onnxruntime":
        super_resolve = onnx_engine(folder)
    else:
        super_resolve = our_engine(folder, name, precision)

    def step() -> None:
        result = super_resolve(low_res)
        if name in ("tensorflow", "openvino"):
            np.save(folder / f"{engine}.npy", result)

    side_by_side.serve(step, warm_up=lambda: super_resolve(low_res[:64, :64, :64]))


def our_engine(folder: Path, engine: str, precision: str) -> Callable[[np.ndarray], np.ndarray]:
    """TensorFlow or OpenVINO, as `mdcsrn-infer` runs them."""
    from mdcsrn_tf.inference.settings import Settings
    from mdcsrn_tf.inference.volume import super_resolve_volume

    settings = Settings(tile=TILE, margin=MARGIN, bn="batch", precision=precision, engine=engine)
    return lambda volume: super_resolve_volume(folder / "model.keras", volume, settings)


def torch_engine(precision: str, form: str = "") -> Callable[[np.ndarray], np.ndarray]:
    """PyTorch and MONAI; the weights are untrained, which costs the same."""
    import torch

    from benchmarks.torch_networks import Mdcsrn

    assert isinstance(PRESET.network, MdcsrnConfig)
    torch.set_num_threads(available_cores())
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    layout = torch.contiguous_format if form == "contiguous" else torch.channels_last_3d
    network: Any = Mdcsrn(PRESET.network).to(dtype).to(memory_format=layout).train()
    if form == "compiled":
        network = torch.compile(network)
    return sliding(lambda tile: network(tile.to(dtype).contiguous(memory_format=layout)).float())


def onnx_engine(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """ONNX Runtime, float32, of PyTorch's export: batch normalisation by the tile's statistics is spelled out."""
    import onnxruntime
    import torch

    from benchmarks.torch_networks import Mdcsrn, by_own_statistics

    assert isinstance(PRESET.network, MdcsrnConfig)
    network = by_own_statistics(Mdcsrn(PRESET.network)).eval()
    path = folder / "network.onnx"
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the newer exporter needs one more package
        torch.onnx.export(network, (torch.zeros(1, 1, TILE, TILE, TILE),), str(path), dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return sliding(lambda tile: torch.from_numpy(session.run(None, {name: tile.numpy()})[0]))


def sliding(predict: Callable[[Any], Any]) -> Callable[[np.ndarray], np.ndarray]:
    """MONAI's sliding window with a function from a tile to a tile, over the normalised volume."""
    import torch
    from monai.inferers import sliding_window_inference

    def super_resolve(volume: np.ndarray) -> np.ndarray:
        normalised = (volume - volume.mean()) / volume.std()
        image = torch.from_numpy(normalised.astype(np.float32))[None, None]
        with torch.inference_mode():
            result = sliding_window_inference(image, (TILE,) * 3, 1, predict, overlap=2 * MARGIN / TILE)
        return result.numpy()[0, 0] * volume.std() + volume.mean()

    return super_resolve


def prepare_model(wanted: str | None, target: Path) -> bool:
    """Put the model where the contenders look; whether it is a trained one."""
    from mdcsrn_tf.weights import find_model, list_models

    if wanted or list_models():
        target.write_bytes(find_model(wanted).read_bytes())
        return True
    from mdcsrn_tf.models import build_generator
    from mdcsrn_tf.models.files import ModelCard, save_model

    card = ModelCard(PRESET.name, "untrained", "linear", ("LR", "AP"), (2, 2))
    save_model(target, build_generator(PRESET.network), card)
    return False


def prepare_volumes(hr: str | None, shape: tuple[int, ...], model: Path) -> tuple[np.ndarray, np.ndarray]:
    """High and low resolution, of that shape."""
    from data_prep.phantom import make_phantom
    from mdcsrn_tf.models.files import read_card
    from mdcsrn_tf.scans.kspace import degrade
    from mdcsrn_tf.scans.volumes import read_volume, to_ras

    if hr:
        scan = read_volume(hr)
        straight = to_ras(scan.data, scan.affine)[0]
        spare = [(0, max(0, size - have)) for size, have in zip(shape, straight.shape, strict=True)]
        high_res = np.pad(straight, spare, mode="symmetric")[tuple(slice(size) for size in shape)]
    else:
        high_res = make_phantom(shape, 0)
    method = read_card(model).interpolation
    return high_res, degrade(high_res.astype(np.float32), (2, 2), (0, 1), method).astype(np.float32)


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """10 log10(max^2 / MSE)."""
    error = np.mean(np.square(image.astype(np.float64) - reference))
    return float(10 * np.log10(float(reference.max()) ** 2 / error))


def section(record: dict[str, Any]) -> str:
    """A whole volume by each engine."""
    config = record["config"]
    shape = " x ".join(str(size) for size in config["shape"])
    rows, found = [], record["results"]["rows"]
    best = side_by_side.best_of_torch(found)[1]
    for row in found:
        numbers = [f"{row['ratio']:.2f}", f"{row['ratio'] / best:.2f}", f"{row['cpu_ratio']:.2f}"]
        numbers += [f"{row[key]:.1f}" for key in ("median_seconds", "median_cpu_seconds")]
        psnr = f"{row['psnr_db']:.3f}" if "psnr_db" in row else ""
        rows.append([row["contender"], *numbers, f"{row['peak_gib'] * 2**30 / 1e9:.2f}", psnr])
    lines = [
        f"## {config['preset']} over {shape} voxels in {config['tile']}^3 tiles",
        "",
        f"{pages.circumstances(record)} Medians of {config['rounds']} rounds in turns, each tile by its own "
        "statistics. "
        "PyTorch runs MONAI's sliding window over the same tiles in channels_last_3d. All have our allocator setting "
        "but `-system`. The first ratio is to PyTorch in bfloat16, timed in turns with each (its own row is of the "
        "last call), the second to its fastest form here, the third of CPU seconds, as other work ran beside some. "
        "ONNX Runtime has no bfloat16 convolution on a processor. PSNR (whole volume) is of the same "
        "network in each precision.",
        "",
    ]
    head = ["engine", "ratio", "to the best", "CPU ratio", "seconds", "CPU seconds", "peak GB", "PSNR (dB)"]
    return "\n".join([*lines, *pages.table(head, rows), ""])


if __name__ == "__main__":
    main()
