"""OpenVINO as an engine: it converts either kind of model, and runs it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from mdcsrn_tf.chatter import as_if_not_installed
from mdcsrn_tf.errors import UserError, first_line
from mdcsrn_tf.inference import room
from mdcsrn_tf.inference.engine import Engine, read_metadata
from mdcsrn_tf.inference.settings import ApplyTiles
from mdcsrn_tf.workers import available_cores


class OpenVinoEngine(Engine):
    """Either kind of model, converted and run by OpenVINO."""

    def __init__(self, path: Path, bn: str, precision: str):
        try:
            with as_if_not_installed("openvino_telemetry"):  # by which it tells its makers of each start
                import openvino
        except ImportError as error:
            raise UserError("OpenVINO is not installed: pip install 'mdcsrn-tf[openvino]'.") from error
        self._openvino = openvino
        with tempfile.TemporaryDirectory() as folder:
            saved = path if path.is_dir() else _export_tiles_only(path, bn, Path(folder))
            card, metadata = read_metadata(saved)
            super().__init__(card, bn, metadata["seamless_margin"])
            self.multiple = metadata["size_multiple"]
            try:
                # Not by convert_model, which reports every conversion where another program imported OpenVINO.
                self._model = openvino.Core().read_model(str(saved))
            except Exception as error:  # its readers raise what they like
                reason = first_line(error)
                raise UserError(f"{path} cannot be read by OpenVINO ({reason}); export it again.") from error
        self.feature_channels, self.overhead = room.channels_in_blocks(self._model), room.OPENVINO_OVERHEAD
        self._precision = "bf16" if precision == "bfloat16" else "f32"

    def runs_on_processor(self) -> bool:
        """Always: the model is compiled for it below."""
        return True

    def _build(self, tile: tuple[int, ...], batch: int) -> ApplyTiles:
        self._model.reshape({self._model.inputs[0]: (batch, *tile, 1)})
        options = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": available_cores(),
        }
        request = self._openvino.compile_model(self._model, "CPU", options).create_infer_request()
        return lambda tiles: request.infer({0: tiles[..., np.newaxis]})[0][..., 0]


def _export_tiles_only(path: Path, bn: str, folder: Path) -> Path:
    from mdcsrn_tf.inference.export import export

    export(path, folder / "model", bn, whole_volumes=False)
    return folder / "model"
