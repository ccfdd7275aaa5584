"""Which detectors a product uses: said once in params.yaml, followed by the file that DVC's loops read."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from zeromiss.cli import main
from zeromiss.detector_params import DETECTORS
from zeromiss.detectors.catalogue import CATALOGUE
from zeromiss.detectors.listing import MEASURED, SCHEMA_VERSION
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, write_json
from zeromiss.fits import follow_params, refuse_other_lists
from zeromiss.params import load_product
from zeromiss.workspace import Workspace

SECTIONS = "manifest: {}, align: {}, metrics: {}, selection: {}, threshold: {}, promotion: {}, inspection: {}, compare: {}"
PARAMS = f"""\
# keep this comment
schema_version: 1
profiles:
  quick: {{size: 64, vqgan: {{}}, padim: {{}}, simplenet: {{}}, {SECTIONS}}}
products:
  board: {{profile: quick, detectors: [vqgan], source: {{kind: pcba}}, vqgan: {{}}, {SECTIONS}}}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return a workspace whose pipeline loops over detectors."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text("vars: [data/detectors.yaml]\nstages: {vqgan: {foreach: '${fits.vqgan}'}}\n")
    monkeypatch.chdir(tmp_path)
    return Workspace(root=tmp_path)


def fits(workspace: Workspace) -> dict:
    """Return what DVC's loops read."""
    return YAML(typ="safe").load(workspace.fits_file.read_text())["fits"]


def test_the_lists_are_turned_round(workspace: Workspace) -> None:
    assert follow_params(workspace) is True
    assert fits(workspace) == {name: {"board": {"profile": "quick"}} if name == "vqgan" else {} for name in DETECTORS}
    assert follow_params(workspace) is False


def test_choosing_detectors_adds_their_sections_and_keeps_the_rest(workspace: Workspace) -> None:
    assert main(["detectors", "board", "--use", "padim,vqgan"]) == 0
    product = load_product(workspace.params_file, "board")
    assert product.detectors == ("padim", "vqgan")
    text = workspace.params_file.read_text()
    assert "# keep this comment" in text and "detectors: [padim, vqgan]" in text and "padim: {}" in text
    assert [name for name, products in fits(workspace).items() if products] == ["vqgan", "padim"]


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ("padim,padim", "detectors lists a name twice: padim, padim"),
        ("padam", "products.board.detectors.0: input should be 'vqgan'"),
        ("", "products.board.detectors.0: input should be 'vqgan'"),
    ],
)
def test_a_mistake_is_one_sentence_and_no_change(workspace: Workspace, capsys: pytest.CaptureFixture[str], chosen: str, sentence: str) -> None:
    assert main(["detectors", "board", "--use", chosen]) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.count("\n") == 1
    assert workspace.params_file.read_text() == PARAMS


def test_a_list_edited_by_hand_is_noticed_by_a_stage(workspace: Workspace) -> None:
    follow_params(workspace)
    refuse_other_lists(workspace)
    workspace.params_file.write_text(PARAMS.replace("[vqgan]", "[vqgan, padim]").replace("vqgan: {}, manifest", "vqgan: {}, padim: {}, manifest"))
    with pytest.raises(ZeromissError, match="did not follow the detectors of params.yaml and has been written anew"):
        refuse_other_lists(workspace)
    assert fits(workspace)["padim"] == {"board": {"profile": "quick"}}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("detectors: [vqgan], ", "", "products.board has no list of detectors: add detectors: \\[vqgan\\]"),
        ("[vqgan]", "[vqgan, padim]", "products.board has no section padim, by whose name DVC tracks it: add padim: {}"),
        ("[vqgan]", "[cpcae]", "products.board has no section cpcae"),
        ("[vqgan]", "[mine]", "products.board.detectors: 'mine' is none of vqgan"),
    ],
)
def test_what_dvc_could_not_track_is_refused(workspace: Workspace, old: str, new: str, sentence: str) -> None:
    workspace.params_file.write_text(PARAMS.replace(old, new))
    with pytest.raises(ZeromissError, match=sentence):
        follow_params(workspace)


def test_a_pipeline_without_such_loops_gets_no_file(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text("stages: {}\n")
    assert follow_params(workspace) is False and not workspace.fits_file.exists()


def test_the_list_names_paper_needs_and_cost_of_each(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detectors"]) == 0
    told = capsys.readouterr().out
    assert all(system.title in told and system.source in told and system.cost in told for system in CATALOGUE.values())
    assert main(["detectors", "board", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [name for name, system in found.items() if system["used"]] == ["vqgan"]


def test_measured_figures_stand_beside_each_detector(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped table says what is not measured; a product's own figures come from its last metrics stage."""
    write_json(workspace.metrics("board") / "native.json", {"detectors": {"vqgan": {"image_auroc": 0.9512, "fpr_at_zero_missed": 0.25, "seconds_per_image": 0.0421}}}, schema_version=2)
    write_json(workspace.detector("board", "vqgan") / "training.json", {"seconds": 61.4}, schema_version=1)
    assert main(["detectors", "board"]) == 0
    told = capsys.readouterr().out
    assert "on board: AUROC 0.951, FPR at zero missed 25 %, fitted in 61 s, 42 ms an image" in told and told.count(" on board: ") == 1
    shipped = read_json(MEASURED, schema_version=SCHEMA_VERSION)
    row = next(line for line in told.splitlines() if line.strip().startswith("padim ") and "." in line and "(" not in line)
    assert [float(value) for value in row.split()[1::3]] == [round(shipped["figures"]["padim"][name]["image_auroc"], 3) for name in shipped["sets"]]
    assert set(shipped["figures"]) <= set(CATALOGUE)


def test_every_detector_is_in_the_catalogue() -> None:
    assert tuple(CATALOGUE) == DETECTORS
