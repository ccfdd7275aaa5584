"""Labels that people changed: recorded so that nothing is lost, applied by the manifest stage, refused where they fit no image."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from zeromiss.errors import ZeromissError
from zeromiss.files import read_json, sha256_file
from zeromiss.images.labels import append_changes, apply_changes, apply_to_entries, find_image, read_changes
from zeromiss.images.raw import Entry, index_text, read_index
from zeromiss.params import Product
from zeromiss.stages import manifest
from zeromiss.stages.base import NoLog
from zeromiss.tables import read_table
from zeromiss.workspace import Workspace

SAID = {"by": "Ann Lee", "why": "a shadow, no dent"}


class Kept(NoLog):
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.values: dict[str, float] = {}
        self.said: dict[str, str] = {}
        self.files: list[str] = []

    def metrics(self, values: dict[str, float], *, step: int | None = None) -> None:
        """Keep the numbers."""
        self.values |= values

    def tags(self, values: dict[str, str]) -> None:
        """Keep the strings."""
        self.said |= values

    def artifact(self, path: Path) -> None:
        """Keep the file's name."""
        self.files.append(path.name)


@pytest.fixture
def raw(workspace: Workspace, draw: Callable[..., Path], draw_mask: Callable[..., Path]) -> Path:
    """A raw folder of 20 normal images (10 of a train folder) and 10 defects, the first with a mask."""
    folder, entries = workspace.raw("part"), []
    for number in range(30):
        kind = "normal" if number < 20 else "defect"
        draw(folder / f"images/{kind}{number:02d}.png", number)
        entries.append(
            Entry(
                path=f"images/{kind}{number:02d}.png", label=kind, defect_type="dent" if number >= 20 else "", part_id=f"p{number}",
                mask="masks/defect20.png" if number == 20 else "", source_split="train" if number < 10 else "test",
            )
        )  # fmt: skip
    draw_mask(folder / "masks/defect20.png")
    (folder / "index.csv").write_text(index_text(entries))
    return folder


@pytest.fixture
def facts(raw: Path) -> pd.DataFrame:
    """What the manifest stage reads of these images, as far as labels touch it."""
    frame = pd.DataFrame([{name: getattr(entry, name) for name in Entry.__slots__} for entry in read_index(raw)])
    return frame.assign(sha256=[sha256_file(raw / path) for path in frame["path"]], mask_problem="", width=40.0)


def test_a_change_is_one_line_that_says_what_who_when_and_why(workspace: Workspace, raw: Path) -> None:
    file = workspace.labels("part")
    append_changes(file, {"images/defect20.png": "normal"}, raw, by=" Ann  Lee ", why='"a shadow",\nno dent')
    append_changes(file, {"images/normal03.png": "unsure", "images/normal04.png": "defect"}, raw, **SAID)
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) == 4 and text.endswith("\n") and text.startswith("at,path,sha256,label,by,why\n")
    first, second, third = read_changes(file)
    assert (first.path, first.label, first.by, first.why) == ("images/defect20.png", "normal", "Ann Lee", '"a shadow", no dent')
    assert first.sha256 == sha256_file(raw / "images/defect20.png")
    assert first.at < second.at == third.at and first.at.endswith("+00:00")


def test_a_clock_that_was_set_back_does_not_bring_an_older_word_back(workspace: Workspace, raw: Path) -> None:
    file = workspace.labels("part")
    file.parent.mkdir(parents=True)
    file.write_text(f"at,path,sha256,label,by,why\n2999-01-01T00:00:00+00:00,images/normal03.png,{'0' * 64},defect,Bo,x\n")
    append_changes(file, {"images/normal03.png": "normal"}, raw, **SAID)
    assert [change.label for change in read_changes(file)] == ["defect", "normal"]


def test_two_writers_at_once_lose_nothing(workspace: Workspace, raw: Path) -> None:
    """Four processes append fifteen lines each; every line is there, whole, once."""
    program = (
        "import sys; from pathlib import Path; from zeromiss.images.labels import append_changes\n"
        "file, raw, who = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]\n"
        "for number in range(15): append_changes(file, {'images/normal00.png': 'unsure'}, raw, by=who, why=f'turn {number}')\n"
    )
    file = workspace.labels("part")
    command = [sys.executable, "-c", program, str(file), str(raw)]
    running = [subprocess.Popen([*command, f"writer {number}"], env=dict(os.environ)) for number in range(4)]
    assert [process.wait(timeout=300) for process in running] == [0] * 4
    said = [(change.by, change.why) for change in read_changes(file)]
    assert sorted(said) == sorted((f"writer {who}", f"turn {turn}") for who in range(4) for turn in range(15))
    assert [why for by, why in said if by == "writer 2"] == [f"turn {turn}" for turn in range(15)]
    assert [path.name for path in file.parent.iterdir()] == ["part.csv"]


