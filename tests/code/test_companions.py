"""References and designs at an inspection: what the options and a request name, what a bundle stores, and what is refused."""

import asyncio
import base64
from pathlib import Path

import httpx
import pytest

from tests.code.test_serving_judge import make_service
from tests.inspection_parts import MeanClassifier, MeanMeasurer, MODEL, SIZE, grey_file
from zeromiss.errors import ZeromissError
from zeromiss.files import sha256_file
from zeromiss.images.references import Companion
from zeromiss.inspection.batch import inspect_paths
from zeromiss.inspection.companions import name_companions
from zeromiss.inspection.inspector import Inspector
from zeromiss.serving.app import make_app


class Against(MeanMeasurer):
    """Measures how much brighter an image is than its reference, and keeps what came with it."""

    def __init__(self):
        self.seen = []

    def measure(self, image_CHW, features=None, context=None):
        self.seen.append((context.reference_sha256, context.design))
        found = super().measure(image_CHW)
        found.features["mean"] -= float(context.reference_CHW.double().mean())
        return found


def inspector(*, designs=(), references=None):
    """Return an inspector whose score is the difference of two mean brightnesses."""
    measurer = Against()
    made = Inspector(
        measurer=measurer, classifier=MeanClassifier(), features=("mean",), threshold=0.2, size=SIZE, model=MODEL,
        designs=designs, references=references, needs_reference=True,
    )  # fmt: skip
    return made, measurer


def test_an_image_is_judged_with_its_reference(tmp_path: Path) -> None:
    image, dark, light = (grey_file(tmp_path / name, value) for name, value in (("i.png", 153), ("d.png", 51), ("l.png", 138)))
    judge, measurer = inspector()
    assert judge.inspect(image, companion=Companion(reference=dark)).score == pytest.approx(0.4, abs=1e-6)
    assert judge.inspect(image, companion=Companion(reference=light)).verdict == "normal"
    assert measurer.seen == [(sha256_file(dark), ""), (sha256_file(light), "")]
    with pytest.raises(ZeromissError, match="compares each image with its own reference, and none was given: name it with --reference"):
        judge.inspect(image)
    with pytest.raises(ZeromissError, match="learned one design alone, without a name: leave 'x' out"):
        judge.inspect(image, companion=Companion(reference=dark, design="x"))


def test_a_design_alone_is_enough_where_the_bundle_has_its_reference(tmp_path: Path) -> None:
    image, dark, light = (grey_file(tmp_path / name, value) for name, value in (("i.png", 153), ("d.png", 51), ("l.png", 102)))
    judge, measurer = inspector(designs=("a", "b"), references={"a": dark})
    assert judge.inspect(image, companion=Companion(design="a")).score == pytest.approx(0.4, abs=1e-6)
    assert judge.inspect(image, companion=Companion(reference=light, design="a")).score == pytest.approx(0.2, abs=1e-6)
    assert measurer.seen == [(sha256_file(dark), "a"), (sha256_file(light), "a")]
    for companion, told in ((None, "names no design"), (Companion(design="c"), "the design 'c' is none of those"), (Companion(design="b"), "none was given")):
        with pytest.raises(ZeromissError, match=told):
            judge.inspect(image, companion=companion)


def test_a_folder_s_images_are_each_told_apart(tmp_path: Path) -> None:
    images = [grey_file(tmp_path / f"new/{name}.png", 153) for name in "ab"]
    reference = grey_file(tmp_path / "cad/a.png", 51)
    judge, measurer = inspector()
    found = inspect_paths(judge, images, progress=False, companion_of=name_companions(reference=None, references=tmp_path / "cad", design=""))
    assert [Path(one.path).name for one in found.verdicts] == ["a.png"] and measurer.seen == [(sha256_file(reference), "")]
    assert [one.error for one in found.errors] == [f"{tmp_path / 'cad'} holds 0 references with the name b: put one there"]


