"""What clients may ask of the log, and where an evaluation's ends."""

import pytest

from gateway.entry import entry_of
from gateway.log import TYPES, Selection, at_rest, ends_with, parse_after, parse_types, split
from shared.contracts import EVALUATION_FINAL_TYPES
from shared.errors import BadRequest, Invalid


def test_a_cursor() -> None:
    assert parse_after(None) is None
    assert parse_after("0") == 0
    assert parse_after("4711") == 4711


@pytest.mark.parametrize("after", ["", "soon", "-1", "1.5", "１２", "9" * 30, " 1"])
def test_what_is_no_cursor(after: str) -> None:
    with pytest.raises(BadRequest, match="after"):
        parse_after(after)


def test_filters_may_repeat_or_hold_several() -> None:
    assert split(["a,b", " c ", ""]) == ["a", "b", "c"]
    assert parse_types(["assay.model.status", "assay.evaluation.log,assay.evaluation.failed"]) == {
        "assay.model.status",
        "assay.evaluation.log",
        "assay.evaluation.failed",
    }
    assert parse_types([]) == frozenset()


def test_an_unknown_type_is_told_with_those_that_there_are() -> None:
    with pytest.raises(Invalid, match=r"assay\.evaluation\.done.*assay\.evaluation\.completed"):
        parse_types(["assay.evaluation.done"])


def test_final_types_are_known() -> None:
    assert EVALUATION_FINAL_TYPES <= TYPES


@pytest.mark.parametrize(
    ("selection", "subject"),
    [
        (Selection(), "events.*.>"),
        (Selection({"e1"}), "events.e1.>"),
        (Selection({"e1", "e2"}), "events.*.>"),
        (Selection(types={"assay.model.status"}), "events.*.model.status"),
        (Selection({"e1"}, {"assay.evaluation.log"}), "events.e1.evaluation.log"),
        (Selection({"e1"}, {"assay.evaluation.log", "assay.evaluation.failed"}), "events.e1.>"),
    ],
)
def test_the_narrowest_subject(selection: Selection, subject: str) -> None:
    assert selection.subject() == subject


def test_what_is_selected() -> None:
    log = entry_of(1, "e1", {"type": "assay.evaluation.log"})
    status = entry_of(2, "_", {"type": "assay.model.status"})
    assert Selection().wants(log)
    assert Selection().wants(status)
    assert Selection({"e1"}).wants(log)
    assert not Selection({"e1"}).wants(status)
    assert not Selection({"e2"}).wants(log)
    assert not Selection({"e1"}, {"assay.evaluation.failed"}).wants(log)


def test_a_log_ends_with_the_present_round() -> None:
    completed = entry_of(9, "e1", {"type": "assay.evaluation.completed", "data": {"round": 0}})
    assert ends_with(completed, {"status": "completed", "round": 0})
    assert not ends_with(completed, {"status": "running", "round": 1})
    assert not ends_with(completed, {"status": "completed", "round": 1})
    log = entry_of(9, "e1", {"type": "assay.evaluation.log", "data": {"round": 0}})
    assert not ends_with(log, {"status": "completed", "round": 0})


def test_at_rest_once_all_is_announced() -> None:
    assert at_rest({"status": "failed"})
    assert at_rest({"status": "completed", "outbox": []})
    assert not at_rest({"status": "completed", "outbox": [{}]})
    assert not at_rest({"status": "scoring", "outbox": []})