def test_a_kill_while_it_is_written_leaves_what_was_there(workspace: Workspace, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = workspace.labels("part")
    append_changes(file, {"images/normal03.png": "unsure"}, raw, **SAID)
    before = file.read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zeromiss.files.os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        append_changes(file, {"images/normal04.png": "unsure"}, raw, **SAID)
    assert file.read_bytes() == before and len(list(file.parent.iterdir())) == 1


def test_lines_of_two_branches_are_both_kept_by_git(repository: Path, workspace: Workspace, raw: Path) -> None:
    """As `.gitattributes` says: two people who change labels at the same time need not mend a conflict."""
    file, root = workspace.labels("part"), workspace.root

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(root), *arguments], check=True, capture_output=True)

    (root / ".gitattributes").write_text((repository / ".gitattributes").read_text())
    file.parent.mkdir(parents=True)
    file.touch()
    git("init", "-q", "-b", "one")
    git("add", ".gitattributes", "data/01_labels")
    git("commit", "-q", "-m", "none")
    git("checkout", "-q", "-b", "two")
    append_changes(file, {"images/normal03.png": "unsure"}, raw, by="Bo", why="first")
    git("commit", "-q", "-a", "-m", "Bo")
    git("checkout", "-q", "one")
    append_changes(file, {"images/normal03.png": "defect"}, raw, by="Ann", why="second")
    git("commit", "-q", "-a", "-m", "Ann")
    git("merge", "-q", "two", "-m", "both")
    assert [(change.by, change.label) for change in read_changes(file)] == [("Bo", "unsure"), ("Ann", "defect")]


def test_the_latest_word_on_an_image_counts(workspace: Workspace, raw: Path, facts: pd.DataFrame) -> None:
    """Back to what the source says is no change any more, but a confirmation."""
    file = workspace.labels("part")
    for word in ("unsure", "normal", "defect"):
        append_changes(file, {"images/defect20.png": word}, raw, **SAID)
    frame, told = apply_changes(facts, read_changes(file), file=file)
    pd.testing.assert_frame_equal(frame, facts)
    assert [len(told[kind]) for kind in ("changed", "unsure", "confirmed")] == [0, 0, 1]
    assert told["sentence"] == "1 label confirmed; by Ann Lee"


def test_what_changes_with_a_label(workspace: Workspace, raw: Path, facts: pd.DataFrame) -> None:
    """Mask and type go with a defect; an image of the train folder that turns out to be a defect cannot stay there."""
    file = workspace.labels("part")
    facts.loc[facts["path"] == "images/defect20.png", "mask_problem"] = "is damaged"
    append_changes(file, {"images/defect20.png": "normal", "images/normal03.png": "defect", "images/normal12.png": "unsure"}, raw, **SAID)
    frame, told = apply_changes(facts, read_changes(file), file=file)
    rows = frame.set_index("path")[["label", "defect_type", "mask", "mask_problem", "source_split"]]
    assert rows.loc["images/defect20.png"].tolist() == ["normal", "", "", "", "test"]
    assert rows.loc["images/normal03.png"].tolist() == ["defect", "defect", "", "", "test"]
    assert len(frame) == 29 and "images/normal12.png" not in rows.index
    untouched = ~facts["path"].isin(["images/defect20.png", "images/normal03.png", "images/normal12.png"])
    pd.testing.assert_frame_equal(frame[frame["path"].isin(facts["path"][untouched])].reset_index(drop=True), facts[untouched].reset_index(drop=True))
    assert told["sentence"] == "2 labels changed (1 to normal, 1 to defect), 1 unsure image set aside, in no split; by Ann Lee"
    planned = apply_to_entries(read_index(raw), read_changes(file))
    assert [(entry.path, entry.label, entry.mask, entry.source_split) for entry in planned] == list(
        frame[["path", "label", "mask", "source_split"]].itertuples(index=False, name=None)
    )


def test_an_image_that_is_there_twice_gets_one_label(workspace: Workspace, raw: Path, facts: pd.DataFrame) -> None:
    file = workspace.labels("part")
    (raw / "images/normal05.png").write_bytes((raw / "images/normal03.png").read_bytes())
    facts.loc[facts["path"] == "images/normal05.png", "sha256"] = sha256_file(raw / "images/normal03.png")
    append_changes(file, {"images/normal03.png": "unsure"}, raw, **SAID)
    frame, told = apply_changes(facts, read_changes(file), file=file)
    assert len(frame) == 28 and [one["path"] for one in told["unsure"]] == ["images/normal03.png", "images/normal05.png"]


