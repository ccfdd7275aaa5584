"""`zeromiss product add`: checked before a line is written, comments kept."""

import pytest

from zeromiss.cli import main
from zeromiss.image_size import ImageSize
from zeromiss.params import load_product

PARAMS = """\
# keep this comment
schema_version: 1
profiles:
  quick: {size: 128, vqgan: {crop: null}}
products:
  board: {profile: quick, source: {kind: pcba}}
"""


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(*arguments):
    return main(["product", "add", *arguments])


def test_adding_a_product_writes_its_lines_and_keeps_the_rest(workspace):
    arguments = ["--source", "mvtec", "--path", "photos", "--size", "96x64", "--split", "official"]
    assert add("bolt", *arguments, "--set", "selection.draws=20", "--set", "metrics.fixed_position=false") == 0
    product = load_product(workspace / "params.yaml", "bolt")
    assert (product.size, product.selection.draws, product.metrics.fixed_position) == (ImageSize(96, 64), 20, False)
    assert product.manifest.split == "official"
    assert product.source.path == str(workspace / "photos")
    text = (workspace / "params.yaml").read_text()
    assert "# keep this comment" in text and "{size: 128, vqgan: {crop: null}}" in text
    assert load_product(workspace / "params.yaml", "board").size == ImageSize(128, 128)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["board", "--source", "pcba"], "product 'board' is in"),
        (["bolt", "--source", "mvtec"], "--source mvtec needs --path: the folder to read"),
        (["bolt", "--source", "csv", "--path", "none.csv"], "does not exist"),
        (["bolt", "--source", "elpv", "--path", "photos"], "brings its own images: leave out --path"),
        (["bolt", "--source", "pcba", "--set", "selection.drows=1"], "products.bolt.selection.drows: extra inputs"),
        (["bolt", "--source", "pcba", "--set", "draws"], "write KEY=VALUE"),
        (["bolt", "--source", "pcba", "--set", "size.x=1"], "'size' holds a value"),
        (["Bolt!", "--source", "pcba"], "products.Bolt!.name: string should match pattern"),
        (["bolt", "--source", "pcba", "--profile", "slow"], "no profile is called 'slow'"),
    ],
)
def test_a_mistake_is_one_sentence_exit_code_2_and_no_change(workspace, capsys, arguments, sentence):
    assert add(*arguments) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert (workspace / "params.yaml").read_text() == PARAMS


def test_several_detectors_keep_the_best_columns_and_a_choice_of_ones_own_stays(workspace):
    file = workspace / "params.yaml"
    assert main(["detectors", "board", "--use", "vqgan"]) == 0
    assert load_product(file, "board").selection.most is None
    assert main(["detectors", "board", "--use", "vqgan,simplenet"]) == 0
    assert load_product(file, "board").selection.most == 150
    file.write_text(file.read_text().replace("most: 150", "most: 20"))
    assert main(["detectors", "board", "--use", "vqgan,simplenet,cpcae"]) == 0
    assert load_product(file, "board").selection.most == 20
    assert add("bolt", "--source", "pcba", "--detectors", "vqgan,cpcae", "--set", "selection.draws=3") == 0
    assert (load_product(file, "bolt").selection.most, load_product(file, "bolt").selection.draws) == (150, 3)
