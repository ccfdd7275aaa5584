"""What words of labels mean, in all sources alike, and which are asked about instead of guessed."""

import pytest

from zeromiss.errors import ZeromissError
from zeromiss.images.sources.csv import list_csv
from zeromiss.images.sources.mvtec import list_mvtec
from zeromiss.images.inbox.survey import survey
from zeromiss.images.inbox.place import Found
from zeromiss.images.digests import Signature
from zeromiss.images.vocabulary import LANGUAGES, Vocabulary, fold, kind_name
from zeromiss.params import resolve_product
from zeromiss.stage_params import LabelParams

NORMAL = ["good", "Good", "GOOD", "ok", "OK", "pass", "no defect", "No-Defect", "no_defects", "defect-free", "clean", "i.O.", "in Ordnung", "sans défaut", "SANS  DEFAUT", "良品"]
UNLABELLED = ["unsure", "Unknown", "un-labelled", "unlabeled", "ungeprüft", "UNGEPRÜFT", "未知", "to do"]
UNNAMED = ["defect", "NG", "nok", "not ok", "n.i.O.", "bad", "faulty", "不良品"]
NAMED = {
    "Scratch": "scratch", "broken large": "broken_large", "Broken-Large": "broken_large", "pin-hole": "pin_hole", "open": "open", "gold": "gold", "stain": "stain",
    "faulty_imprint": "faulty_imprint", "logical_anomalies": "logical_anomalies", "abnormal edge": "abnormal_edge", "incorrect polarity": "incorrect_polarity",
    "passivation": "passivation", "no solder": "no_solder", "rolled-in_scale": "rolled_in_scale", "Ölfleck": "ölfleck", "wood": "wood", "missing": "missing",
}  # fmt: skip
ASKED = [
    "", " ", "?", "-", "2", "2024-05-01", "true", "false", "yes", "none", "null", "nan", "other", "fine", "perfect", "goood", "godo", "good parts", "good1", "goodparts",
    "ok_2024", "Gut 2", "unkown", "normla", "nearly good", "not quite ok", "scratch-free", "no crack", "without scratches", "不正常", "no label", "default", "new scratch",
]  # fmt: skip


@pytest.fixture
def vocabulary():
    """All languages, and no words of a product's own."""
    return Vocabulary()


def test_words_of_every_language_mean_what_they_mean(vocabulary):
    assert {vocabulary.read(word, where="here") for word in NORMAL} == {("normal", "")}
    assert {vocabulary.read(word, where="here") for word in UNLABELLED} == {("unlabelled", "")}
    assert {vocabulary.read(word, where="here") for word in UNNAMED} == {("defect", "defect")}
    assert {word: vocabulary.read(word, where="here").kind for word in NAMED} == NAMED


def test_no_word_of_the_table_has_two_meanings():
    meanings = {}
    for words in LANGUAGES.values():
        for meaning, text in enumerate(words):
            for word in text.split(", "):
                assert meanings.setdefault(fold(word).replace(" ", ""), meaning) == meaning, word


@pytest.mark.parametrize("word", ASKED)
def test_what_looks_like_good_or_unknown_is_asked_about(vocabulary, word):
    with pytest.raises(ZeromissError, match=r"^here: the label .*: add it to ingest.labels.normal, ingest.labels.defect or ingest.labels.unlabelled in params.yaml, or rename it$"):
        vocabulary.read(word, where="here")


def test_a_number_is_a_class_in_a_column_and_no_label_of_a_folder(vocabulary):
    assert [vocabulary.read(word, where="here").label for word in "01"] == ["normal", "defect"]
    for word in "01":
        with pytest.raises(ZeromissError, match="has no letter"):
            vocabulary.read(word, where="here", folder=True)


def test_words_of_a_product_outrank_the_table():
    mine = Vocabulary(LabelParams(normal=("Lot A", "0"), defect=("pass through", "OK"), unlabelled=("neu",)), key="products.bolt.ingest.labels")
    assert mine.read("lot-a", where="here").label == mine.read("0", where="here", folder=True).label == "normal"
    assert [mine.read(word, where="here").kind for word in ("Pass-Through", "ok")] == ["pass_through", "ok"]
    assert mine.read("NEU", where="here").label == "unlabelled"
    with pytest.raises(ZeromissError, match="add it to products.bolt.ingest.labels.normal"):
        mine.read("lot a b good", where="here")


def test_a_word_of_params_has_one_meaning(tmp_path):
    tree = {"profiles": {"quick": {}}, "products": {"part": {"source": {"kind": "mvtec"}, "ingest": {"labels": {"normal": ["io"], "defect": ["IO"]}}}}}
    with pytest.raises(ZeromissError, match="products.part.ingest.labels: .*listed twice: each has one meaning"):
        resolve_product(tree, "part", origin=tmp_path / "params.yaml")


@pytest.mark.parametrize("word", ["Good", "ok", "no defect", "clean", "unsure", "NG", "Broken-Large", "goood", "none"])
def test_a_word_means_the_same_in_every_source(tmp_path, draw, word):
    """A CSV file, a folder of images and an inbox: one meaning, or one question."""
    draw(tmp_path / "csv/a.png", 1)
    draw(tmp_path / "csv/b.png", 2)
    (tmp_path / "csv/t.csv").write_text(f"path,label\na.png,{word}\nb.png,good\n")
    draw(tmp_path / f"folder/test/{word}/a.png", 1)
    draw(tmp_path / "folder/train/good/b.png", 2)

    def of_csv():
        return [record.defect_type for record in list_csv(tmp_path / "csv/t.csv").records if record.file.name == "a.png"]

    def of_folder():
        return [record.defect_type for record in list_mvtec(tmp_path / "folder").records if record.file.name == "a.png"]

    found = survey([Found(f"{word}/a.png", Signature(10, 0, 1, 0))], now=1e6, settle_seconds=0)
    if found.asked:
        for read in (of_csv, of_folder):
            with pytest.raises(ZeromissError, match="ingest.labels.normal"):
                read()
    else:
        assert of_csv() == of_folder() == [image.kind for image in found.images]


def test_names_of_kinds_do_not_depend_on_how_they_are_joined():
    assert {kind_name(word) for word in ("Broken Large", "broken-large", "BROKEN_LARGE", "broken  large ")} == {"broken_large"}
