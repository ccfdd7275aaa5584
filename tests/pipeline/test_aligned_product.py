"""A product whose parts never lie alike, from the manifest to a verdict: one reading path, one reference, refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.align_parts import motion_of, photo
from zeromiss.detectors.taught import write_taught
from zeromiss.detectors.vqgan.store import save_vqgan
from zeromiss.detectors.vqgan.vqgan import Vqgan
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.images.load import load_image, load_mask
from zeromiss.images.manifest import FILE as MANIFEST_FILE
from zeromiss.images.raw import Entry, index_text
from zeromiss.images.reader import ImageReader, open_reader
from zeromiss.inspection.bundle import open_bundle
from zeromiss.inspection.inspector import Inspector
from zeromiss.metrics.chunks import Recipe, measure_chunk, pack_masks, write_recipe
from zeromiss.metrics.mask import load_mask_file
from zeromiss.metrics.table import mask_file, variation_file
from zeromiss.params import Product, resolve_product
from zeromiss.stages import bundle, manifest, metrics, selection, threshold
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

SIZE, NORMALS, DEFECTS = 64, 18, 6
PARAMS = {
    "profiles": {"quick": {}},
    "products": {
        "toy": {
            "size": SIZE,
            "source": {"kind": "csv"},
            "manifest": {"train": 0.34, "mask": 3, "audit": 0.0, "min_defects": 2},
            "align": {"mode": "reference", "max_rotation": 4},
            "vqgan": {"channels": [8, 16], "codes": 8, "code_dim": 4, "blocks": 1, "critic_channels": 8},
            "metrics": {"pixels": 10, "patches": 20},
            "selection": {"families": ["lr"], "draws": 2, "folds": 2, "jobs": 1, "smote_below": 0.0, "outer_folds": 2},
        }
    },
}


def way(number: int) -> np.ndarray:
    """How the board of that number lies."""
    return motion_of(SIZE, 0.04 * np.sin(number), 0.04 * np.cos(2 * number), 2 * np.sin(3 * number))


def draw(raw: Path, number: int) -> Entry:
    """Write a board that lies its own way; the last ones have a bright bar, which their mask shows."""
    import cv2

    image_CHW, defect = photo(number, SIZE, way(number), grain=number), number >= NORMALS
    path, mask = f"images/{number:02d}.png", ""
    if defect:
        upright = np.zeros((SIZE, SIZE), dtype=np.float32)
        upright[26:34, 20:40] = 1.0
        moved = cv2.warpAffine(upright, way(number), (SIZE, SIZE), flags=cv2.INTER_LINEAR) > 0.5
        image_CHW[:, moved] = 1.0
        mask = f"masks/{number:02d}.png"
        Image.fromarray(moved.astype(np.uint8) * 255).save(raw / mask)
    Image.fromarray(np.rint(image_CHW.transpose(1, 2, 0) * 255).astype(np.uint8)).save(raw / path)
    kind = "bar" if defect else ""
    return Entry(path=path, label="defect" if defect else "normal", defect_type=kind, part_id=f"p{number}", mask=mask, source_split="")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Every stage up to the bundle: an untrained network, real measurements."""
    workspace = Workspace(root=tmp_path_factory.mktemp("repository"))
    product = resolve_product(PARAMS, "toy", origin=workspace.params_file)
    raw = workspace.raw("toy")
    for folder in ("images", "masks"):
        (raw / folder).mkdir(parents=True)
    (raw / "index.csv").write_text(index_text([draw(raw, number) for number in range(NORMALS + DEFECTS)]))
    manifest.run(product, workspace, NoLog())
    save_vqgan(workspace.detector("toy", "vqgan"), Vqgan(product.vqgan).eval())
    write_taught(workspace.detector("toy", "vqgan"), normal=[], abnormal=[])
    (workspace.detector("toy", "vqgan") / "training.json").write_text(json.dumps({"schema_version": 1, "seconds": 1.0}))
    for stage in (metrics, selection, threshold, bundle):
        stage.run(product, workspace, NoLog())
    return workspace


@pytest.fixture
def reader(made: Workspace) -> ImageReader:
    """What the stages read with."""
    return open_reader(made.alignment("toy"), SIZE)


def test_what_is_judged_is_the_aligned_image(made: Workspace, reader: ImageReader) -> None:
    """The stage bundle has compared features with the table; the picture that boxes refer to is the aligned one."""
    path = made.raw("toy") / "images/20.png"
    examination = Inspector.load(made.bundle("toy")).examine(path)
    assert np.array_equal(examination.image_CHW.numpy(), reader.read(path))
    assert not np.array_equal(examination.image_CHW.numpy(), load_image(path, SIZE))
    assert examination.verdict.sha256 == sha256_file(path)


def test_an_image_in_memory_is_aligned_too(made: Workspace) -> None:
    inspector, path = Inspector.load(made.bundle("toy")), made.raw("toy") / "images/20.png"
    verdict = inspector.inspect_image(load_image(path, SIZE))
    assert (verdict.score, verdict.patches) == (inspector.inspect(path).score, inspector.inspect(path).patches)


def test_a_defect_lies_where_its_mask_does(made: Workspace, reader: ImageReader) -> None:
    """Bright bars, whose masks were moved with them: all lie upon one another, as they did before the boards were moved."""
    together, apart = [], []
    for number in range(NORMALS, NORMALS + DEFECTS):
        image, mask = (made.raw("toy") / folder / f"{number}.png" for folder in ("images", "masks"))
        together.append(reader.read_mask(mask, of=image))
        apart.append(load_mask(mask, SIZE))
        assert reader.read(image)[:, together[-1]].mean() > 0.85
    overlap = [np.logical_and.reduce(masks).sum() / np.logical_or.reduce(masks).sum() for masks in (together, apart)]
    assert overlap[0] > 0.55 > 0.4 > overlap[1]


