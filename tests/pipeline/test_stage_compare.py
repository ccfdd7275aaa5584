"""The stage `compare` through the real stages, with networks of milliseconds: two detectors, two seeds, one page."""

import json
import types

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.model.vqgan_parts import load_tiny
from tests.workspace_parts import read_traits, unaligned
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.metrics.ranking import image_auroc
from zeromiss.params import Product
from zeromiss.stages import compare, compare_seeds, ganodip, metrics, vqgan
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

SIZE = 64
SPLITS = {"normal": ["train"] * 36 + ["mask"] * 2 + ["table"] * 9, "defect": ["table"] * 9}


class Kept(NoLog):
    """A log that keeps what it is told."""

    def __init__(self):
        self.numbers, self.files = {}, []

    def metrics(self, values, *, step=None):
        self.numbers |= values

    def artifact(self, path):
        assert path.is_file()
        self.files.append(path.name)


@pytest.fixture(scope="module")
def product():
    """A product whose networks, backbone and selection cost nothing."""
    own = {
        "vqgan": {
            "channels": (8, 16), "codes": 8, "code_dim": 4, "critic_channels": 4, "codebook_start": 1, "critic_start": 2, "critic_warmup": 1,
            "dead_after": 3, "crop": 32, "batch": 2, "steps": 2, "perceptual": 0.1,
        },
        "ganodip": {"side": 16, "channels": (8, 8), "latent": 4, "batch": 4, "gan_steps": 2, "critic_steps": 1, "encoder_steps": 2},
        "metrics": {"pixels": 5, "patches": 10},
        "selection": {"folds": 2, "outer_folds": 3, "jobs": 1},
        "compare": {"families": ("lda",), "draws": 1, "seeds": 2, "maps": 5},
    }  # fmt: skip
    rest = dict.fromkeys(("manifest", "align", "threshold", "promotion", "inspection"), {})
    given = {"name": "tiny", "profile": "quick", "size": SIZE, "seed": 3, "source": {"kind": "pcba"}, "detectors": ("vqgan", "ganodip")}
    return Product.model_validate(given | own | rest)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, product):
    """Drawn parts, some with a white spot whose place a mask tells, learned and measured by both detectors."""
    with pytest.MonkeyPatch.context() as patch:
        for stage in (vqgan, metrics, compare):
            patch.setattr(stage, "load_backbone", lambda name, path: load_tiny())
        patch.setattr("zeromiss.selection.digest._sources", lambda code: [])  # someone may be editing the code
        made, rows = Workspace(root=tmp_path_factory.mktemp("compare")), []
        raw = made.raw("tiny")
        raw.mkdir(parents=True)
        for label, splits in SPLITS.items():
            for number, split in enumerate(splits):
                image = cv2.GaussianBlur(np.random.default_rng(len(rows)).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), (0, 0), 4)
                if label == "defect":
                    image[20:30, 24:40] = 255
                cv2.imwrite(str(raw / f"{label}{number}.png"), image)
                rows.append({"path": f"{label}{number}.png", "split": split, "label": label, "mask": "mask.png" if label == "defect" else None})
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[20:30, 24:40] = 255
        cv2.imwrite(str(raw / "mask.png"), mask)
        facts = {"defect_type": "", "sha256": [f"{number:064d}" for number in range(len(rows))]}
        frame = pd.DataFrame(rows).assign(**facts)
        write_table(made.manifest("tiny") / "manifest.parquet", frame.assign(part_id=frame["path"]), schema_version=2)
        unaligned(made, "tiny")
        read_traits(made, "tiny")
        for stage in (vqgan, ganodip, metrics):
            stage.run(product, made, NoLog())
        yield made


@pytest.fixture(scope="module")
def log():
    return Kept()


@pytest.fixture(scope="module")
def content(product, workspace, log):
    return compare.run(product, workspace, log)


def test_what_is_written_is_what_is_told(content, workspace, log):
    folder = workspace.compare("tiny")
    assert json.loads((folder / "compare.json").read_text()) == {"schema_version": 2} | json.loads(json.dumps(content))
    assert log.files == ["compare.html", "compare.json", "golden.svg", "honest.svg", "roc.svg"]
    assert log.numbers["stack.image_auroc.honest"] == content["composites"]["systems"]["stack"]["figures"]["image_auroc"]["mean"]
    page = (folder / "compare.html").read_text()
    assert page.count("data:image/") == 3 + 5 * 3 and "stack of all" in page
    assert list(content["matched"]) == ["vqgan", "ganodip", "properties"] and "trivial properties alone" in page


def test_rows_are_of_the_detectors_own_scores(content, workspace):
    natives = read_table(workspace.metrics("tiny") / "native.parquet", schema_version=2)
    y_N = (natives["label"] == "defect").to_numpy()
    for name, entry in content["detectors"].items():
        assert entry["image_auroc"] == image_auroc(y_N, natives[name].to_numpy())
        assert 0.0 <= entry["pixel_auroc"] <= 1.0 and 0.0 <= entry["pro"] <= 1.0 and entry["fit_seconds"] > 0 and entry["parameters"] > 100
    assert content["detectors"]["ganodip"]["peak_mib"] > 0 and content["detectors"]["ganodip"]["fit_images"] == 36
    assert (content["n_normals"], content["n_defects"]) == (9, 9)


def test_another_seed_is_another_fit_and_their_spread_is_told(content, workspace):
    again = Workspace(root=workspace.checkpoints / "tiny/compare/seed-4")
    first, second = (read_table(one.metrics("tiny") / "native.parquet", schema_version=2) for one in (workspace, again))
    assert list(first["path"]) == list(second["path"]) and not np.array_equal(first["ganodip"], second["ganodip"])
    y_N = (first["label"] == "defect").to_numpy()
    values = [image_auroc(y_N, one["vqgan"].to_numpy()) for one in (first, second)]
    spread = content["detectors"]["vqgan"]["spread"]["image_auroc"]
    assert content["detectors"]["vqgan"]["seeds"] == 2 and spread["mean"] == pytest.approx(np.mean(values))
    assert spread["std"] == pytest.approx(np.std(values, ddof=1))


def test_every_detectors_map_of_the_same_images(content, workspace):
    assert [one["label"] for one in content["images"]] == ["defect"] * 4 + ["normal"]
    for one in content["images"]:
        assert list(one["panels"]) == ["original", "vqgan", "ganodip"]
        pictures = [cv2.imread(str(workspace.compare("tiny") / name)) for name in one["panels"].values()]
        assert {picture.shape for picture in pictures} == {(192, 192, 3)}
    assert len(content["golden"]["fpr"]) == 10 and all(0.0 <= fpr <= 1.0 for fpr in content["golden"]["fpr"])


def test_run_again_nothing_is_fitted_or_judged_anew(content, product, workspace, monkeypatch):
    fits = {path: sha256_file(path) for path in (workspace.checkpoints / "tiny/compare").rglob("*") if path.is_file()}
    forbidden = types.SimpleNamespace(import_module=lambda name: pytest.fail(f"{name} ran again"))
    monkeypatch.setattr(compare_seeds, "importlib", forbidden)
    monkeypatch.setattr("zeromiss.selection.protocol.judge_or_refuse", lambda *task: pytest.fail("a fold was judged again"))
    assert compare.run(product, workspace, NoLog()) == content
    assert {path: sha256_file(path) for path in fits} == fits


def test_without_an_earlier_stage_nothing_is_written(product, tmp_path):
    with pytest.raises(ZeromissError, match="is missing: run the stage that writes it"):
        compare.run(product, Workspace(root=tmp_path), NoLog())
    assert not (tmp_path / "data/14_compare").exists()
