"""An image against its own reference: numbers worked out by hand, its cache, its motion, what is stored and refused."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from zeromiss.backbones.local_features import cell_vectors
from zeromiss.detector_params import ReferenceParams
from zeromiss.detectors.base import Context
from zeromiss.detectors.reference.reference import Reference
from zeromiss.detectors.reference.store import load_reference, save_reference
from zeromiss.detectors.reference.train import train
from zeromiss.errors import ZeromissError

SIDE = 64
PARAMS = ReferenceParams(strides=(8, 16))
STILL = PARAMS.model_copy(update={"motion": "none"})


def reference(design: str) -> Tensor:
    """Return the picture of one of two designs: blocks of grey at places of its own, (3, side, side)."""
    random = np.random.default_rng(ord(design))
    grey = cv2.resize(random.uniform(0.2, 0.8, (8, 8)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    return torch.from_numpy(cv2.GaussianBlur(grey, (0, 0), 1.0)).repeat(3, 1, 1)


def image_of(design: str, seed: int) -> Tensor:
    """Return a photograph of a part: its reference, darker and with grain."""
    grain = np.random.default_rng(seed).normal(0, 0.02, (3, SIDE, SIDE)).astype(np.float32)
    return (0.8 * reference(design) + 0.05 + torch.from_numpy(grain)).clamp(0, 1)


class Contexts:
    """The contexts of images that have their designs in turn, or no design."""

    def __init__(self, designs: str, *, named: bool = True) -> None:
        self._letters = designs
        self.designs = list(designs) if named else [""] * len(designs)

    def __getitem__(self, index: int) -> Context:
        return Context(reference_CHW=reference(self._letters[index]), reference_sha256=self._letters[index], design=self.designs[index])


def fitted(params: ReferenceParams, designs: str, *, named: bool = True, fixed: bool = True) -> Reference:
    """Return the detector fitted on images of these designs."""
    images = torch.stack([(image_of(design, seed) * 255).round().byte() for seed, design in enumerate(designs)])
    return train(params, images, size=SIDE, seed=0, contexts=Contexts(designs, named=named), fixed=fixed).detector


@pytest.fixture(scope="module")
def one() -> Reference:
    """Return one fitted on 20 images of each of two designs, unmoved."""
    return fitted(STILL, "ab" * 20)


def context(design: str) -> Context:
    """Return what comes with an image of a design."""
    return Context(reference_CHW=reference(design), reference_sha256=design, design=design)


def test_maps_score_and_residual_are_worked_out_by_hand(one: Reference) -> None:
    """With numpy: whitened differences of all 40 images, a Gaussian of the 20 of the design at one place, the ten worst cells."""

    def delta(image_CHW: Tensor, design: str) -> np.ndarray:
        maps = [one._looks[0](picture[None]) for picture in (image_CHW, reference(design))]
        both = [cell_vectors([found[level] for level in one.levels]) for found in maps]
        return (both[0] - both[1]).double().numpy()

    with torch.inference_mode():
        taught = np.stack([delta((image_of(d, s) * 255).round().byte().float() / 255, d) for s, d in enumerate("ab" * 20)])
        image = image_of("b", 99)
        image[:, 16:24, 40:48] = 1.0
        mine = delta(image, "b")
    flat = taught.reshape(-1, taught.shape[-1])
    value, vector = np.linalg.eigh(np.cov(flat, rowvar=False))
    keep = value > 1e-4 * value[-1]
    matrix = (vector[:, keep] / np.sqrt(value[keep] + 1e-3 * value[-1]))[:, ::-1]
    white = (mine - flat.mean(0)) @ matrix
    found = one.detect(image[None], context=context("b"))
    np.testing.assert_allclose(found.maps["whitened"][0], np.sqrt((white**2).sum(-1)), rtol=2e-3)
    row, column, dims = 2, 5, one.sizes.place_dims
    normal = (taught[1::2, row, column] - flat.mean(0)) @ matrix
    away = white[row, column] - normal.mean(0)
    covariance = np.cov(normal[:, :dims], rowvar=False, bias=True)
    shrunk = 0.9 * covariance + (0.1 * np.trace(covariance) / dims + 1e-6) * np.eye(dims)
    assert float(found.maps["gaussian"][0, row, column]) == pytest.approx(np.sqrt(away[:dims] @ np.linalg.solve(shrunk, away[:dims])), rel=5e-3)
    worst = np.sort(found.maps["gaussian"][0].flatten().numpy())[::-1][:10]
    assert float(found.score_B) == pytest.approx(worst.mean(), rel=1e-5) and list(found.scores) == ["whitened"]
    assert divmod(int(found.maps["gaussian"][0].argmax()), 8) in [(2, 5), (2, 4), (1, 5), (3, 5), (2, 6)]
    assert found.residual_BK.shape == (1, int(keep.sum()))


def test_an_image_of_the_other_design_is_abnormal(one: Reference) -> None:
    right, wrong = (float(one.detect(image_of(design, 50)[None], context=context("a")).score_B) for design in "ab")
    assert wrong > 3 * right


def test_a_reference_goes_through_the_backbone_once(one: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    look = one._looks[0]
    monkeypatch.setattr(one, "_looks", (lambda image: passes.append(len(image)) or look(image),))
    one._known.clear()
    shared = look(image_of("a", 1)[None])
    first = one.detect(image_of("a", 1)[None], shared, context("a"))
    again = one.detect(image_of("a", 1)[None], context=context("a"))
    assert len(passes) == 2 and torch.equal(first.map_BHW, again.map_BHW)  # the reference, and the image whose maps were not shared
    for number in range(20):
        one._of(Context(reference_CHW=reference("a"), reference_sha256=str(number)))
    assert len(one._known) == 16


def test_a_moved_part_is_laid_over_its_reference_and_its_map_moved_back() -> None:
    detector = fitted(PARAMS.model_copy(update={"max_shift": 0.1}), "a" * 20, named=False)
    image = image_of("a", 60)
    image[:, 32:40, 32:40] = 0.95
    matrix = np.array([[1, 0, 3.0], [0, 1, -2.0]])
    picture = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    moved = torch.from_numpy(cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)).permute(2, 0, 1).contiguous()
    known = Context(reference_CHW=reference("a"), reference_sha256="a")
    _, motion = detector.difference(moved, known)
    np.testing.assert_allclose(motion, matrix, atol=0.3)
    still, found = (detector.detect(one[None], context=known) for one in (image, moved))
    rows = [np.unravel_index(int(one.map_BHW[0].argmax()), (SIDE, SIDE)) for one in (still, found)]
    assert abs(rows[1][0] - rows[0][0] + 2) <= 3 and abs(rows[1][1] - rows[0][1] - 3) <= 3
    assert int(still.maps["gaussian"][0].argmax()) == int(found.maps["gaussian"][0].argmax())


def test_few_images_of_a_design_share_the_gaussians_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    detector = fitted(STILL, "a" * 20 + "b" * 4)
    assert detector.placed == ("", "a")
    assert "designs with fewer than 20 normal images share one of all images: b" in capsys.readouterr().out
    loose = fitted(STILL, "a" * 20, named=False, fixed=False)
    assert list(loose.detect(image_of("a", 3)[None], context=context("a")).maps) == ["whitened"] and loose.score_names == ()


def test_what_is_stored_gives_the_same_bits(one: Reference, tmp_path) -> None:
    save_reference(tmp_path, one)
    again = load_reference(tmp_path)
    mine, other = (each.detect(image_of("b", 5)[None], context=context("b")) for each in (one, again))
    assert again.placed == ("a", "b") and torch.equal(mine.map_BHW, other.map_BHW) and torch.equal(mine.residual_BK, other.residual_BK)
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text().replace('"rows": 8', '"rows": -8'))
    with pytest.raises(ZeromissError, match="sizes must name .* as whole numbers"):
        load_reference(tmp_path)


def test_refusals(one: Reference) -> None:
    image = image_of("a", 1)[None]
    with pytest.raises(ZeromissError, match="this image has no reference to be compared with"):
        one.detect(image)
    with pytest.raises(ZeromissError, match="read both at the product's size"):
        one.detect(image, context=Context(reference_CHW=torch.zeros(3, 32, 32), reference_sha256="z", design="a"))
    with pytest.raises(ZeromissError, match="the design 'c' is not among those"):
        one.detect(image, context=Context(reference_CHW=reference("a"), reference_sha256="a", design="c"))
    with pytest.raises(ZeromissError, match="two normal images at least and was given 1"):
        fitted(STILL, "a")
    strict = fitted(PARAMS.model_copy(update={"min_correlation": 0.9}), "aa", named=False)
    with pytest.raises(ZeromissError, match="cannot be laid over its reference"):
        strict.detect(image, context=Context(reference_CHW=reference("b"), reference_sha256="b"))
