"""The metrics stage from files to files, with a small untrained network."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tests.workspace_parts import unaligned
from zeromiss.backbones.load import load_backbone
from zeromiss.detectors.taught import write_taught
from zeromiss.detectors.vqgan.store import load_vqgan, save_vqgan
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.files import read_json
from zeromiss.images.load import load_image, load_mask
from zeromiss.metrics.columns import KEY_COLUMNS, feature_columns, variation_columns
from zeromiss.metrics.mask import load_mask_file
from zeromiss.metrics.measure import Measurer
from zeromiss.metrics.variation import Variation, load_variation
from zeromiss.detector_params import VqganParams
from zeromiss.params import Product, resolve_product
from zeromiss.stages import metrics as stage
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

SIZE = 64
NATIVE = ("image_auroc", "average_precision", "fpr_at_zero_missed", "pixel_auroc", "pro", "seconds_per_image")


class Listener(NoLog):
    """A log that remembers numbers."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        self.seen |= values


def product(**metrics: object) -> Product:
    """Return a product of small images."""
    own = {"source": {"kind": "pcba"}, "size": SIZE, "metrics": {"pixels": 10, "patches": 20, **metrics}}
    return resolve_product({"products": {"tiny": own}, "profiles": {"quick": {}}}, "tiny", origin=Path("params.yaml"))


