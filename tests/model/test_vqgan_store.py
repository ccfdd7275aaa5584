"""A network read back from disk is the one that was written, bit for bit, or it is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from zeromiss.detectors.vqgan.store import load_vqgan, save_vqgan
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, write_json
from zeromiss.detector_params import VqganParams


@pytest.fixture
def stored(tmp_path: Path, tiny_params: VqganParams) -> Path:
    """A folder with a tiny network in it."""
    save_vqgan(tmp_path, Vqgan(tiny_params, seed=3))
    return tmp_path


def test_read_back_bit_for_bit(stored: Path, tiny_params: VqganParams):
    image_BCHW = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    original, read = Vqgan(tiny_params, seed=3), load_vqgan(stored)
    first, second = original.reconstruct(image_BCHW), read.reconstruct(image_BCHW)
    for name in ("image_hat_BCHW", "quantisation_B", "critic_B", "critic_hat_B"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert read.params == tiny_params
    assert not read.training


def test_missing_tensor_is_an_error(stored: Path):
    weights = load_file(stored / "model.safetensors")
    del weights["decoder.out.bias"]
    save_file(weights, stored / "model.safetensors")
    with pytest.raises(ZeromissError, match="no complete set of weights: decoder.out.bias is missing; give the whole file"):
        load_vqgan(stored)


def test_spare_and_misshapen_tensors_are_errors(stored: Path):
    weights = load_file(stored / "model.safetensors")
    save_file(weights | {"surplus": torch.zeros(1)}, stored / "model.safetensors")
    with pytest.raises(ZeromissError, match="the network has no tensor surplus"):
        load_vqgan(stored)
    save_file(weights | {"codebook.codes_KD": torch.zeros(3, 4)}, stored / "model.safetensors")
    with pytest.raises(ZeromissError, match=r"codebook.codes_KD has shape \(3, 4\), the network needs \(16, 4\)"):
        load_vqgan(stored)


def test_damaged_files_are_errors(stored: Path):
    config = read_json(stored / "config.json", schema_version=1)
    (stored / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ZeromissError, match="model.safetensors cannot be read .*: train the product anew"):
        load_vqgan(stored)
    write_json(stored / "config.json", config | {"params": {"codes": 1}}, schema_version=1)
    with pytest.raises(ZeromissError, match="config.json: params.codes: input should be greater than or equal to 2"):
        load_vqgan(stored)
    (stored / "config.json").unlink()
    with pytest.raises(ZeromissError, match="config.json is missing"):
        load_vqgan(stored)
