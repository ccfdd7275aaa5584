"""A product of two designs with references, from its CSV file to a bundle that judges: every stage that opens references."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from zeromiss.detectors.load import load_detector
from zeromiss.edge.folder import write_folder
from zeromiss.errors import ZeromissError
from zeromiss.images.ingest import ingest
from zeromiss.images.references import Companion
from zeromiss.inspection.bundle import open_bundle, pack
from zeromiss.inspection.check import check_against_table
from zeromiss.inspection.inspector import Inspector
from zeromiss.inspection.verdict import ModelName
from zeromiss.params import Product, resolve_product
from zeromiss.selection.fit import Recipe, fit_pipeline
from zeromiss.selection.store import save_classifier
from zeromiss.stages import bundle as bundles
from zeromiss.stages import manifest, metrics, patchknn, reference
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

SIZE = 64


def write_source(folder: Path) -> Path:
    """Write the pictures of two designs, 26 normal parts of each and 6 with a spot, and the CSV file that names them."""
    folder.mkdir()
    lines = ["path,label,reference,design"]
    for number, design in enumerate(("left", "right")):
        blocks = np.random.default_rng(number).integers(60, 200, (8, 8, 1), dtype=np.uint8).repeat(3, 2)
        cad = cv2.resize(blocks, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / f"{design}.png"), cad)
        for part in range(32):
            grain = np.random.default_rng([number, part]).normal(0, 4, cad.shape)
            photo = (0.8 * cv2.GaussianBlur(cad, (0, 0), 1.0) + 10 + grain).clip(0, 255).astype(np.uint8)
            if part >= 26:
                photo[8 * (part - 24) : 8 * (part - 24) + 10, 20:30] = 250
            cv2.imwrite(str(folder / f"{design}{part}.png"), photo)
            lines.append(f"{design}{part}.png,{'normal' if part < 26 else 'spot'},{design}.png,{design}")
    (folder / "list.csv").write_text("\n".join(lines))
    return folder / "list.csv"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Product, Workspace]:
    """Run the stages from the CSV file to the metric table."""
    folder = tmp_path_factory.mktemp("references")
    own = {
        "source": {"kind": "csv", "path": str(write_source(folder / "source"))}, "size": SIZE, "detectors": ["reference", "patchknn"],
        "manifest": {"train": 0.78, "mask": 4, "min_defects": 4}, "metrics": {"pixels": 10, "patches": 20, "norms": "folded", "fixed_position": True},
        "patchknn": {"bank_dims": 8, "place_dims": 8},
    }  # fmt: skip
    product = resolve_product({"products": {"tiny": own}, "profiles": {"quick": {}}}, "tiny", origin=Path("params.yaml"))
    workspace = Workspace(root=folder / "workspace")
    ingest(product, workspace)
    for stage in (manifest, patchknn, reference, metrics):
        stage.run(product, workspace, NoLog())
    return product, workspace


@pytest.fixture(scope="module")
def bundle(made: tuple[Product, Workspace], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle with a classifier fitted on the table."""
    product, workspace = made
    table = read_table(workspace.metrics("tiny") / "table.parquet", schema_version=1)
    columns = [name for name in table.columns if name.endswith(("image.score", "q99"))]
    folder = tmp_path_factory.mktemp("bundle")
    recipe = Recipe(correlation=1.0, smote_neighbours=None, seed=0)
    save_classifier(folder / "classifier.skops", fit_pipeline("lr", {}, table[columns], (table["label"] == "defect").to_numpy().astype(int), recipe))
    rows = read_table(workspace.manifest("tiny") / "manifest.parquet", schema_version=2)
    found = {"features": {"columns": columns}, "threshold": {"value": 0.5, "rule": "zfn", "statement": "what it guarantees"}, "calibration": {"helps": False}}
    contents = bundles._contents(product, workspace, found, rows)
    pack(folder / "bundle", contents.model_copy(update={"classifier": folder / "classifier.skops"}))
    return folder / "bundle"


def test_the_manifest_names_references_and_designs(made: tuple[Product, Workspace]) -> None:
    rows = read_table(made[1].manifest("tiny") / "manifest.parquet", schema_version=2)
    assert set(zip(rows["design"], rows["reference"], strict=True)) == {("left", "references/left.png"), ("right", "references/right.png")}
    training = rows[(rows["split"] == "train") & (rows["label"] == "normal")]["design"].value_counts()
    assert training.to_dict() == {"left": 20, "right": 21} or training.to_dict() == {"left": 21, "right": 20}


def test_both_detectors_know_each_design(made: tuple[Product, Workspace]) -> None:
    against, neighbours = (load_detector(made[1].detector("tiny", name)) for name in ("reference", "patchknn"))
    assert against.placed == neighbours.placed == ("left", "right") and list(neighbours.designs) == ["left", "right"]
    table = read_table(made[1].metrics("tiny") / "native.parquet", schema_version=2)
    for name in ("reference", "patchknn"):
        assert table[table["label"] == "defect"][name].min() > table[table["label"] == "normal"][name].max()


def test_the_bundle_judges_as_the_table_was_measured(made: tuple[Product, Workspace], bundle: Path) -> None:
    record = open_bundle(bundle)
    assert record.designs == ("left", "right") and record.references == {"left": "references/left.png", "right": "references/right.png"}
    inspector = Inspector.load(bundle)
    inspector.warm_up()
    table = read_table(made[1].metrics("tiny") / "table.parquet", schema_version=1)
    assert check_against_table(inspector, table.iloc[[0, -1]], features=record.features, raw=made[1].raw("tiny")).images == 2


def test_new_images_need_a_design_and_another_design_is_abnormal(made: tuple[Product, Workspace], bundle: Path, tmp_path: Path) -> None:
    inspector, image = Inspector.load(bundle), tmp_path / "new.png"
    image.write_bytes((made[1].root.parent / "source/left25.png").read_bytes())
    assert inspector.inspect(image, companion=Companion(design="left")).verdict == "normal"
    with pytest.raises(ZeromissError, match="names no design, and must name one of those that this model has learned \\(left, right\\)"):
        inspector.inspect(image)
    with pytest.raises(ZeromissError, match="its reference"):
        inspector.inspect(image, companion=Companion(design="right"))


def test_a_model_with_references_is_not_exported(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeromissError, match="compares images with references \\(detector reference\\), which is not exported"):
        write_folder(tmp_path, bundle, model=ModelName(name="tiny", version="1"), engine="onnxruntime")
