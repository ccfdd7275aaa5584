"""The page about the choice of the winner shows the committed figures."""

import json


def table_row(way, entry):
    """One row of the page's table."""
    def spread(name, scale, digits):
        return f"{scale * entry[name]['mean']:.{digits}f} ± {scale * entry[name]['std']:.{digits}f}"

    less = "-" if way == "before" else f"{100 * entry['fpr']['less_before']:+.1f} (p = {entry['fpr']['p_value']:.3f})"
    figures = (spread("fpr", 100, 1), less, spread("fnr", 100, 1), spread("auroc", 1, 4), spread("pg5", 100, 1))
    return f"| `{way}` | {entry['resamples']} | {' | '.join(figures)} |"


def test_the_study_is_the_committed_one(repository):
    found = json.loads((repository / "benchmarks/choice/measured.json").read_text(encoding="utf-8"))["sets"]["solar_cell"]["summary"]
    page = (repository / "docs/choice.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `") and "±" in line]
    assert rows == [table_row(way, entry) for way, entry in found.items()]
    assert found["candidates"]["fpr"]["less_before"] < 0 and found["candidates"]["fpr"]["std"] < found["before"]["fpr"]["std"]
