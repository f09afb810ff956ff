"""OpenVINO as an engine: a `.keras` file's network built without TensorFlow, or an exported folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mdcsrn_tf.chatter import as_if_not_installed, load_tensorflow_quietly
from mdcsrn_tf.command_line import in_own_process
from mdcsrn_tf.errors import UserError, first_line
from mdcsrn_tf.inference import room
from mdcsrn_tf.inference.eight_bits import in_eight_bits
from mdcsrn_tf.inference.engine import Engine, read_metadata
from mdcsrn_tf.inference.openvino_model import CHANNELS, channels_in_blocks, model_of
from mdcsrn_tf.inference.settings import INT8, ApplyTiles
from mdcsrn_tf.models.graph import Graph
from mdcsrn_tf.models.graph_of_file import load_graph
from mdcsrn_tf.models.sizes import seamless_margin, size_multiple
from mdcsrn_tf.workers import available_cores


class OpenVinoEngine(Engine):
    """Either kind of model, run by OpenVINO."""

    def __init__(self, path: Path, bn: str, precision: str):
        self._openvino = _openvino()
        self._precision = precision
        graph, card = (None, None) if path.is_dir() else load_graph(path)
        if graph is not None and card is not None:
            super().__init__(card, bn, seamless_margin(graph))
            self._take(path, graph)
        elif precision == INT8:
            raise UserError(_no_eight_bits(path))
        else:
            self._read(path, bn)
        self.overhead = room.OPENVINO_OVERHEAD

    def _take(self, path: Path, graph: Graph) -> None:
        """Build the model from a graph."""
        self.multiple, self.feature_channels = size_multiple(graph), channels_in_blocks(graph)
        eight_bits = in_eight_bits(graph) if self._precision == INT8 else None
        if eight_bits == {}:
            raise UserError(_no_eight_bits(path))
        self._model, self._channel_axis = model_of(graph, self.bn, eight_bits), CHANNELS

    def _read(self, path: Path, bn: str) -> None:
        """Read the model that was exported, or is now, because no graph knows the file's network."""
        with tempfile.TemporaryDirectory() as folder:
            saved = path if path.is_dir() else _export_tiles_only(path, bn, Path(folder))
            card, metadata = read_metadata(saved)
            super().__init__(card, bn, metadata["seamless_margin"])
            self.multiple = metadata["size_multiple"]
            try:
                # Not by convert_model, which reports every conversion where another program imported OpenVINO.
                self._model = self._openvino.Core().read_model(str(saved))
            except Exception as error:  # its readers raise what they like
                reason = first_line(error)
                raise UserError(f"{path} cannot be read by OpenVINO ({reason}); export it again.") from error
        self._channel_axis, self.feature_channels = 4, room.channels_in_blocks(self._model)

    def runs_on_processor(self) -> bool:
        """Always: the model is compiled for it below."""
        return True

    def _build(self, tile: tuple[int, ...], batch: int) -> ApplyTiles:
        shape = [batch, *tile]
        shape.insert(self._channel_axis, 1)
        self._model.reshape({self._model.inputs[0]: shape})
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if self._precision in ("bfloat16", INT8) else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": available_cores(),
        }
        request = self._openvino.compile_model(self._model, "CPU", options).create_infer_request()

        def apply(tiles: np.ndarray) -> np.ndarray:
            return request.infer({0: tiles.reshape(shape)})[0].reshape(tiles.shape)

        return apply


def _no_eight_bits(path: Path) -> str:
    if path.is_dir():
        return f"{path} is an export, in which --precision={INT8} cannot be; name the .keras file that was exported."
    return (
        f"{path} has no convolutions whose values its file bounds, so --precision={INT8} cannot be; "
        "take --precision=bfloat16."
    )


def _openvino() -> Any:
    try:
        with as_if_not_installed("openvino_telemetry"):  # by which it tells its makers of each start
            import openvino
    except ImportError as error:
        raise UserError("OpenVINO is not installed: pip install 'mdcsrn-tf[openvino]'.") from error
    return openvino


def _export_tiles_only(path: Path, bn: str, folder: Path) -> Path:
    load_tensorflow_quietly(own_process=in_own_process(), with_keras=False)
    from mdcsrn_tf.inference.export import export

    export(path, folder / "model", bn, whole_volumes=False)
    return folder / "model"
