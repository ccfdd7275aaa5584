"""A trained variant from images to differences, through the real stages, with a network of milliseconds."""

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.model.vqgan_parts import load_tiny
from tests.workspace_parts import unaligned
from zeromiss.ablation import run
from zeromiss.ablation.variants import pick
from zeromiss.detectors.vqgan.store import load_vqgan
from zeromiss.files import sha256_file
from zeromiss.params import Product
from zeromiss.stages import metrics, vqgan
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

SIZE = 64
SPLITS = {"normal": ["train"] * 3 + ["mask"] * 2 + ["table"] * 9, "defect": ["table"] * 9}


@pytest.fixture
def product():
    """A product whose network, backbone and selection cost nothing."""
    network = {
        "channels": (8, 16), "codes": 8, "code_dim": 4, "critic_channels": 4, "codebook_start": 1, "critic_start": 2, "critic_warmup": 1,
        "dead_after": 3, "crop": 32, "batch": 2, "steps": 4, "perceptual": 0.1,
    }  # fmt: skip
    own = {
        "vqgan": network, "metrics": {"pixels": 5, "patches": 10},
        "selection": {"families": ("lda",), "draws": 1, "folds": 2, "outer_folds": 3, "jobs": 1},
    }  # fmt: skip
    rest = dict.fromkeys(("manifest", "threshold", "promotion", "inspection"), {})
    return Product.model_validate({"name": "tiny", "profile": "quick", "size": SIZE, "seed": 3, "source": {"kind": "pcba"}} | own | rest)


@pytest.fixture
def workspace(tmp_path, product, monkeypatch):
    """Drawn parts, a third of them with a white spot, taken through training and measuring."""
    for stage in (vqgan, metrics):
        monkeypatch.setattr(stage, "load_backbone", lambda name, path: load_tiny())
    made, rows = Workspace(root=tmp_path), []
    raw = made.raw("tiny")
    raw.mkdir(parents=True)
    for label, splits in SPLITS.items():
        for number, split in enumerate(splits):
            image = cv2.GaussianBlur(np.random.default_rng(len(rows)).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), (0, 0), 4)
            if label == "defect":
                image[20:30, 24:40] = 255
            cv2.imwrite(str(raw / f"{label}{number}.png"), image)
            rows.append({"path": f"{label}{number}.png", "split": split, "label": label})
    facts = {"sha256": "0" * 64, "defect_type": "", "mask": None}
    frame = pd.DataFrame(rows).assign(**facts)
    write_table(made.manifest("tiny") / "manifest.parquet", frame.assign(part_id=frame["path"]), schema_version=2)
    unaligned(made, "tiny")
    vqgan.run(product, made, NoLog())
    metrics.run(product, made, NoLog())
    return made


def test_a_trained_variant_and_what_luck_does(product, workspace, monkeypatch):
    monkeypatch.setattr(run, "fold_seconds", lambda product, source: 0.0)
    before = {path: sha256_file(path) for path in sorted(workspace.root.rglob("*")) if path.is_file()}
    content = run.ablate(product, workspace, pick(product, ["other_seed", "half_codes"]), hours=1.0)
    seed, codes = content["variants"]
    assert (seed["variant"], codes["variant"], content["left_out"]) == ("other_seed", "half_codes", [])
    assert seed["columns"] == codes["columns"] == content["full"]["columns"] and len(codes["folds"]) == 6
    folder = workspace.ablation("tiny")
    assert load_vqgan(folder / "half_codes" / "data/03_detectors/tiny/vqgan").params.codes == 4
    places = (workspace, *(Workspace(root=folder / name) for name in ("other_seed", "half_codes")))
    tables = [read_table(place.metrics("tiny") / "table.parquet", schema_version=1) for place in places]
    assert all(list(table["path"]) == list(tables[0]["path"]) for table in tables)
    errors = [table["vqgan.image.mse"].to_numpy() for table in tables]
    assert not np.array_equal(errors[0], errors[1]) and not np.array_equal(errors[0], errors[2])
    assert {path: sha256_file(path) for path in before} == before  # the product's own files stay
