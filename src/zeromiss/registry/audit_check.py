"""A check of an audit: what was compared, and what does not match.

A check differs when something contradicts what was written down at registration or at a decision. What an older
program did not write down is `not stored`: a gap, told as such, and no contradiction.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

State = Literal["intact", "differs", "not stored"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that does not match: a file or another name, how, and a sentence."""

    name: str
    how: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was compared, how much of it, and what does not match; `note` says what could not be compared and why."""

    what: str
    compared: int = 0
    findings: tuple[Finding, ...] = ()
    note: str = ""

    @property
    def state(self) -> State:
        """How it ended."""
        if self.findings:
            return "differs"
        return "intact" if self.compared else "not stored"

    def content(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "what": self.what,
            "state": self.state,
            "compared": self.compared,
            "findings": [vars(finding) for finding in self.findings],
            "note": self.note,
        }


def read_mapping(folder: Path | None, name: str) -> dict[str, Any]:
    """Return a JSON file's content, empty where it is missing or holds something else: other checks name that."""
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8")) if folder is not None else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def section(content: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a part of a JSON file's content, empty where it is missing or holds something else."""
    part = content.get(key)
    return part if isinstance(part, dict) else {}


def lost(name: str, sentence: str) -> Finding:
    """Return a finding of something that is gone."""
    return Finding(name=name, how="missing", sentence=sentence)


def changed(name: str, sentence: str) -> Finding:
    """Return a finding of something that is another."""
    return Finding(name=name, how="changed", sentence=sentence)