def test_a_csv_names_reference_and_design_by_path_or_file_name(tmp_path: Path) -> None:
    image, reference = grey_file(tmp_path / "new/a.png", 1), grey_file(tmp_path / "cad/one.png", 2)
    table = tmp_path / "list.csv"
    table.write_text("path,reference,design\nnew/a.png,cad/one.png,top\nold/b.png,cad/one.png,\n")
    of = name_companions(reference=None, references=table, design="")
    assert of(image) == Companion(reference=reference, design="top") == of(Path("elsewhere/a.png"))
    assert name_companions(reference=None, references=table, design="side")(Path("b.png")).design == "side"
    for path, told in ((Path("c.png"), "has no line for c.png"), (image, "gives .* the design top and --design is side")):
        with pytest.raises(ZeromissError, match=told):
            name_companions(reference=None, references=table, design="side")(path)
    table.write_text("path,reference\nnew/a.png,cad/none.png\n")
    with pytest.raises(ZeromissError, match="line 2: the reference 'cad/none.png' is missing"):
        name_companions(reference=None, references=table, design="")
    table.write_text("image,reference\na,b\n")
    with pytest.raises(ZeromissError, match="must have the columns path and reference"):
        name_companions(reference=None, references=table, design="")


def test_options_name_one_for_all_or_nothing(tmp_path: Path) -> None:
    reference = grey_file(tmp_path / "r.png", 2)
    assert name_companions(reference=reference, references=None, design="")(Path("a.png")) == Companion(reference=reference)
    assert name_companions(reference=None, references=None, design="top")(Path("a.png")) == Companion(design="top")
    assert name_companions(reference=None, references=None, design="")(Path("a.png")) is None
    with pytest.raises(ZeromissError, match="give one of the two"):
        name_companions(reference=reference, references=tmp_path, design="")
    with pytest.raises(ZeromissError, match="the reference .* is missing: name an image file"):
        name_companions(reference=tmp_path / "none.png", references=None, design="")


def test_a_request_has_fields_for_both(tmp_path: Path) -> None:
    image, dark = grey_file(tmp_path / "i.png", 153), grey_file(tmp_path / "d.png", 51)
    judge, measurer = inspector(designs=("a",))
    service = make_service(judge)

    async def ask() -> list[httpx.Response]:
        """Send a form, JSON, a batch, and three that are refused."""
        transport = httpx.ASGITransport(make_app(service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
            files = {"image": image.read_bytes(), "reference": dark.read_bytes()}
            coded = {key: base64.b64encode(value).decode() for key, value in files.items()}
            return [
                await client.post("/inspect", files=files, data={"design": "a"}),
                await client.post("/inspect", json=coded | {"design": "a"}),
                await client.post("/inspect/batch", files=[("images", files["image"])] * 2 + [("reference", files["reference"])], data={"design": "a"}),
                await client.post("/inspect", files={"image": files["image"]}, data={"design": "a"}),
                await client.post("/inspect", files=files),
                await client.post("/inspect", files=files | {"reference": b"no picture"}, data={"design": "a"}),
                await client.post("/inspect", files={"image": files["image"]}, data={"reference": "text", "design": "a"}),
            ]

    form, coded, batch, without, undesigned, broken, text = asyncio.run(ask())
    assert [one.json()["score"] for one in (form, coded)] == pytest.approx([0.4, 0.4], abs=1e-6)
    assert [one["score"] for one in batch.json()["results"]] == pytest.approx([0.4, 0.4], abs=1e-6)
    assert set(measurer.seen) == {(sha256_file(dark), "a")}
    assert [one.status_code for one in (without, undesigned, broken, text)] == [422, 422, 422, 400]
    assert "none was given" in without.json()["error"] and "names no design" in undesigned.json()["error"]
    assert "is not an image that can be read" in broken.json()["error"] and "/tmp" not in broken.json()["error"]
    assert "one file in the field reference" in text.json()["error"]
