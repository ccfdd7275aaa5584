"""docs/production.md: what it says was measured is what the committed result holds."""

import json

from scipy.stats import binomtest


def test_the_monitors_figures_are_those_measured(repository):
    page = " ".join((repository / "docs/production.md").read_text(encoding="utf-8").split())
    found = json.loads((repository / "benchmarks/drift/measured.json").read_text(encoding="utf-8"))
    high = binomtest(found["alarms"], found["weeks"]).proportion_ci(method="exact").high
    assert f"drawn boards of 128 pixels, {found['boards_a_week']} a week, against a table of {found['table_normals']}" in page
    assert f"{found['alarms']} alarms in {found['weeks']} unchanged weeks of boards of their own (95 % interval of the rate: 0 to {100 * high:.1f} %; {found['p_up_to_0.05']} week had p" in page
    assert f"the first alarm came in week {found['alarm_in_week']}; the share of good boards called abnormal ({found['line_boards']} boards at each brightness, {100 * found['line_fpr']:g} % before) had doubled in week {found['fpr_doubled_in_week']}" in page
    assert found["alarms"] == 0 and found["alarm_in_week"] < found["fpr_doubled_in_week"]


def test_the_exports_figures_are_those_measured(repository):
    page = " ".join((repository / "docs/production.md").read_text(encoding="utf-8").split())
    found = json.loads((repository / "benchmarks/export/measured.json").read_text(encoding="utf-8"))
    engines, families = ("onnxruntime", "openvino"), found["families"]
    assert (found["winner"], found["n"], len(families), found["tolerance"]) == ("et", 122, 13, 1e-4)
    exported = [", ".join(name for name in families if not families[name][engine]["above_tolerance"]) for engine in engines]
    assert f"| on all images: exported | {' | '.join(exported)} |" in page
    refused = [
        ", ".join(f"{name} ({one[engine]['above_tolerance']}, {one[engine]['largest']:.4f})" for name, one in families.items() if one[engine]["above_tolerance"])
        for engine in engines
    ]
    assert f"and the largest difference | {' | '.join(refused)} |" in page
    assert all(families["et"][engine]["largest"] == 0.0 for engine in engines)
    assert {one[engine]["flipped"] for one in families.values() for engine in engines} == {0}
    assert f"by {found['columns']['onnxruntime']['median']:.0e} of its standard deviation" in page


def test_the_exports_speed_is_that_measured(repository):
    page = " ".join((repository / "docs/production.md").read_text(encoding="utf-8").split())
    figures = json.loads((repository / "benchmarks/results/edge.json").read_text(encoding="utf-8"))["figures"]
    first, second, networks = ((f"{one['value']:.2f}", f"({one['spread'][0]:.2f} to {one['spread'][1]:.2f})") for one in figures)
    assert f"onnxruntime {first[0]} times as fast as torch {first[1]}, OpenVINO {second[0]} times {second[1]}" in page
    assert f"by OpenVINO {networks[0]} times as fast as by onnxruntime {networks[1]}" in page
