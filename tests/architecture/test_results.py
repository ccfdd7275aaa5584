"""Every figure of docs/results.md comes from a committed result file."""

import importlib.util

from zeromiss.params import load_product


def test_the_page_is_what_the_committed_results_say(repository):
    spec = importlib.util.spec_from_file_location("results", repository / "benchmarks" / "results.py")
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)
    found = results.read_results()
    assert sorted(found) == ["pcba", "solar_cell"]
    assert (repository / "docs" / "results.md").read_text(encoding="utf-8") == results.page(found, results.read_seeds())
    for product, result in found.items():
        assert result["summary"]["product"] == product
        assert tuple(result["families"]["families"]) == load_product(repository / "params.yaml", product).selection.families
