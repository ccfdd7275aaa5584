"""The plan as a whole: what fits, what to change if it does not, and how it is shown."""

import json
from types import SimpleNamespace

import pytest

from tests.workspace_parts import PROFILE
from zeromiss import cli
from zeromiss.detector_params import VqganParams
from zeromiss.image_size import ImageSize
from zeromiss.params import Product
from zeromiss.planning import plan as plans
from zeromiss.planning.counts import Counts
from zeromiss.planning.devices import CARDS, GIB
from zeromiss.planning.paper_step import Memory
from zeromiss.planning.pipeline import Extraction, Fits
from zeromiss.planning.text import render

PARAMS = PROFILE + """\
  tiny:
    profile: quick
    source: {kind: csv, path: images.csv}
    vqgan: {channels: [8, 16], codes: 8, code_dim: 4, crop: null, batch: 2, critic_start: 5, critic_warmup: 5, codebook_start: 2, steps: 20}
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A workspace with one product and no images."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def of_gib(weights, activations):
    """Return a step on paper that needs so much."""
    memory = Memory(weights=weights * GIB, gradients=0, optimiser=0, peak=(weights + activations) * GIB)
    return SimpleNamespace(memory=memory)


def test_the_plan_is_printed_before_any_ingest(tiny, capsys):
    assert cli.main(["plan", "tiny", "--device", "l4"]) == 0
    text = capsys.readouterr().out
    assert "tiny on paper: profile quick, 64 px, batch 2, bf16, 20 steps on one l4" in text
    assert "assumed, not measured" in text.replace("\n    ", " ")
    assert "not known yet: zeromiss ingest tiny" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_the_plan_as_json(tiny, capsys):
    assert cli.main(["plan", "tiny", "--device", "h100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] is None and found["extraction"] is None and found["selection"] is None
    memory = found["training"]["memory"]
    assert memory["as_set"]["fits"] and not memory["as_set"]["gradient_checkpointing"]
    assert memory["otherwise"]["gradient_checkpointing"]
    parts = memory["as_set"]
    assert parts["peak"] == parts["weights"] + parts["gradients"] + parts["optimiser"] + parts["activations"]
    stretches = found["training"]["stretches"]
    assert [part["first"] for part in stretches] == [0, 2, 5, 10]
    assert found["training"]["hours"] == pytest.approx(sum(part["steps"] * part["seconds"] for part in stretches) / 3600)
    assert 0 < found["training"]["reached"] < 0.5


def test_an_unknown_device_ends_with_a_sentence(tiny, capsys):
    assert cli.main(["plan", "tiny", "--device", "tpu"]) == 2
    assert "unknown device 'tpu': choose one of cpu," in capsys.readouterr().err


def test_what_fits_needs_no_advice():
    steps = {False: of_gib(1, 10), True: of_gib(1, 2)}
    assert plans.advice(VqganParams(), 256, steps, CARDS["l4"]) == ()


def test_what_does_not_fit_is_told_what_to_change():
    steps = {False: of_gib(2, 80), True: of_gib(2, 30)}
    card = CARDS["a6000"]  # 48 GB less 2 GB: 42.8 GiB
    lines = plans.advice(VqganParams(batch=4, crop=None), 1024, steps, card)
    assert lines == (
        "A step needs 82.0 GiB and a6000 has 42.8 GiB for it.",
        "vqgan.gradient_checkpointing: true needs 32.0 GiB, which fits.",
        "vqgan.batch: 2 fits (it is 4).",  # 40.8 GiB of 80: 2.04 images
        "size: 704 fits (it is 1024).",  # by the root of 0.51, in steps of 32
    )


def test_checkpointing_that_is_on_is_not_advised_again():
    steps = {False: of_gib(2, 900), True: of_gib(2, 80)}
    lines = plans.advice(VqganParams(batch=1, crop=512, gradient_checkpointing=True), 1024, steps, CARDS["a6000"])
    assert [line.split(":")[0] for line in lines[1:]] == ["vqgan.crop"]


def test_weights_that_are_too_large_are_named():
    lines = plans.advice(VqganParams(), 256, dict.fromkeys((False, True), of_gib(60, 1)), CARDS["a6000"])
    assert lines[-1].startswith("Weights and optimiser alone are too large")


def test_the_page_shows_the_rest_of_the_pipeline_and_every_warning():
    product = Product.model_validate(
        {"name": "bolt", "profile": "paper", "size": 1024, "source": {"kind": "elpv"}}
        | {section: {} for section in ("manifest", "vqgan", "metrics", "selection", "threshold", "promotion", "inspection")}
    )
    memory = {False: of_gib(1, 60).memory, True: of_gib(1, 9).memory}
    training = plans.Training(
        parameters={"generator": 68_849_283}, size=ImageSize(96, 96), memory=memory, flops={False: 1, True: 2}, fits={False: False, True: True},
        stretches=(plans.Stretch(first=0, steps=1000, flops=2 * 10**13, seconds=0.5),), hours=50.0, reached=0.31,
        advice=("A step needs 61.0 GiB and a6000 has 42.8 GiB for it.",),
    )  # fmt: skip
    shown = plans.Plan(
        product=product, device=CARDS["a6000"], training=training,
        counts=Counts(train=360, mask=30, normals=300, defects=48, source="the manifest"),
        extraction=Extraction(images=378, rows=348, columns=244, table_bytes=1_100_000, seconds_per_image=0.8, minutes=2.5),
        fits=Fits(draws=6000, fits=34_176, minutes=180),
    )  # fmt: skip
    text = render(shown)
    lines = text.splitlines()
    assert "  generator                   68,849,283" in lines
    assert any(line.split() == ["peak", "61.00", "10.00"] for line in lines)
    assert any(line.split() == ["fits", "NO", "yes"] for line in lines)
    assert "! A step needs 61.0 GiB and a6000 has 42.8 GiB for it." in lines
    assert "  50.0 hours in all, 31 % of the device's peak rate" in lines
    assert "300 normals and 48 defects are measured" in text.replace("\n    ", " ")
    assert "extraction: 378 images, 0.80 s each on a core, 2 minutes" in text
    assert "table: 348 rows, 244 columns, 1.10 MB" in text
    assert "selection: 6,000 candidates, at most 34,176 fits and 3.0 hours" in text
    assert json.dumps(shown.content())
