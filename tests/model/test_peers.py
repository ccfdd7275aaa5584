"""anomalib is imported late and speaks in clear sentences; its models get weights that lie here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.peers_parts import drawn_weights, unseen
from zeromiss.backbones.efficientnet_lite0 import load as load_lite0
from zeromiss.backbones.efficientnet_lite0 import package_file
from zeromiss.detector_params import PatchcoreParams
from zeromiss.detectors.peers.features import EMBEDDED, load_features, normalisation
from zeromiss.detectors.peers.imports import anomalib, clearly, seeded
from zeromiss.detectors.store import load_fitted
from zeromiss.errors import ZeromissError


def extractor(backbone, layers=(2, 3)):
    """anomalib's feature extractor without weights."""
    return anomalib("models.components").TimmFeatureExtractor(backbone, layers=list(layers), pre_trained=False)


def test_without_anomalib_the_package_to_install_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "anomalib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "anomalib", None)
    with pytest.raises(ZeromissError, match=r"pip install 'zeromiss\[peers\]'"):
        anomalib("models.components")


def test_anomalib_is_imported_when_a_detector_is_built_not_before_and_silently():
    names = ("catalogue", "padim.train", "padim.store", "patchcore.train", "efficientad.train", "ganomaly.train")
    code = (
        f"import sys, zeromiss.params; {'; '.join(f'import zeromiss.detectors.{name}' for name in names)}; print('anomalib' in sys.modules)\n"
        "from zeromiss.detectors.peers.imports import anomalib; anomalib('models.image.padim.torch_model')"
    )
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True, timeout=240)
    assert (done.stdout, [line for line in done.stderr.splitlines() if "anomalib" in line or "timm" in line]) == ("False\n", [])


@pytest.mark.parametrize("error", [ValueError("k must be\n positive"), RuntimeError("k must be positive"), AssertionError("k must be positive")])
def test_what_anomalib_raises_becomes_one_sentence(error):
    with pytest.raises(ZeromissError, match=r"^fitting padim failed \(k must be positive\): lower it$"), clearly("fitting padim", "lower it"):
        raise error


def test_our_own_sentences_and_interrupts_pass():
    for error in (ZeromissError("as it is"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, clearly("fitting", "lower it"):
            raise error
        assert caught.value is error


def test_draws_inside_are_the_seeds_and_leave_no_trace():
    before = torch.random.get_rng_state()
    drawn = []
    for seed in (3, 3, 4):
        with seeded(seed):
            drawn.append(torch.rand(5))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_embedded_backbone_gives_the_features_of_our_own():
    network, image_BCHW = extractor(EMBEDDED), unseen()
    load_features(network.feature_extractor, EMBEDDED, None)
    mean_C11, std_C11 = normalisation(EMBEDDED)
    with torch.no_grad():
        found, own = list(network((image_BCHW - mean_C11) / std_C11).values()), load_lite0().eval()(image_BCHW)
    for one_BCHW, other_BCHW in zip(found, own[2:4], strict=True):
        torch.testing.assert_close(one_BCHW, other_BCHW, atol=1e-4, rtol=1e-4)


def test_the_embedded_backbone_takes_a_file_too():
    packed, given = extractor(EMBEDDED), extractor(EMBEDDED)
    load_features(packed.feature_extractor, EMBEDDED, None)
    load_features(given.feature_extractor, EMBEDDED, package_file())
    for key, value in packed.state_dict().items():
        assert torch.equal(value, given.state_dict()[key])


def test_another_backbone_takes_its_weights_from_a_file_without_counters(tmp_path):
    file = drawn_weights(tmp_path / "resnet18.safetensors", "resnet18", (1, 2))
    classifier = {"fc.weight": torch.zeros(2, 512), "layer4.0.conv1.weight": torch.zeros(1)}  # left out
    save_file(load_file(file) | classifier, file)
    network = extractor("resnet18", (1, 2))
    load_features(network.feature_extractor, "resnet18", file)
    for key, value in load_file(file).items():
        assert key in classifier or torch.equal(network.feature_extractor.state_dict()[key], value)
    assert not any(weight.requires_grad for weight in network.parameters())


def test_weights_that_do_not_fit_are_refused(tmp_path):
    file = drawn_weights(tmp_path / "resnet18.safetensors", "resnet18", (1, 2))
    network = extractor("resnet18", (1, 2)).feature_extractor
    weights = load_file(file)
    del weights["conv1.weight"]
    save_file(weights, file)
    with pytest.raises(ZeromissError, match="conv1.weight is missing"):
        load_features(network, "resnet18", file)
    with pytest.raises(ZeromissError, match="does not exist"):
        load_features(network, "resnet18", str(tmp_path / "none.pth"))
    with pytest.raises(ZeromissError, match=f"give their file as backbone_path, or choose {EMBEDDED}"):
        load_features(network, "resnet18", None)


def test_images_are_normalised_as_the_backbone_was_taught():
    assert normalisation("resnet18")[0].flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert normalisation(EMBEDDED)[1].flatten().tolist() == [0.5, 0.5, 0.5]
    with pytest.raises(ZeromissError, match="timm knows no backbone 'resnet1'"):
        normalisation("resnet1")


@pytest.mark.parametrize("value", [None, 0, "64", True])
def test_a_fact_that_is_missing_or_wrong_is_named(tmp_path: Path, value: object):
    config = {"schema_version": 1, "detector": "patchcore", "params": PatchcoreParams().model_dump(mode="json"), "size": 64, "kept": value}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ZeromissError, match="kept is .* not a whole number above 0"):
        load_fitted(tmp_path, PatchcoreParams, torch.nn.Linear, facts=("size", "kept"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"size": value, "kept": 5}), encoding="utf-8")
    with pytest.raises(ZeromissError, match="config.json: a size (is|has) .*: train the product anew"):
        load_fitted(tmp_path, PatchcoreParams, torch.nn.Linear, facts=("size", "kept"))
