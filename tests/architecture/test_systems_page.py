"""Every figure of docs/systems_results.md comes from the committed file, and the page draws no other conclusion from it."""

from benchmarks import systems
from benchmarks.systems_page import page, standing


def test_the_page_is_what_the_committed_comparisons_say():
    found = systems.read_found()
    assert sorted(found["products"]) == ["papers_all", "pcba", "solar_cell"]
    assert systems.PAGE.read_text(encoding="utf-8") == page(found)


def test_how_a_stack_stands_beside_the_best_system_of_one_detector():
    def system(mean: float, *detectors: str) -> dict:
        return {"detectors": list(detectors), "figures": {"fpr_at_zero_missed": {"mean": mean}}}

    judged = {"native.a": system(0.5, "a"), "columns.b": system(0.3, "b"), "stack": system(0.2, "a", "b"), "score_stack": system(0.1, "a", "b")}
    assert standing({"systems": judged}) == "lower"
    assert standing({"systems": judged | {"native.b": system(0.2, "b")}}) == "equal"
    assert standing({"systems": judged | {"native.b": system(0.1, "b")}}) == "higher"
