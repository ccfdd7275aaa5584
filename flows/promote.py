"""Promote: ask the gate about the challenger."""

from pathlib import Path
from typing import Any

from prefect import flow

from tasks.at_work import at_work
from tasks.registry import ask_gate, read_gate
from tasks.report import render_report


@flow(name="promote", persist_result=False)
@at_work()
def promote(product: str, root: str) -> str:
    """Let the gate decide, make the report's page anew, and return the path of the gate's record."""
    record = ask_gate(product, root)
    render_report(product, root)
    return record


def run(product: str, root: Path, *, debug: bool = False) -> int:
    """Run the flow for the command line; a refusal is a normal end with exit code 0.

    Raises ZeromissError when there is no model to decide about.
    """
    for line in words(read_gate(promote(product, str(root)))):
        print(line)
    return 0


def words(record: dict[str, Any]) -> list[str]:
    """Return a record as lines: the decision, what the audit set says, the images behind it, what to do, what to know."""
    lines = [f"{record['model']}: {record['statement']}"]
    if "audit_sentence" in record:  # not in records made before there was one
        lines.append(f"  {record['audit_sentence']} {_openings(record['openings'], record['looks'])}")
    for image in record["images"]:
        score = "no score" if image["score"] is None else f"score {image['score']:.6g}, threshold {image['threshold']:.6g}"
        lines.append(f"  {image['why']}: {image['path']} ({score})")
    lines += [f"  - {advice}" for advice in record["advice"]]
    return lines + [f"  {note}" for note in record.get("notes", [])]


def _openings(openings: int, looks: int) -> str:
    """Return how often the audit set was used up to a decision."""
    times, models = ("once" if openings == 1 else f"{openings} times"), ("one model" if looks == 1 else f"{looks} different models")
    return f"It was opened {times} so far, for {models}."
