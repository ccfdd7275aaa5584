"""What a fitting opens, and that one which was killed in the middle goes on from its checkpoint."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.model.detector_parts import drawn_product, drawn_workspace, noise
from zeromiss.detector_params import FAnoganParams
from zeromiss.detectors.batches import Batches
from zeromiss.detectors.checkpoint import checkpoint_key
from zeromiss.detectors.load import load_detector
from zeromiss.files import sha256_file
from zeromiss.image_size import ImageSize
from zeromiss.images.reference import alignment_digest
from zeromiss.params import Product
from zeromiss.stages import f_anogan as stage
from zeromiss.stages import teaching as module
from zeromiss.stages.base import NoLog
from zeromiss.stages.teaching import open_teaching
from zeromiss.tables import read_table, write_table
from zeromiss.workspace import Workspace

SIZE = 32
PARAMS = FAnoganParams(tile=16, channels=(8, 8), latent=4, batch=2, gan_steps=4, critic_steps=2, encoder_steps=3, checkpoint_every=2)
IMAGES = noise(4, SIZE)  # three teach, the last is unseen


class Killed(NoLog):
    """A RunLog at which the training ends, as at a signal: its first point comes after the last step."""

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        """End the training."""
        raise KeyboardInterrupt


@pytest.fixture
def product(repository: Path) -> Product:
    """A product of 32 pixels that learns in a moment."""
    return drawn_product(repository, SIZE, f_anogan=PARAMS)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A manifest of three training images, one of the split mask, one defect put aside, and a row that must never be opened."""
    made = drawn_workspace(tmp_path, IMAGES)
    file = made.manifest("drawn") / "manifest.parquet"
    rows = read_table(file, schema_version=2)
    rows.loc[len(rows)] = {"path": "0.png", "split": "abnormal", "label": "defect", "sha256": "f" * 64}
    write_table(file, rows, schema_version=2)
    return made


def weights(workspace: Workspace) -> dict[str, Tensor]:
    """Return what the stage has left."""
    return load_detector(workspace.detector("drawn", "f_anogan")).state_dict()


def test_defects_are_opened_for_those_alone_that_need_them(product: Product, workspace: Workspace) -> None:
    taught = ["0" * 63 + digit for digit in "012"]
    without, with_them = (open_teaching("f_anogan", PARAMS, product, workspace, needs_abnormal=needs) for needs in (False, True))
    assert (len(without.normal), len(without.abnormal), len(without.unseen)) == (3, 0, 1)
    assert (len(with_them.normal), len(with_them.abnormal), len(with_them.unseen)) == (3, 1, 1)
    assert without.sources == {"normal": taught, "abnormal": []}
    assert with_them.sources == {"normal": taught, "abnormal": ["f" * 64]}
    assert torch.equal(without.unseen[0], IMAGES[3].flip(0))  # drawn_workspace writes blue first


def test_images_are_kept_while_all_copies_fit_into_memory(product: Product, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three images of 3 x 32 x 32 bytes are 9216, in two processes 18432, with a defect's 12288."""
    monkeypatch.setattr(module, "MEMORY", 9216)

    def workers(**how: int) -> int:
        return open_teaching("f_anogan", PARAMS, product, workspace, **how).workers

    assert (workers(), workers(processes=2), workers(needs_abnormal=True)) == (0, 2, 2)
    monkeypatch.setattr(module, "MEMORY", 18432)
    assert (workers(processes=2), workers(needs_abnormal=True), workers(processes=3)) == (0, 0, 2)


def test_a_checkpoint_bears_the_name_of_all_that_the_fitting_depends_on(product: Product, workspace: Workspace) -> None:
    folder = workspace.manifest("drawn")
    images = sha256_file(folder / "manifest.parquet") + alignment_digest(folder / "align")
    key = checkpoint_key(PARAMS, size=SIZE, seed=product.seed, manifest_sha256=images)
    found = open_teaching("f_anogan", PARAMS, product, workspace).checkpoint
    assert found == workspace.root / f".checkpoints/drawn/f_anogan-{key}.safetensors"
    others = [product.model_copy(update=change) for change in ({"seed": product.seed + 1}, {"size": ImageSize.of(16)})]
    names = {found, *(open_teaching("f_anogan", PARAMS, other, workspace).checkpoint for other in others)}
    assert len(names) == 3
    rows = read_table(folder / "manifest.parquet", schema_version=2)
    write_table(folder / "manifest.parquet", rows.iloc[1:], schema_version=2)
    assert open_teaching("f_anogan", PARAMS, product, workspace).checkpoint not in names


def test_a_killed_stage_goes_on_from_its_checkpoint(product: Product, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run(product, workspace, NoLog())
    uninterrupted = weights(workspace)
    with pytest.raises(KeyboardInterrupt):
        stage.run(product, workspace, Killed())
    kept = open_teaching("f_anogan", PARAMS, product, workspace).checkpoint
    assert list(workspace.checkpoints.rglob("*.safetensors")) == [kept]  # of step 6 of 7
    read, whole = [], Batches.__getitem__

    def noted(batches: Batches, step: int) -> Tensor:
        read.append(step)
        return whole(batches, step)

    monkeypatch.setattr(Batches, "__getitem__", noted)
    stage.run(product, workspace, NoLog())
    assert read == [6]
    found = weights(workspace)
    assert all(torch.equal(found[name], uninterrupted[name]) for name in uninterrupted) and not kept.exists()
