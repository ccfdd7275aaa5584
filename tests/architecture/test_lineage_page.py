"""docs/lineage.md names commands that parse, and tags and folders that the code writes."""

import re
import shlex

import pytest

from zeromiss.commands import parser
from zeromiss.inspection.bundle import MANIFEST
from zeromiss.registry import publish, seal, source


@pytest.fixture(scope="module")
def page(repository):
    """The page's text."""
    return (repository / "docs" / "lineage.md").read_text(encoding="utf-8")


def test_every_command_parses(page):
    lines = [shlex.split(line, comments=True) for block in re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL) for line in block.splitlines()]
    assert [words[:2] for words in lines] == [["zeromiss", "audit"], ["zeromiss", "rebuild"], ["zeromiss", "diff"]]
    for words in lines:
        assert callable(parser().parse_args(words[1:]).command)


@pytest.mark.parametrize(
    "name",
    [
        publish.BUNDLE_TAG, MANIFEST, seal.tag(seal.MODEL), seal.tag(seal.SOURCE), f"{seal.FOLDER}/{seal.MODEL}.json",
        f"{seal.FOLDER}/{seal.SOURCE}.json", source.COMPLETE, source.MISSING, source.CHANGES, f"{source.UNTRACKED}/", f"{source.FOLDER}/",
    ],
)  # fmt: skip
def test_what_the_page_names_is_what_the_code_writes(page, name):
    assert f"`{name}`" in page
