"""From inspected files to the monitor's page with a real registry: commands as a person types them."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from tests.inspection_parts import MeanClassifier, MeanMeasurer, grey_file
from tests.registry_parts import register, write_bundle
from zeromiss.cli import main
from zeromiss.errors import ZeromissError
from zeromiss.inspection.ledger import read
from zeromiss.registry.watched import watched
from zeromiss.tables import write_table


def write_metric_table(workspace, values, label="normal"):
    """Write a metric table of these normal images' means, and one defect."""
    rows = [{"path": f"{number}.png", "sha256": str(number), "label": label, "defect_type": "", "part_id": str(number), "mean": value} for number, value in enumerate(values)]
    rows.append({"path": "d.png", "sha256": "d", "label": "defect", "defect_type": "scratch", "part_id": "d", "mean": 0.95})
    write_table(workspace.metrics("tiny") / "table.parquet", pd.DataFrame(rows), schema_version=1)


@pytest.fixture
def model(tiny, tracked, monkeypatch):
    """Version 1 of a model whose score is the mean brightness, chosen on normal images of 0.15 to 0.35; we stand in its workspace."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from zeromiss.inspection.inspector import Inspector
    from zeromiss.inspection.verdict import ModelName

    def load(cls, bundle, *, model_name=None, model_version=None):
        model = ModelName(name=model_name, version=str(model_version))
        return cls(measurer=MeanMeasurer(), classifier=MeanClassifier(), features=("mean",), threshold=0.5, size=32, model=model)

    monkeypatch.setattr(Inspector, "load", classmethod(load))
    monkeypatch.chdir(tracked.root)
    text = tracked.params_file.read_text().rstrip() + "\n    inspection: {overlays: false}\n    monitor: {permutations: 99, false_alarm: 0.02}\n"
    tracked.params_file.write_text(text)
    write_metric_table(tracked, np.linspace(0.15, 0.35, 40))
    write_bundle(tracked, files={"weights.txt": "w"}, features=["mean"])
    assert register(tiny, tracked) == "1"
    with temporary_settings(restore_defaults=[PREFECT_API_URL]):  # another test's server may be this process's
        yield tracked


def photograph(folder, greys):
    """Write one grey file of 32 pixels each, no two of the same bytes."""
    for number, grey in enumerate(greys):
        grey_file(folder / f"{number:03d}.png", int(grey))
    return folder


def test_a_model_is_watched_with_the_table_it_was_registered_with(model):
    write_metric_table(model, np.linspace(0.7, 0.9, 40))  # of a later model, which is not in charge
    found = watched("tiny", model)
    assert found.version == "1" and list(found.normals.columns) == ["mean"]
    assert len(found.normals) == 40 and found.normals["mean"].max() == pytest.approx(0.35)
    assert (found.expected_fpr, found.expected_from) == (0.2, "on the table's own images, out of fold")


def test_inspect_judge_monitor(model, tmp_path, capsys):
    new = photograph(tmp_path / "new", np.linspace(38, 90, 40))
    assert main(["inspect", "tiny", str(new)]) == 0
    assert main(["inspect", "tiny", str(new)]) == 0
    assert read(model.verdicts("tiny")).num_rows == 40  # the same images again add no rows
    assert main(["monitor", "tiny"]) == 0
    told = capsys.readouterr().out
    assert "tiny: version 1 works on images like those it was chosen on." in told and told.rstrip().endswith("17_monitor/tiny/monitor.html")

    assert main(["judge", "tiny", str(new / "007.png"), "--as", "defect", "--by", "Ada", "--why", "came back"]) == 0
    assert "is a defect, says Ada" in capsys.readouterr().out
    assert main(["monitor", "tiny"]) == 0
    told = capsys.readouterr().out
    assert "tiny: version 1 should be trained anew: a defect was missed." in told
    assert "Nobody was told: no Prefect server of your own runs (PREFECT_API_URL)." in told
    found = json.loads((model.monitor("tiny") / "monitor.json").read_text())
    assert found["reasons"] == ["missed"] and found["told"] is None and found["drift"]["table_images"] == 40

    assert main(["judge", "tiny", found["missed"][0][:12], "--as", "normal"]) == 0
    assert main(["monitor", "tiny"]) == 0
    assert "Missed defects: none is known." in capsys.readouterr().out


def test_what_was_told_is_told_again_only_for_a_new_reason(model, tmp_path, monkeypatch):
    import tasks.events
    from tasks.monitor import check_and_tell

    sent = []
    monkeypatch.setattr(tasks.events, "tell", lambda event, product, sentence, **facts: sent.append((event, product, facts["reasons"])) or True)
    main(["inspect", "tiny", str(photograph(tmp_path / "new", np.linspace(95, 134, 40)))])
    for _ in range(2):
        assert check_and_tell("tiny", model.root)["reasons"] == ["drift"]
    assert sent == [("zeromiss.drift", "tiny", ["drift"])]
    main(["judge", "tiny", str(tmp_path / "new/003.png"), "--as", "defect"])
    check_and_tell("tiny", model.root)
    assert sent[1:] == [("zeromiss.drift", "tiny", ["drift", "missed"])]
    shutil.rmtree(model.judgements("tiny"))
    assert check_and_tell("tiny", model.root)["reasons"] == ["drift"]
    assert len(sent) == 2


def test_a_model_registered_without_its_table_cannot_be_watched(tiny, tracked, monkeypatch):
    monkeypatch.chdir(tracked.root)
    write_bundle(tracked, files={"weights.txt": "w"}, features=["mean"])
    register(tiny, tracked)
    with pytest.raises(ZeromissError, match="zeromiss-tiny version 1 was registered without its table's normal images"):
        watched("tiny", tracked)


def test_what_was_never_inspected_is_refused_with_exit_code_2(model, capsys):
    assert main(["judge", "tiny", "0123456789abcdef", "--as", "normal"]) == 2
    assert "no verdict about 0123456789abcdef is kept" in capsys.readouterr().err
    assert main(["monitor", "tiny"]) == 2
    assert "version 1 of tiny has judged no images yet" in capsys.readouterr().err
