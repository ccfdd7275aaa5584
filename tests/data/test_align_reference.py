"""The reference: how it is chosen, kept and opened, and what the manifest stage does with it."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.data.align_parts import corner_error, motion_of, photo, true_motion
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.images.raw import Entry, index_text
from zeromiss.images.reference import nearest_to_mean, open_aligner, write_alignment
from zeromiss.params import Product
from zeromiss.stage_params import AlignParams
from zeromiss.stages import manifest
from zeromiss.stages.base import NoLog
from zeromiss.workspace import Workspace

SIDE = 96
RAW = "data/01_raw/part"


def save(path: Path, image_CHW: np.ndarray) -> Path:
    """Write an image as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(image_CHW.transpose(1, 2, 0) * 255).astype(np.uint8)).save(path)
    return path


def way(number: int) -> np.ndarray:
    """How the board of that number lies; the fourth lies straight, and amid the others."""
    return motion_of(SIDE, 0.04 * np.sin(2 * number) * (number != 3), 0.04 * np.cos(3 * number) * (number != 3), 2 * np.sin(number) * (number != 3))


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw folder of 18 boards in different places, 12 normal, 8 of these of a train folder, and 6 called defects."""
    folder, entries = tmp_path_factory.mktemp("boards"), []
    for number in range(18):
        path = f"images/{number:02d}.png"
        save(folder / path, photo(number, SIDE, way(number), grain=number))
        label = "normal" if number < 12 else "defect"
        kind = "dent" if label == "defect" else ""
        entries.append(Entry(path=path, label=label, defect_type=kind, part_id=f"p{number}", mask="", source_split="train" if number < 8 else "test"))
    (folder / "index.csv").write_text(index_text(entries))
    return folder


@pytest.fixture
def raw(workspace: Workspace, boards: Path) -> Path:
    """The boards as the raw images of the product `part`."""
    folder = workspace.raw("part")
    folder.mkdir(parents=True)
    for name in ("images", "index.csv"):
        (folder / name).symlink_to(boards / name)
    return folder


@pytest.fixture
def product(make_product: Callable[..., Product]) -> Callable[..., Product]:
    """The product `part`, aligned as told."""

    def build(**align: object) -> Product:
        return make_product(size=SIDE, align=align, manifest={"split": "official", "mask": 0, "audit": 0.0, "min_defects": 2}, metrics={"fixed_position": False})

    return build


def test_the_image_amid_the_others_is_chosen(tmp_path: Path) -> None:
    """Squares one to nine columns off: the mean of all is nearest to the one in the middle, however bright or faint."""
    paths = []
    for number in range(9):
        image = np.full((64, 64), 40 + 5 * number, dtype=np.uint8)
        image[20:44, 12 + 2 * number : 36 + 2 * number] += np.uint8(60 + 10 * number)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image).save(paths[-1])
    assert nearest_to_mean(paths) == 4
    assert nearest_to_mean(paths[::-1]) == 4
    assert nearest_to_mean(paths[5:6]) == 0


def test_what_is_written_opens_as_it_was(tmp_path: Path) -> None:
    path = save(tmp_path / "raw/images/a.png", photo(1, SIDE))
    write_alignment(tmp_path / "align", AlignParams(mode="reference"), raw=tmp_path / "raw", reference="images/a.png", size=SIDE)
    found = open_aligner(tmp_path / "align", SIDE)
    image = photo(1, SIDE, motion_of(SIDE, 0.03, -0.02, 2.0), grain=2)
    motion = found.find(image)
    assert corner_error(motion.matrix, motion_of(SIDE, 0.03, -0.02, 2.0), SIDE) < 0.1
    record = json.loads((tmp_path / "align/align.json").read_text())
    assert record["reference"] == {
        "path": "images/a.png",
        "sha256": sha256_file(path),
        "picture": sha256_file(tmp_path / "align/reference.png"),
        "aspect": 1.0,
    }
    assert record["params"]["mode"] == "reference" and record["schema_version"] == 2


def test_the_reference_serves_other_sizes_too(tmp_path: Path) -> None:
    save(tmp_path / "raw/images/a.png", photo(1, SIDE))
    write_alignment(tmp_path / "align", AlignParams(mode="reference"), raw=tmp_path / "raw", reference="images/a.png", size=SIDE)
    image = cv2.resize(photo(1, SIDE, motion_of(SIDE, 0.03, -0.02, 2.0), grain=2).transpose(1, 2, 0), (64, 64), interpolation=cv2.INTER_AREA)
    motion = open_aligner(tmp_path / "align", 64).find(np.ascontiguousarray(image.transpose(2, 0, 1)))
    assert corner_error(motion.matrix, motion_of(64, 0.03, -0.02, 2.0), 64) < 0.1


def test_without_alignment_nothing_but_a_word_is_kept(tmp_path: Path) -> None:
    save(tmp_path / "raw/images/a.png", photo(1, SIDE))
    write_alignment(tmp_path / "align", AlignParams(mode="reference"), raw=tmp_path / "raw", reference="images/a.png", size=SIDE)
    write_alignment(tmp_path / "align", AlignParams(), raw=tmp_path / "raw", reference=None, size=SIDE)
    assert [path.name for path in (tmp_path / "align").iterdir()] == ["align.json"]
    assert open_aligner(tmp_path / "align", SIDE) is None


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "align"
    with pytest.raises(ZeromissError, match=r"align\.json is missing: run the stage that writes it"):
        open_aligner(folder, SIDE)
    save(tmp_path / "raw/images/a.png", photo(1, SIDE))
    write_alignment(folder, AlignParams(mode="reference"), raw=tmp_path / "raw", reference="images/a.png", size=SIDE)
    record = json.loads((folder / "align.json").read_text())
    save(folder / "reference.png", photo(2, SIDE))
    with pytest.raises(ZeromissError, match=r"reference\.png is not the reference that align\.json names: run the manifest stage anew"):
        open_aligner(folder, SIDE)
    (folder / "reference.png").unlink()
    with pytest.raises(ZeromissError, match=r"reference\.png is not the reference that align\.json names"):
        open_aligner(folder, SIDE)
    for broken, sentence in (
        ({**record, "reference": None}, "is not as it was written"),
        ({"schema_version": 2}, "is not as it was written"),
        ({**record, "params": {**record["params"], "max_shift": 7}}, "max_shift: input should be less than or equal to 0.25: run the manifest stage anew"),
    ):
        (folder / "align.json").write_text(json.dumps(broken))
        with pytest.raises(ZeromissError, match=sentence):
            open_aligner(folder, SIDE)


def test_the_stage_writes_that_nothing_is_aligned(product: Callable[..., Product], workspace: Workspace, raw: Path) -> None:
    manifest.run(product(), workspace, NoLog())
    assert [path.name for path in workspace.alignment("part").iterdir()] == ["align.json"]
    assert open_aligner(workspace.alignment("part"), SIDE) is None


def test_the_stage_chooses_a_training_image_and_tries_every_image(
    product: Callable[..., Product], workspace: Workspace, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Kept(NoLog):
        """A log that keeps its numbers."""

        values: dict[str, float] = {}

        def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
            """Keep them."""
            self.values |= values

    log = Kept()
    manifest.run(product(mode="reference"), workspace, log)
    reference = json.loads((workspace.alignment("part") / "align.json").read_text())["reference"]["path"]
    chosen = int(Path(reference).stem)
    assert chosen < 8
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"align: 18 images laid over {reference}, shifted by ")
    aligner = open_aligner(workspace.alignment("part"), SIDE)
    shifts = []
    for number in range(18):
        motion = aligner.find(photo(number, SIDE, way(number), grain=number))
        between = np.vstack([true_motion(number, SIDE, way(number), reference=chosen), [0, 0, 1]]) @ np.linalg.inv(np.vstack([way(chosen), [0, 0, 1]]))
        assert corner_error(motion.matrix, between[:2], SIDE) < 0.5
        shifts.append(motion.shift)
    assert log.values["align.shift_max"] == pytest.approx(max(shifts)) and log.values["align.shift_median"] == pytest.approx(np.median(shifts))
    assert log.values["align.correlation_min"] > 0.8 and 0.5 < log.values["align.degrees_max"] < 5


def test_the_stage_takes_the_reference_it_is_told(product: Callable[..., Product], workspace: Workspace, raw: Path) -> None:
    manifest.run(product(mode="reference", reference="images/03.png"), workspace, NoLog())
    assert json.loads((workspace.alignment("part") / "align.json").read_text())["reference"]["path"] == "images/03.png"
    for stray in ("images/15.png", "images/99.png"):
        with pytest.raises(ZeromissError, match=rf"align\.reference {stray} is no normal image of the index outside the split audit: name another one, for example images/00\.png"):
            manifest.run(product(mode="reference", reference=stray), workspace, NoLog())


def test_an_image_that_cannot_be_aligned_stops_the_stage(product: Callable[..., Product], workspace: Workspace, boards: Path) -> None:
    raw = workspace.raw("part")
    (raw / "images").mkdir(parents=True)
    for path in (boards / "images").iterdir():
        (raw / "images" / path.name).symlink_to(path)
    (raw / "index.csv").symlink_to(boards / "index.csv")
    for name in ("13.png", "17.png"):
        (raw / "images" / name).unlink()
        save(raw / "images" / name, np.rot90(photo(int(name[:2]), SIDE), axes=(1, 2)))
    with pytest.raises(ZeromissError) as caught:
        manifest.run(product(mode="reference"), workspace, NoLog())
    sentence = str(caught.value)
    assert sentence.startswith(f"{raw}/images/13.png agrees with the reference to 0.")
    assert sentence.endswith("(1 more like it); or take what cannot be aligned out of the index")
    assert not workspace.manifest("part").exists()


def test_an_image_of_another_shape_stops_the_stage(product: Callable[..., Product], workspace: Workspace, boards: Path) -> None:
    raw = workspace.raw("part")
    (raw / "images").mkdir(parents=True)
    for path in (boards / "images").iterdir():
        (raw / "images" / path.name).symlink_to(path)
    (raw / "index.csv").symlink_to(boards / "index.csv")
    (raw / "images/14.png").unlink()
    save(raw / "images/14.png", photo(14, SIDE)[:, :, :80])
    with pytest.raises(ZeromissError, match=r"images/14\.png is 80 x 96 pixels, of another shape than the reference images/0\d\.png: aligning needs images of one shape"):
        manifest.run(product(mode="reference"), workspace, NoLog())
