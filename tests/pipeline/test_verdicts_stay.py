"""A bundle made before gives the same numbers after: no faster way may change a verdict.

`verdicts_before.json` holds what the code gave on two drawn images before it was made faster; networks and images
are written down as formulas, so that the test needs no stored weights. `python tests/pipeline/test_verdicts_stay.py`
writes the file anew: only where a change of values is wanted, and said in the release notes.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.store import CONFIG, MODEL
from zeromiss.detectors.vqgan.store import load_vqgan
from zeromiss.metrics.measure import Measurer
from zeromiss.stage_params import MetricsParams

BEFORE = Path(__file__).with_name("verdicts_before.json")
SIZE = 128
TOLERANCE = 1e-4  # relative: convolutions of another processor differ by some 1e-6; here the last changes left no bit different
WEIGHTS = {  # shapes as the store wrote them then; values by formula
    "channels": [8, 16],
    "blocks": 1,
    "codes": 16,
    "code_dim": 8,
    "critic_channels": 8,
}


def stored_vqgan(folder, shapes):
    """Write a VQGAN as the store wrote it then, its weights by formula from their names; return it as loaded now."""
    tensors = {name: formula_tensor(name, shape, kind) for name, (shape, kind) in shapes.items()}
    save_file(tensors, folder / MODEL)
    config = {"schema_version": 1, "detector": "vqgan", "params": WEIGHTS}
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return load_vqgan(folder)


def formula_tensor(name, shape, kind):
    """Values that depend on the tensor's name alone, small enough that a network of them stays finite."""
    if kind != "float32":
        return torch.zeros(shape, dtype=getattr(torch, kind))
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    fan_in = max(int(np.prod(shape[1:])), 1)
    scale = 1.0 if "codebook" in name else fan_in**-0.5
    return torch.from_numpy((scale * values).astype(np.float32))


def drawn_image(number):
    """A grey gradient with stripes, a bright blob and fine grain, float32 (3, SIZE, SIZE) in [0, 1]."""
    row, column = np.mgrid[:SIZE, :SIZE] / SIZE
    grain = np.random.RandomState(number).uniform(-0.03, 0.03, (SIZE, SIZE))
    blob = 0.4 * np.exp(-((row - 0.3 - 0.2 * number) ** 2 + (column - 0.6) ** 2) / 0.004)
    grey = 0.4 + 0.2 * row + 0.1 * np.sin(40 * column) + blob + grain
    return torch.from_numpy(np.stack([np.clip(grey * tint, 0, 1) for tint in (1.0, 0.95, 0.9)]).astype(np.float32))


def measurements(folder, shapes, mode):
    """Feature values of the drawn images by column name, one dictionary an image."""
    row, column = np.mgrid[:SIZE, :SIZE] / SIZE
    mask_HW = torch.from_numpy((1 - 0.5 * row * column).astype(np.float32))
    params = MetricsParams(mode=mode, pixels=20 if mode == "crops" else 100, patches=40 if mode == "crops" else 250)
    measurer = Measurer(
        detector=stored_vqgan(folder, shapes), backbone=load_backbone("efficientnet_lite0"), params=params, mask_HW=mask_HW
    )
    return [measurer.measure(drawn_image(number)).features for number in range(2 if mode == "dense" else 1)]


@pytest.mark.parametrize("mode", ["dense", "crops"])
def test_features_stay(mode, tmp_path):
    before = json.loads(BEFORE.read_text(encoding="utf-8"))
    now = measurements(tmp_path, before["shapes"], mode)
    for was, is_now in zip(before[mode], now, strict=True):
        assert list(is_now) == list(was)
        np.testing.assert_allclose(list(is_now.values()), list(was.values()), rtol=TOLERANCE, atol=1e-9)


if __name__ == "__main__":
    import tempfile

    from zeromiss.detectors.vqgan.vqgan import Vqgan
    from zeromiss.detector_params import VqganParams

    state = Vqgan(VqganParams.model_validate(WEIGHTS), seed=0).state_dict()
    written = {"shapes": {name: [list(t.shape), str(t.dtype).removeprefix("torch.")] for name, t in sorted(state.items())}}
    for kind in ("dense", "crops"):
        with tempfile.TemporaryDirectory() as scratch:
            written[kind] = measurements(Path(scratch), written["shapes"], kind)
    BEFORE.write_text(json.dumps(written) + "\n", encoding="utf-8")
