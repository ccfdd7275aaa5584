"""Parameters: the profile's values below a product's own, and every mistake named by its key."""

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.image_size import ImageSize
from zeromiss.params import load_product

TEXT = """\
schema_version: 1
profiles:
  quick: {{size: 128, selection: {{draws: 7, folds: 3}}}}
products:
  board: {{profile: quick, size: {size}, source: {{kind: pcba}}, selection: {{folds: {folds}}}{more}}}
"""


def write(tmp_path, *, size="null", folds="4", more=""):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.format(size=size, folds=folds, more=more))
    return path


def test_a_products_values_lie_over_its_profiles_and_those_over_the_defaults(tmp_path):
    product = load_product(write(tmp_path), "board")
    assert (product.selection.folds, product.selection.draws, product.selection.correlation) == (4, 7, 0.95)
    assert product.size == ImageSize(128, 128)
    assert load_product(write(tmp_path, size="[96, 64]"), "board").size == ImageSize(96, 64)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"more": ", sellection: {}"}, r"products\.board\.sellection: extra inputs are not permitted"),
        ({"more": ", threshold: {rul: zfn}"}, r"products\.board\.threshold\.rul: extra inputs"),
        ({"folds": "1"}, r"products\.board\.selection\.folds: input should be greater than or equal to 2"),
        ({"more": ", seed: -1"}, r"products\.board\.seed: input should be greater than or equal to 0"),
        ({"size": "[96, 16]"}, r"products\.board\.size: value error, every side should be greater than or equal to 32, not 16"),
        ({"size": "[96, 64, 3]"}, r"products\.board\.size: value error, a size is a whole number of pixels or a pair \[width, height\]"),
        ({"folds": "[}"}, "cannot be read"),
    ],
)
def test_a_mistake_is_named_by_its_key(tmp_path, change, sentence):
    with pytest.raises(ZeromissError, match=sentence):
        load_product(write(tmp_path, **change), "board")


def test_an_unknown_product_lists_those_that_exist(tmp_path):
    with pytest.raises(ZeromissError, match="unknown product 'bord': .* has board; add one with zeromiss product add"):
        load_product(write(tmp_path), "bord")


def test_an_unknown_profile_is_named(tmp_path):
    path = write(tmp_path)
    path.write_text(path.read_text().replace("profile: quick, size", "profile: slow, size"))
    with pytest.raises(ZeromissError, match="no profile is called 'slow'"):
        load_product(path, "board")


def test_parameters_are_frozen(tmp_path):
    product = load_product(write(tmp_path), "board")
    with pytest.raises(ValueError, match="frozen"):
        product.seed = 5


def test_both_products_of_the_repository_are_valid_in_both_profiles(repository):
    text = (repository / "params.yaml").read_text()
    assert load_product(repository / "params.yaml", "solar_cell").source.kind == "elpv"
    assert load_product(repository / "params.yaml", "pcba").source.kind == "pcba"
    assert "paper:" in text


def test_the_paper_profile_holds_the_papers_figures(repository, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((repository / "params.yaml").read_text().replace("profile: quick", "profile: paper"))
    product = load_product(path, "solar_cell")
    network, metrics = product.vqgan, product.metrics
    assert (product.size, network.channels[0], network.codes, network.code_dim) == (ImageSize(1024, 1024), 128, 2048, 512)
    assert 2 ** (len(network.channels) - 1) == 16
    assert (metrics.pixels, metrics.scales, metrics.alpha, metrics.patches) == (100, 4, 4, 250)
    assert (product.manifest.mask, product.selection.draws, product.selection.folds) == (30, 500, 5)