def test_a_change_that_fits_no_image_is_refused(workspace: Workspace, raw: Path, facts: pd.DataFrame) -> None:
    file = workspace.labels("part")
    append_changes(file, {"images/normal03.png": "unsure"}, raw, **SAID)
    changes = read_changes(file)
    with pytest.raises(ZeromissError, match=r"part\.csv changes the label of images/normal03.png, which is not among the raw images: .* dvc pull"):
        apply_changes(facts[facts["path"] != "images/normal03.png"], changes, file=file)
    with pytest.raises(ZeromissError, match=r"images/normal03.png, whose content is not what Ann Lee looked at: look again"):
        apply_changes(facts.assign(sha256="0" * 64), changes, file=file)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("path,label\n", "must have the columns at, path, sha256, label, by, why: bring it back with git checkout"),
        ("at,path,sha256,label,by,why\n2026-01-01T00:00:00+00:00,a.png,00,normal,Ann\n", "line 2: expected at, path"),
        ("at,path,sha256,label,by,why\n2026-01-01T00:00:00+00:00,a.png,00,good,Ann,x\n", "line 2: expected .* a label of normal, defect, unsure"),
        ("at,path,sha256,label,by,why\nyesterday,a.png,00,normal,Ann,x\n", "line 2: expected at"),
    ],
)
def test_a_file_that_was_damaged_is_refused_and_not_added_to(workspace: Workspace, raw: Path, text: str, refusal: str) -> None:
    file = workspace.labels("part")
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(ZeromissError, match=refusal):
        read_changes(file)
    with pytest.raises(ZeromissError, match=refusal):
        append_changes(file, {"images/normal03.png": "unsure"}, raw, **SAID)
    assert file.read_text() == text


def test_an_image_that_is_not_here_cannot_have_been_looked_at(workspace: Workspace, raw: Path) -> None:
    (raw / "images/normal04.png").unlink()
    with pytest.raises(ZeromissError, match=r"normal04.png is not there, .* bring it back with dvc pull"):
        append_changes(workspace.labels("part"), {"images/normal03.png": "unsure", "images/normal04.png": "unsure"}, raw, **SAID)
    assert not workspace.labels("part").exists()


def test_an_image_is_named_by_its_path_or_by_a_file_name_of_its_own(workspace: Workspace, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [*read_index(raw), Entry(path="images/line2/normal03.png", label="normal", defect_type="", part_id="q", mask="", source_split="")]
    assert find_image("images/normal03.png", raw, entries).path == "images/normal03.png"
    assert find_image("normal04.png", raw, entries).path == "images/normal04.png"
    monkeypatch.chdir(workspace.root)
    assert find_image("data/01_raw/part/images/normal04.png", raw, entries).path == "images/normal04.png"
    with pytest.raises(ZeromissError, match=r"normal03.png is the name of 2 images of part \(images/normal03.png, images/line2/normal03.png\)"):
        find_image("normal03.png", raw, entries)
    with pytest.raises(ZeromissError, match=r"^nothing.png is no image of part: give a path of .*index.csv"):
        find_image("nothing.png", raw, entries)
    workspace.raw("other").mkdir()
    (workspace.raw("other") / "index.csv").write_text(index_text([entries[-1]]))
    with pytest.raises(ZeromissError, match="images/line2/normal03.png is no image of part, but one of other: "):
        find_image("images/line2/normal03.png", raw, entries[:-1])


def test_the_next_manifest_applies_the_changes_and_lists_them(
    make_product: Callable[..., Product], workspace: Workspace, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every image is in a split or on the list; the raw index stays as it came."""
    product, log, before = make_product(manifest={"mask": 4}, seed=5), Kept(), (raw / "index.csv").read_bytes()
    append_changes(workspace.labels("part"), {"images/defect20.png": "normal", "images/normal12.png": "unsure"}, raw, **SAID)
    manifest.run(product, workspace, log)
    rows = read_table(workspace.manifest("part") / "manifest.parquet", schema_version=2).set_index("path")
    told = read_json(workspace.manifest("part") / "labels.json", schema_version=1)
    assert (raw / "index.csv").read_bytes() == before
    assert set(rows.index) | {one["path"] for one in told["unsure"]} == {entry.path for entry in read_index(raw)}
    assert rows.loc["images/defect20.png", "label"] == "normal" and pd.isna(rows.loc["images/defect20.png", "mask"])
    [changed], [unsure] = told["changed"], told["unsure"]
    assert (changed["path"], changed["before"], changed["label"], changed["by"], changed["why"]) == ("images/defect20.png", "defect", "normal", *SAID.values())
    assert (unsure["path"], unsure["before"]) == ("images/normal12.png", "normal")
    sentence = "1 label changed (1 to normal), 1 unsure image set aside, in no split; by Ann Lee"
    assert f"\nlabels: {sentence}\n" in capsys.readouterr().out
    assert log.said["labels"] == sentence and log.files == ["labels.json"]
    assert {name: log.values[f"labels.{name}"] for name in ("changed", "unsure", "confirmed")} == {"changed": 1.0, "unsure": 1.0, "confirmed": 0.0}
    counts = json.loads((workspace.manifest("part") / "counts.json").read_text())["counts"]
    assert sum(of["normal"] for of in counts.values()) == 20 and sum(of["defect"] for of in counts.values()) == 9


def test_a_source_with_its_own_split_takes_a_defect_that_lay_in_its_train_folder(
    make_product: Callable[..., Product], workspace: Workspace, raw: Path
) -> None:
    product = make_product(manifest={"mask": 4, "split": "official"}, seed=5)
    append_changes(workspace.labels("part"), {"images/normal03.png": "defect"}, raw, **SAID)
    counts = manifest.run(product, workspace, NoLog())["counts"]
    assert counts["train"] == {"normal": 5, "defect": 0} and counts["table"]["defect"] + counts["audit"]["defect"] == 11
