"""The README's commands exist: make targets are targets, zeromiss commands parse."""

import re
import shlex
import subprocess

import pytest

from zeromiss.commands import parser


def commands(repository):
    """Every line of the README's shell blocks, comments and continuations resolved."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if shlex.split(line, comments=True)]


def test_the_first_commands_are_the_two_make_targets(repository):
    assert commands(repository)[:2] == [["make", "run"], ["make", "test"]]


def test_every_make_command_is_a_target(repository):
    for words in commands(repository):
        if words[0] == "make":
            dry = subprocess.run(["make", "--dry-run", *words[1:]], cwd=repository, capture_output=True, check=False)
            assert dry.returncode == 0, words


def test_every_zeromiss_command_parses(repository):
    whole = parser()
    found = [words for words in commands(repository) if words[0] == "zeromiss"]
    assert len(found) >= 5
    for words in found:
        assert callable(whole.parse_args(words[1:]).command), words


@pytest.mark.parametrize("command", ["run", "ingest", "inspect", "promote", "product add", "plan", "audit", "rebuild", "diff", "ablate", "deploy", "schedule", "rollback", "history", "serve", "export", "labels"])
def test_the_readme_shows_every_command(repository, command):
    assert f"zeromiss {command}" in (repository / "README.md").read_text(encoding="utf-8")
