"""What runs a graph: onnxruntime, or OpenVINO where a folder was exported for it. Both on the CPU, in fp32."""

from pathlib import Path
from typing import Protocol

import numpy as np

from zeromiss.errors import ZeromissError

ONNXRUNTIME, OPENVINO = "onnxruntime", "openvino"
ENGINES = (ONNXRUNTIME, OPENVINO)


class Session(Protocol):
    """An open graph."""

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return every output by name."""


def open_graph(path: Path, *, engine: str, threads: int) -> Session:
    """Open a graph for `threads` threads, 0: as the engine thinks fit; raises ZeromissError where the engine is not installed."""
    try:
        return {ONNXRUNTIME: _Onnxruntime, OPENVINO: _OpenVino}[engine](path, threads)
    except ImportError:
        raise ZeromissError(f"the model was exported for {engine}, which is not installed: pip install {engine}") from None


class _Onnxruntime:
    """A graph run by onnxruntime."""

    def __init__(self, path: Path, threads: int) -> None:
        """Open the graph at `path`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads sleep: the line's computer has other work
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return every output by name."""
        return dict(zip(self._names, self._session.run(self._names, inputs), strict=True))


class _OpenVino:
    """A graph run by OpenVINO; told to calculate in fp32, since it takes bf16 where the processor has it."""

    def __init__(self, path: Path, threads: int) -> None:
        """Open the graph at `path`."""
        import openvino

        told = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"} | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
        self._model = openvino.Core().compile_model(str(path), "CPU", told)
        self._names = [output.get_any_name() for output in self._model.outputs]

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return every output by name."""
        found = self._model(inputs)
        return {name: np.array(found[name]) for name in self._names}