def test_pixels_are_ranked_with_the_moved_masks(made: Workspace, reader: ImageReader) -> None:
    """A worker, here this process, gives the table's very rows, and counts as many defective pixels as the moved masks have."""
    rows = read_table(made.manifest("toy") / MANIFEST_FILE, schema_version=2)
    rows = rows[rows["split"] == "table"]
    product = resolve_product(PARAMS, "toy", origin=made.params_file)
    recipe = recipe_of(made, product, align=made.alignment("toy"), scales={"vqgan": 1.0})
    masks = pack_masks({"vqgan": load_mask_file(made.metrics("toy") / mask_file("vqgan"))})
    counted = measure_chunk(recipe, masks, rows.to_dict(orient="records"))
    table = read_table(made.metrics("toy") / "table.parquet", schema_version=1)
    assert [one.row for one in counted] == table.to_dict(orient="records")
    raw, defects = made.raw("toy"), rows[rows["label"] == "defect"]
    marked = sum(int(reader.read_mask(raw / row.mask, of=raw / row.path).sum()) for row in defects.itertuples())
    assert sum(int(pixels.defect_K.sum()) for one in counted if (pixels := one.pixels["vqgan"]).defect_K is not None) == marked > 0


def test_a_worker_with_another_reference_is_refused(made: Workspace, tmp_path: Path) -> None:
    align = shutil.copytree(made.alignment("toy"), tmp_path / "align")
    product = resolve_product(PARAMS, "toy", origin=made.params_file)
    recipe = recipe_of(made, product, align=align, scales={})
    (align / "reference.png").write_bytes((made.raw("toy") / "images/00.png").read_bytes() + b"x")
    with pytest.raises(ZeromissError, match=r"reference\.png is another file there than here"):
        measure_chunk(recipe, (), [])


def recipe_of(made: Workspace, product: Product, *, align: Path, scales: dict[str, float]) -> Recipe:
    """Return what a worker needs to measure the toy product."""
    return write_recipe(
        raw=made.raw("toy"),
        align=align,
        detectors=[made.detector("toy", "vqgan")],
        variations=[made.metrics("toy") / variation_file("vqgan")],
        params=product.metrics,
        size=SIZE,
        scales=scales,
    )


def test_an_image_that_cannot_be_aligned_is_no_verdict(made: Workspace, tmp_path: Path) -> None:
    """Too far, upside down, blank: an error each, the good one between them is judged."""
    inspector, good = Inspector.load(made.bundle("toy")), made.raw("toy") / "images/03.png"
    pictures = {
        "far": photo(3, SIZE, motion_of(SIZE, 0.0, 0.13, 0.0)),
        "turned": photo(3, SIZE, motion_of(SIZE, 0.0, 0.0, 180.0)),
        "blank": np.full((3, SIZE, SIZE), 0.5, dtype=np.float32),
    }
    for name, image_CHW in pictures.items():
        Image.fromarray(np.rint(image_CHW.transpose(1, 2, 0) * 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    paths = [tmp_path / "far.png", good, tmp_path / "turned.png", tmp_path / "blank.png"]
    far, judged, turned, blank = inspector.examine_many(paths, workers=2)
    assert judged.verdict.path == str(good)
    for error, path, words in ((far, paths[0], "off the reference and"), (turned, paths[2], "the reference"), (blank, paths[3], "the reference")):
        assert isinstance(error, ZeromissError) and str(error).startswith(str(path)) and words in str(error)
    with pytest.raises(ZeromissError, match="^the image (could not be laid over|agrees with) the reference"):
        inspector.inspect_image(torch.from_numpy(pictures["blank"]))


def test_the_bundle_carries_its_reference_under_a_hash(made: Workspace, tmp_path: Path) -> None:
    record = open_bundle(made.bundle("toy"))
    assert record.align and {"align/align.json", "align/reference.png"} <= set(record.files)
    copy = shutil.copytree(made.bundle("toy"), tmp_path / "bundle")
    (copy / "align/reference.png").write_bytes(b"")
    with pytest.raises(ZeromissError, match=r"align/reference\.png has changed since it was packed"):
        Inspector.load(copy)
    (copy / "align/reference.png").unlink()
    with pytest.raises(ZeromissError, match=r"align/reference\.png is missing from the bundle"):
        Inspector.load(copy)
    described = json.loads((copy / "bundle.json").read_text())
    del described["files"]["align/reference.png"]
    (copy / "bundle.json").write_text(json.dumps(described))
    with pytest.raises(ZeromissError, match=r"does not list align/reference\.png: pack the bundle anew"):
        open_bundle(copy)


def test_a_bundle_that_does_not_name_alignment_judges_images_as_they_lie(made: Workspace, tmp_path: Path) -> None:
    """As bundles made before there was a choice."""
    copy = shutil.copytree(made.bundle("toy"), tmp_path / "bundle")
    shutil.rmtree(copy / "align")
    described = json.loads((copy / "bundle.json").read_text())
    del described["align"]
    described["files"] = {name: digest for name, digest in described["files"].items() if not name.startswith("align/")}
    (copy / "bundle.json").write_text(json.dumps(described))
    path = made.raw("toy") / "images/20.png"
    assert np.array_equal(Inspector.load(copy).examine(path).image_CHW.numpy(), load_image(path, SIZE))
