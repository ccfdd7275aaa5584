"""The normal-variation mask by hand."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from zeromiss.errors import ZeromissError
from zeromiss.metrics.mask import load_mask_file, normal_variation_mask, save_mask


def test_mean_is_scaled_to_one_and_flipped() -> None:
    differences = [torch.tensor([[0.0, 0.2], [0.4, 0.1]]), torch.tensor([[0.0, 0.2], [0.4, 0.3]])]
    # mean 0, 0.2, 0.4, 0.2; scaled 0, 0.5, 1, 0.5; flipped 1, 0.5, 0, 0.5
    assert normal_variation_mask(differences).flatten().tolist() == pytest.approx([1.0, 0.5, 0.0, 0.5])


def test_the_smallest_variation_becomes_one_even_when_it_is_not_nothing() -> None:
    mask = normal_variation_mask([torch.tensor([[0.3, 0.5, 0.4]])])
    assert mask.flatten().tolist() == pytest.approx([1.0, 0.0, 0.5])


def test_the_same_variation_everywhere_weighs_nothing_down() -> None:
    assert normal_variation_mask([torch.full((2, 3), 0.25)] * 3).tolist() == [[1.0] * 3] * 2


def test_many_differences_are_taken_one_at_a_time() -> None:
    mask = normal_variation_mask(torch.tensor([[0.0, float(i)]]) for i in range(30))
    assert mask.tolist() == [[1.0, 0.0]] and mask.dtype == torch.float32


def test_no_images_no_mask() -> None:
    with pytest.raises(ZeromissError, match="set manifest.mask above 0"):
        normal_variation_mask([])


def test_a_mask_survives_the_disk_bit_for_bit(tmp_path: Path) -> None:
    mask = torch.rand(16, 16)
    save_mask(tmp_path / "mask.safetensors", mask)
    assert torch.equal(load_mask_file(tmp_path / "mask.safetensors"), mask)


def test_missing_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.safetensors"
    with pytest.raises(ZeromissError, match="is missing: run the metrics stage"):
        load_mask_file(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ZeromissError, match="holds no mask"):
        load_mask_file(path)
    save_file({"other": torch.zeros(1)}, path)
    with pytest.raises(ZeromissError, match="holds no mask"):
        load_mask_file(path)
