"""Promote: ask the gate about the challenger and, where a person has the last word, that person."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.settings import PREFECT_API_URL

from tasks.answers import answer_paused, paused_run
from tasks.at_work import at_work
from tasks.registry import announce, ask_gate, person_decides, read_gate, settle_answer, waits
from tasks.report import render_report
from zeromiss.errors import ZeromissError

POLL = 5  # seconds between looks whether a person has answered


class Approval(RunInput):
    """What a person answers to a verdict of the gate: who they are, why, and whether the model may take over."""

    approve: bool
    by: str
    why: str


@flow(name="promote", persist_result=False)
@at_work()
def promote(product: str, root: str, answer: dict[str, Any] | None = None) -> str:
    """Let the gate decide, make the report's page anew, and return the path of the gate's record.

    Where promotion.mode is `approve` and a server is there to ask through, the run pauses for a person's `Approval` once the
    gate is content; `answer` (approve, by, why) is one that was given beforehand. Raises FlowPauseTimeout when nobody answers within
    promotion.wait_hours; the verdict goes on waiting.
    """
    record = ask_gate(product, root)
    if waits(record):
        render_report(product, root)  # what the person decides on
        if answer is None and asks_through_a_server():
            answer = _ask_person(product, root, record)
        if answer is not None:
            record = settle_answer(product, root, answer)
    announce(record)
    render_report(product, root)
    return record


def asks_through_a_server() -> bool:
    """Return whether a server is named that a person can be asked through; one that Prefect starts for a run ends with it."""
    return bool(PREFECT_API_URL.value())


def _ask_person(product: str, root: str, record: str) -> dict[str, Any]:
    """Pause until a person has answered and return the answer."""
    found, (_, hours) = read_gate(record), person_decides(product, root)
    asked = Approval.with_initial_data(description="\n\n".join(words(found)))
    given = pause_flow_run(wait_for_input=asked, timeout=int(3600 * hours), poll_interval=POLL)
    return {"approve": given.approve, "by": given.by, "why": given.why}


def run(product: str, root: Path, *, answer: dict[str, Any] | None = None, debug: bool = False) -> int:
    """Run the flow for the command line; a refusal by the gate or a person is a normal end with exit code 0.

    An `answer` goes to the run that is paused for it, if a server has one. Raises ZeromissError when there is no model to decide
    about, when an answer is given and none is asked for, and when one is asked for and nobody can give it.
    """
    asked, _ = person_decides(product, str(root))
    if answer is not None and not asked:
        raise ZeromissError("promotion.mode is auto, so that the gate decides alone: leave the answer out, or set it to approve in params.yaml")
    paused = paused_run(product) if answer is not None and asks_through_a_server() else None
    record = answer_paused(paused, product, str(root), answer) if paused and answer else promote(product, str(root), answer)
    found = read_gate(record)
    for line in words(found):
        print(line)
    if waits(record):
        raise ZeromissError(
            f"{found['model']} passed the gate, and promotion.mode is approve: decide with zeromiss promote {product} --approve --by NAME "
            "--why TEXT, or --refuse, or set PREFECT_API_URL to have a server ask"
        )
    return 0


def words(record: dict[str, Any]) -> list[str]:
    """Return a record as lines: the decision, what the audit set says, the images behind it, what to do, what to know."""
    lines = [f"{record['model']}: {record['statement']}"]
    if "audit_sentence" in record:  # not in records made before there was one
        lines.append(f"  {record['audit_sentence']} {_openings(record['openings'], record['looks'])}")
    lines += [f"  {'met' if one['passed'] else 'NOT MET'}: {one['name']}: {one['sentence']}" for one in record.get("criteria", [])]
    for image in record["images"]:
        score = "no score" if image["score"] is None else f"score {image['score']:.6g}, threshold {image['threshold']:.6g}"
        lines.append(f"  {image['why']}: {image['path']} ({score})")
    lines += [f"  - {advice}" for advice in record["advice"]]
    return lines + [f"  {note}" for note in record.get("notes", [])]


def _openings(openings: int, looks: int) -> str:
    """Return how often the audit set was used up to a decision."""
    times, models = ("once" if openings == 1 else f"{openings} times"), ("one model" if looks == 1 else f"{looks} different models")
    return f"It was opened {times} so far, for {models}."
