"""Checks of a table by Great Expectations, with a Data Docs page that opens without a network."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from zeromiss.files import atomic_path

if TYPE_CHECKING:  # slow to import: only `validate` needs it, when it runs
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.expectations import Expectation

ROW = "row"  # column of the page: position of a failing row, from 0

_SECTIONS = re.compile(r'<div id="section-1" class=.*?(?=(?:\s*</div>){3}\s*<footer>)', re.DOTALL)
_REMOTE = re.compile(r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>", re.DOTALL)
_LINK_TO_SITE = re.compile(r'<a href="\.\./[^"]*"\s*>(.*?)</a>')
_SHELL = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Data checks: {name}</title><style>
  body {{ font: 15px/1.5 sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; }}
  table {{ border-collapse: collapse; margin: .5rem 0 1rem; }} th, td {{ border: 1px solid #ccc; padding: .3rem .6rem;
    text-align: left; vertical-align: top; }} h1, h5, h6 {{ margin: 0; }}
  .alert {{ background: #eef1f4; padding: .6rem 1rem; margin: 1rem 0 .5rem; }}
  .badge {{ background: #e2e6ea; padding: 0 .3rem; border-radius: .2rem; }}
  .text-danger {{ color: #a3150b; }} .text-warning {{ color: #a3150b; }} .text-success {{ color: #14691f; }}
  .fas {{ font-style: normal; }} .fa-check-circle::before {{ content: "passed"; }}
  .fa-times::before, .fa-exclamation-triangle::before {{ content: "failed"; font-weight: bold; }}
  .alert .fas::before {{ content: ""; }} .collapse, p:has(> a[data-toggle="collapse"]) {{ display: none; }}
</style></head><body><h1>Data checks: {name}</h1>
{sections}
</body></html>
"""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One expectation that the table did not meet.

    `expectation` is its type (`expect_column_values_to_be_unique`), `column` the column it looks at ('' for the
    whole table), `position` its place in the list of expectations, `rows` the positions of the failing rows from 0
    (empty where the expectation is about the whole column or table), `observed` what was found instead where that
    is one value, `meta` what the expectation was given as its `meta`.
    """

    expectation: str
    column: str
    position: int
    rows: tuple[int, ...]
    observed: Any
    meta: dict[str, Any]


def validate(
    frame: pd.DataFrame,
    expectations: Sequence["Expectation"],
    *,
    name: str,
    docs: Path,
    identify: Sequence[str] = ("path",),
) -> list[Failure]:
    """Check `frame`, write the Data Docs page `docs`/index.html, and return what failed, in the order given.

    The page is written whether or not anything failed; beside each failing value it shows the columns in
    `identify` that the frame has. An expectation that cannot be evaluated (its column is missing) is a failure.
    """
    shown = _escaped(frame.reset_index(drop=True)).assign(**{ROW: range(len(frame))})
    result = _run(shown, expectations, name, [ROW, *(column for column in identify if column in frame)])
    with atomic_path(docs / "index.html") as temporary:
        temporary.write_text(_page(result, name), encoding="utf-8")
    failures = [_failure(entry) for entry in result.results if not entry.success]
    return sorted(failures, key=lambda failure: failure.position)


def _escaped(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with its text made safe for a page, which Great Expectations does not see to."""
    text = frame.select_dtypes(include=["object", "string"]).columns
    safe = {
        column: frame[column].map(lambda value: html.escape(value, quote=False) if isinstance(value, str) else value)
        for column in text
        if frame[column].astype("str").str.contains("[&<>]").any()
    }
    return frame.assign(**safe)


def _run(
    frame: pd.DataFrame, expectations: Sequence["Expectation"], name: str, identify: list[str]
) -> "ExpectationSuiteValidationResult":
    """Evaluate the expectations in a context that lives in memory and reports to nobody."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            progress_bars={"globally": False},
            analytics_enabled=False,
        ),
    )
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset(name)
    suite = context.suites.add(gx.ExpectationSuite(name=name))
    for position, expectation in enumerate(expectations):
        expectation.meta = {**(expectation.meta or {}), "position": position}
        suite.add_expectation(expectation)
    definition = gx.ValidationDefinition(name=name, data=asset.add_batch_definition_whole_dataframe("all"), suite=suite)
    return context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": identify},
    )


def _failure(entry: Any) -> Failure:
    """Turn a failed result into a Failure."""
    config, result = entry.expectation_config, entry.result or {}
    meta = {key: value for key, value in config.meta.items() if key != "position"}
    listed = result.get("unexpected_index_list") or []
    return Failure(
        expectation=config.type,
        column=config.kwargs.get("column", ""),
        position=config.meta["position"],
        rows=tuple(sorted(int(item[ROW]) for item in listed)),
        observed=result.get("observed_value"),
        meta=meta,
    )


def _page(result: "ExpectationSuiteValidationResult", name: str) -> str:
    """Render the Data Docs sections in a page of their own: the stock page fetches its styles from seven sites."""
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    page = DefaultJinjaPageView().render(ValidationResultsPageRenderer(run_info_at_end=True).render(result))
    found = _SECTIONS.search(page)
    if found is None:
        raise RuntimeError("Great Expectations renders its page in another way than this version knows")
    sections = _LINK_TO_SITE.sub(r"\1", _REMOTE.sub("", found.group()))
    return _SHELL.format(name=name, sections=sections)
