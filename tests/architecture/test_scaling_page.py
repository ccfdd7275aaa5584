"""docs/scaling.md says what the committed figures say."""

import json

from benchmarks.growth.page import page
from benchmarks.measure import RESULTS


def test_the_page_is_what_the_committed_figures_say(repository):
    figures = json.loads((RESULTS / "scaling.json").read_text(encoding="utf-8"))["figures"]
    assert (repository / "docs" / "scaling.md").read_text(encoding="utf-8") == page(figures)