def draw_image(raw: Path, name: str, *, seed: int, spot: bool) -> dict:
    """Draw a part, with or without a white spot, and its manifest row."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), (0, 0), 4)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    if spot:
        image[20:30, 24:40] = mask[20:30, 24:40] = 255
        cv2.imwrite(str(raw / "masks" / name), mask)
    cv2.imwrite(str(raw / "images" / name), image)
    return {
        "path": f"images/{name}", "sha256": f"{seed:064x}", "width": SIZE, "height": SIZE,
        "label": "defect" if spot else "normal", "defect_type": "spot" if spot else "", "part_id": name,
        "mask": f"masks/{name}" if spot else None, "source_split": "", "seed": 0,
    }  # fmt: skip


def fill(root: Path, *, masks: bool = True, splits: tuple[str, ...] = ("train", "mask", "mask", "table", "table", "table", "audit")) -> Workspace:
    """Lay out raw images, a manifest and a detector: a normal for each of `splits`, three defects in the table, one in the audit set."""
    workspace = Workspace(root=root)
    raw = workspace.raw("tiny")
    for folder in ("images", "masks"):
        (raw / folder).mkdir(parents=True)
    rows = [draw_image(raw, f"n{i}.png", seed=i, spot=False) | {"split": split} for i, split in enumerate(splits)]
    rows += [draw_image(raw, f"d{i}.png", seed=50 + i, spot=True) | {"split": "audit" if i == 3 else "table"} for i in range(4)]
    frame = pd.DataFrame(rows)
    if not masks:
        frame["mask"] = None
    write_table(workspace.manifest("tiny") / "manifest.parquet", frame, schema_version=2)
    unaligned(workspace, "tiny")
    small = VqganParams(channels=(8, 16), blocks=1, codes=16, code_dim=4, critic_channels=8, attention=False)
    save_vqgan(workspace.detector("tiny", "vqgan"), Vqgan(small, seed=1))
    write_taught(workspace.detector("tiny", "vqgan"), normal=frame.loc[frame["split"] == "train", "sha256"].tolist(), abnormal=[])
    return workspace


def read(workspace: Workspace) -> pd.DataFrame:
    """Read the table the stage wrote."""
    return read_table(workspace.metrics("tiny") / "table.parquet", schema_version=1)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Listener]:
    """Run the stage once with masks and fixed positions."""
    workspace, log = fill(tmp_path_factory.mktemp("stage")), Listener()
    stage.run(product(), workspace, log)
    return workspace, log


def known(workspace: Workspace) -> Variation:
    """Return what the stage learned of normal images: too few for a Gaussian a place."""
    return load_variation(workspace.metrics("tiny") / "vqgan/variation.safetensors")


def test_what_is_known_of_normal_images_is_worked_out_again(done: tuple[Workspace, Listener]) -> None:
    """The whitening rests on the unseen and the training images, the level on the unseen ones alone."""
    workspace = done[0]
    plain = Measurer(
        detector=load_vqgan(workspace.detector("tiny", "vqgan")), backbone=load_backbone("efficientnet_lite0"), params=product().metrics, mask_HW=None
    )
    rows = read_table(workspace.manifest("tiny") / "manifest.parquet", schema_version=2)
    normal = rows[(rows["label"] == "normal") & rows["split"].isin(["mask", "train"])].sort_values("split")
    images = [torch.from_numpy(load_image(workspace.raw("tiny") / path, SIZE)) for path in normal["path"]]
    found, strides = known(workspace), known(workspace).differences.strides
    cells_NC = np.concatenate([plain.cells(image, strides)[0].flatten(0, 1).double().numpy() for image in images])
    np.testing.assert_allclose(found.differences.whitening.mean_C.numpy(), cells_NC.mean(0), atol=1e-5)
    white = [found.differences.look(plain.cells(image, strides)[0])[0]["whitened"].numpy() for image in images[: (normal["split"] == "mask").sum()]]
    assert found.levels == {"whitened": pytest.approx(np.quantile(np.stack(white).astype(np.float64), 0.999))}


def test_only_rows_of_the_table_split_in_the_manifest_s_order(done: tuple[Workspace, Listener]) -> None:
    table = read(done[0])
    assert table["path"].tolist() == [f"images/{name}.png" for name in ("n3", "n4", "n5", "d0", "d1", "d2")]
    assert table["label"].tolist() == ["normal"] * 3 + ["defect"] * 3
    assert table["defect_type"].tolist() == [""] * 3 + ["spot"] * 3
    paper = [*KEY_COLUMNS, *feature_columns("vqgan", masked=True)]
    assert list(table.columns) == paper + variation_columns("vqgan", ("whitened",), known(done[0]).dims)


def test_files_of_the_stage_and_nothing_beside_them(done: tuple[Workspace, Listener]) -> None:
    folder = done[0].metrics("tiny")
    assert sorted(file.name for file in folder.iterdir()) == ["defect_sizes.parquet", "native.json", "native.parquet", "table.parquet", "vqgan"]
    assert sorted(file.name for file in (folder / "vqgan").iterdir()) == ["mask.safetensors", "variation.safetensors"]
    assert [file.name for file in folder.parent.iterdir()] == ["tiny"]
    assert (done[0].quality("tiny") / "metrics" / "index.html").is_file()


def test_defects_put_aside_are_measured_into_a_table_of_their_own(done: tuple[Workspace, Listener], tmp_path: Path) -> None:
    """The same bits as in the table; no figure counts them, and a normal image beside them is not measured."""
    workspace = Workspace(root=tmp_path)
    shutil.copytree(done[0].root / "data", tmp_path / "data")
    path = workspace.manifest("tiny") / "manifest.parquet"
    rows = read_table(path, schema_version=2)
    rows.loc[rows["path"].isin(["images/d2.png", "images/n5.png"]), "split"] = "threshold"
    write_table(path, rows, schema_version=2)
    native = stage.run(product(), workspace, NoLog())
    aside, table, before = read_table(workspace.metrics("tiny") / "threshold.parquet", schema_version=1), read(workspace), read(done[0])
    assert aside["path"].tolist() == ["images/d2.png"] and native["images"] == len(table) == 4
    pd.testing.assert_frame_equal(aside, before[before["path"] == "images/d2.png"].reset_index(drop=True))


def test_the_mask_is_made_of_the_mask_split_alone(done: tuple[Workspace, Listener]) -> None:
    workspace = done[0]
    vqgan, total = load_vqgan(workspace.detector("tiny", "vqgan")), torch.zeros(SIZE, SIZE, dtype=torch.float64)
    for name in ("n1", "n2"):
        x = torch.from_numpy(load_image(workspace.raw("tiny") / "images" / f"{name}.png", SIZE))
        total += (x - vqgan.reconstruct(x[None]).image_hat_BCHW[0].clamp(0, 1)).abs().mean(0)
    expected = 1 - (total - total.min()) / (total.max() - total.min())
    found = load_mask_file(workspace.metrics("tiny") / "vqgan/mask.safetensors")
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)


def test_a_row_is_bit_equal_to_measuring_its_image_alone(done: tuple[Workspace, Listener]) -> None:
    workspace, table = done[0], read(done[0])
    measurer = Measurer(
        detector=load_vqgan(workspace.detector("tiny", "vqgan")),
        backbone=load_backbone("efficientnet_lite0"),
        params=product().metrics,
        mask_HW=load_mask_file(workspace.metrics("tiny") / "vqgan/mask.safetensors"),
        variation=known(workspace),
    )
    row = table[table["path"] == "images/d1.png"].iloc[0]
    alone = measurer.measure(torch.from_numpy(load_image(workspace.raw("tiny") / "images/d1.png", SIZE)))
    assert {name: row[name] for name in alone.features} == alone.features
    assert row["native_score"] == alone.native_score


def test_native_ranking_of_the_images(done: tuple[Workspace, Listener]) -> None:
    workspace, log = done
    native, table = read_json(workspace.metrics("tiny") / "native.json", schema_version=2), read(done[0])
    labels = table["label"] == "defect"
    own, whole = native["detectors"]["vqgan"], ("seconds", "images", "seconds_per_image")
    assert own["image_auroc"] == pytest.approx(roc_auc_score(labels, table["native_score"]))
    assert native["images"] == 6 and native["seconds_per_image"] == pytest.approx(native["seconds"] / 6)
    assert set(native) == {"schema_version", "detectors", *whole} and set(own) == set(NATIVE)
    assert log.seen == {name: native[name] for name in whole} | {f"vqgan.{name}": own[name] for name in NATIVE}
    natives = read_table(workspace.metrics("tiny") / "native.parquet", schema_version=2)
    assert natives[["path", "label"]].equals(table[["path", "label"]]) and natives["vqgan"].equals(table["native_score"].rename("vqgan"))


def test_native_ranking_of_the_pixels_agrees_with_the_exact_one(done: tuple[Workspace, Listener]) -> None:
    workspace = done[0]
    measurer = Measurer(
        detector=load_vqgan(workspace.detector("tiny", "vqgan")),
        backbone=load_backbone("efficientnet_lite0"),
        params=product().metrics,
        mask_HW=load_mask_file(workspace.metrics("tiny") / "vqgan/mask.safetensors"),
        variation=known(workspace),
    )
    values, marked = [], []
    for path in read(workspace)["path"]:
        values.append(measurer.measure(torch.from_numpy(load_image(workspace.raw("tiny") / path, SIZE))).map_HW.numpy())
        mask = workspace.raw("tiny") / path.replace("images", "masks")
        marked.append(load_mask(mask, SIZE) if mask.exists() else np.zeros((SIZE, SIZE), bool))
    native = read_json(workspace.metrics("tiny") / "native.json", schema_version=2)
    native = native["detectors"]["vqgan"]
    assert native["pixel_auroc"] == pytest.approx(roc_auc_score(np.ravel(marked), np.ravel(values)), abs=1e-3)
    assert 0 <= native["pro"] <= 1


def test_the_same_files_give_the_same_table_again(done: tuple[Workspace, Listener]) -> None:
    before = read(done[0])
    stage.run(product(), done[0], NoLog())
    pd.testing.assert_frame_equal(read(done[0]), before, check_exact=True)


def test_without_masks_and_fixed_positions(tmp_path: Path) -> None:
    workspace = fill(tmp_path, masks=False)
    stage.run(product(fixed_position=False), workspace, NoLog())
    native = read_json(workspace.metrics("tiny") / "native.json", schema_version=2)
    native = native["detectors"]["vqgan"]
    assert native["pixel_auroc"] is None and native["pro"] is None
    assert not (workspace.metrics("tiny") / "vqgan/mask.safetensors").exists()
    paper = [*KEY_COLUMNS, *feature_columns("vqgan", masked=False)]
    assert list(read(workspace).columns) == paper + variation_columns("vqgan", ("whitened",), known(workspace).dims)


def test_fixed_positions_without_mask_images_are_refused(tmp_path: Path) -> None:
    workspace = fill(tmp_path, splits=("train", "table", "table"))
    with pytest.raises(ZeromissError, match="no image in the split mask: set manifest.mask above 0"):
        stage.run(product(), workspace, NoLog())
    assert not workspace.metrics("tiny").exists()


def test_a_table_without_normals_is_refused(tmp_path: Path) -> None:
    workspace = fill(tmp_path, splits=("train", "mask"))
    with pytest.raises(ZeromissError, match="'tiny' has no normal image in the split table"):
        stage.run(product(), workspace, NoLog())


def test_a_truncated_image_stops_the_stage_and_leaves_nothing(tmp_path: Path) -> None:
    workspace = fill(tmp_path)
    image = workspace.raw("tiny") / "images/d2.png"
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(ZeromissError, match="d2.png"):
        stage.run(product(), workspace, NoLog())
    assert list(workspace.metrics("tiny").parent.iterdir()) == []
