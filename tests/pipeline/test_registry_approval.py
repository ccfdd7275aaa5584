"""A person's answer in a real store: what waits, who said what, and what no longer holds."""

import pytest

from tests import promotion_parts as models
from tests import registry_parts as parts
from zeromiss.errors import ZeromissError
from zeromiss.registry import promotion
from zeromiss.registry.approval import Answer, settle
from zeromiss.registry.decisions import read_log
from zeromiss.registry.events import move_alias, read_events
from zeromiss.registry.publish import find_alias
from zeromiss.registry.store import prepare

YES = Answer(approve=True, by="Ann", why="looked at 40 parts")
NO = Answer(approve=False, by="Ann", why="the lamp is new")


@pytest.fixture
def asked(tiny, tracked, monkeypatch):
    """The product with a person who has the last word, and a challenger."""
    from zeromiss.inspection.inspector import Inspector

    monkeypatch.setattr(Inspector, "load", classmethod(models.load_table))
    parts.write_manifest(tracked, models.ROWS)
    models.candidate(tiny, tracked, "one")
    return models.asking(tiny, mode="approve")


def ask(product, tracked):
    return promotion.read_record(promotion.promote(product, tracked))


def aliases(tracked):
    return tuple(find_alias(prepare(tracked), "tiny", name) for name in ("champion", "challenger"))


def test_what_passes_waits_and_asking_again_opens_nothing(asked, tracked):
    first, again = ask(asked, tracked), ask(asked, tracked)
    assert first == again
    assert (first["outcome"], first["promoted"], first["approval"]) == ("waits for approval", False, None)
    assert first["statement"].startswith("passed the gate and waits for approval: 0 of 3 audit defects missed")
    assert aliases(tracked) == (None, "1")
    assert [one.facts["outcome"] for one in read_events(prepare(tracked), "tiny", tracked, "audit_opening")] == ["waits for approval"]


def test_yes_promotes_with_name_and_reason_in_verdict_version_and_log(asked, tracked):
    verdict = promotion.verdict_hash(ask(asked, tracked))
    record = promotion.read_record(settle(asked, tracked, YES))
    assert (record["outcome"], record["promoted"]) == ("promoted", True)
    assert record["statement"].endswith("; approved by Ann: looked at 40 parts")
    assert {key: record["approval"][key] for key in ("answer", "by", "why")} == {"answer": "yes", "by": "Ann", "why": "looked at 40 parts"}
    assert aliases(tracked) == ("1", None)
    tags = prepare(tracked).get_model_version("zeromiss-tiny", "1").tags
    assert (tags["gate.outcome"], tags["approval.by"], tags["approval.why"]) == ("promoted", "Ann", "looked at 40 parts")
    entries = read_log(prepare(tracked), "tiny").entries
    assert [one.kind for one in entries] == ["waiting", "approval", "promotion"]
    assert {one.facts["verdict"] for one in entries} == {verdict}
    assert tags["gate.entry"] == entries[2].name


def test_no_refuses_and_a_further_answer_finds_nothing(asked, tracked):
    ask(asked, tracked)
    record = promotion.read_record(settle(asked, tracked, NO))
    assert (record["outcome"], record["promoted"], record["statement"]) == ("refused", False, "refused by Ann: the lamp is new")
    assert aliases(tracked) == (None, "1")
    assert [one.kind for one in read_log(prepare(tracked), "tiny").entries] == ["waiting", "refusal"]
    with pytest.raises(ZeromissError, match="no verdict on zeromiss-tiny waits for a person"):
        settle(asked, tracked, YES)


def test_an_answer_to_what_is_past_is_dropped(asked, tiny, tracked):
    ask(asked, tracked)
    models.candidate(tiny, tracked, "two")
    with pytest.raises(ZeromissError, match=r"champion, challenger or audit set changed since\): zeromiss promote tiny asks the gate"):
        settle(asked, tracked, YES)
    client = prepare(tracked)
    move_alias(client, "tiny", tracked, "challenger", "1", "back")
    move_alias(client, "tiny", tracked, "champion", "2", "by hand")
    with pytest.raises(ZeromissError, match="changed since"):
        settle(asked, tracked, YES)
    assert aliases(tracked) == ("2", "1")


def test_what_the_gate_refuses_waits_for_nobody(asked, tiny, tracked):
    models.candidate(tiny, tracked, "misses", d1=0.2)
    assert ask(asked, tracked)["outcome"] == "refused"
    with pytest.raises(ZeromissError, match="no verdict on zeromiss-tiny waits"):
        settle(asked, tracked, YES)


@pytest.mark.parametrize(("by", "why", "words"), [("", "so", "--by"), ("Ann", " ", "--why"), ("Ann", "x" * 501, "501 characters")])
def test_an_answer_needs_a_name_and_a_reason(by, why, words):
    with pytest.raises(ZeromissError, match=words):
        Answer(approve=True, by=by, why=why)


def test_a_promotion_that_was_cut_off_is_told_and_made_anew_later(tiny, tracked, asked, monkeypatch):
    def broken(*arguments):
        raise OSError("the store is gone")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="gone"):
        patch.setattr(type(prepare(tracked)), "set_registered_model_alias", broken)
        promotion.promote(tiny, tracked)
    with pytest.raises(ZeromissError, match="version 1 became champion .* the alias has yet to follow; ask again in 60 s"):
        promotion.promote(tiny, tracked)
    monkeypatch.setattr(promotion, "_UNDER_WAY", 0.0)
    assert ask(tiny, tracked)["outcome"] == "promoted"
    assert aliases(tracked) == ("1", None)
