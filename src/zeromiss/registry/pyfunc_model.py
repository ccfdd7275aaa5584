"""The registered model: MLflow runs this file ("models from code"), nothing of it is pickled.

It judges through `Inspector`, the one inspection path, and adds only the table around it.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from zeromiss.errors import ZeromissError
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.verdict import ERROR

_META = "registered_model_meta"  # what MLflow writes beside a model that is loaded from the registry


class InspectionModel(PythonModel):
    """Judges images given by path or as the bytes of an encoded image file."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle that lies among the model's artifacts."""
        bundle = Path(context.artifacts["bundle"])
        name, version = _registered_as(bundle)
        self._inspector = Inspector.load(bundle, model_name=name, model_version=version)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return a verdict a row: path, verdict, score, probability (may be null), threshold, patches (JSON), error.

        `model_input` has the columns `path` (string) and `image` (bytes of an image file), either may be
        missing or null; where both are given the bytes are judged and the path names them. A row that
        cannot be judged has the verdict `error` and says why; it is never normal.
        """
        rows = [self._judge(row) for row in model_input.to_dict("records")]
        return pd.DataFrame(rows, columns=["path", "verdict", "score", "probability", "threshold", "patches", "error"])

    def _judge(self, row: dict[str, Any]) -> dict[str, Any]:
        """Judge one row."""
        path, image = _given(row.get("path")), _given(row.get("image"))
        try:
            verdict = self._of_bytes(image) if image is not None else self._of_path(path)
        except ZeromissError as error:
            threshold = self._inspector.threshold
            empty = {"score": None, "probability": None, "threshold": threshold, "patches": "[]"}
            return {"path": path or "", "verdict": ERROR, **empty, "error": str(error)}
        found = verdict.to_json()
        return {
            "path": path or "",
            "verdict": found["verdict"],
            "score": found["score"],
            "probability": found["probability"],
            "threshold": found["threshold"],
            "patches": json.dumps(found["patches"]),
            "error": "",
        }

    def _of_path(self, path: str | None) -> Any:
        """Judge an image file."""
        if not path:
            raise ZeromissError("a row names neither path nor image: give the path of an image or its bytes")
        return self._inspector.inspect(Path(path))

    def _of_bytes(self, image: bytes) -> Any:
        """Judge an encoded image: as a file, so that bytes and files are read in one way."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "image"
            file.write_bytes(image)
            return self._inspector.inspect(file)


def _given(value: Any) -> Any:
    """Return None for any of a table's ways to say that nothing is there."""
    return None if value is None or (not isinstance(value, str | bytes) and pd.isna(value)) else value


def _registered_as(bundle: Path) -> tuple[str | None, str | None]:
    """Return name and version of the registered model a bundle was loaded as, None where it was not."""
    for folder in bundle.parents[:3]:
        if (folder / _META).is_file():
            lines = (folder / _META).read_text(encoding="utf-8").splitlines()
            meta = dict(line.split(": ", 1) for line in lines if ": " in line)
            return meta.get("model_name"), meta.get("model_version", "").strip("'\"")
    return None, None


set_model(InspectionModel())
