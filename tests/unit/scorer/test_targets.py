"""Targets are checked by the scorer that will compare with them, those that take their time in worker processes."""

import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.scorer.sandbox import Sandbox
from services.scorer.targets import MAX_REFUSED, Targets
from services.scorer.workers import Workers
from shared.errors import Invalid, Unavailable


@pytest.fixture
async def targets() -> AsyncIterator[Targets]:
    workers = Workers(2)
    yield Targets(workers)
    await workers.stop()


async def checked(targets: Targets, scoring: dict[str, Any], *wanted: str) -> list[str | None]:
    return await targets.check({"scoring": scoring, "items": [{"target": target, "hints": {}} for target in wanted]})


async def test_each_target_gets_its_answer(targets: Targets) -> None:
    numeric = await checked(targets, {"scorer": "numeric"}, "1", "one")
    assert numeric[0] is None
    assert "no number" in (numeric[1] or "")
    found = await checked(targets, {"scorer": "math"}, "1/2", r"\frac{1", *["2"] * 50)
    assert [at for at, answer in enumerate(found) if answer] == [1]


async def test_those_of_a_programs_item_scorer_are_checked_by_that(targets: Targets) -> None:
    scoring = {"scorer": "program", "program": "scoring", "item_scorer": {"scorer": "json"}}
    assert [bool(answer) for answer in await checked(targets, scoring, "{", "{}", "[1]")] == [True, True, False]


@pytest.mark.parametrize(
    ("scoring", "key"), [({"scorer": "program", "program": "scoring"}, "program"), ({"scorer": "code"}, "scorer")]
)
async def test_what_needs_a_sandbox_is_refused_without_one(scoring: dict[str, Any], key: str) -> None:
    with pytest.raises(Invalid, match="apt install bubblewrap") as caught:
        await checked(Targets(Workers(1), Sandbox(None)), scoring, "1")
    assert caught.value.errors[0]["loc"] == ["environment.yaml", "scoring", key]


async def test_after_as_many_as_a_person_is_told_of_no_more_are_looked_at(targets: Targets) -> None:
    found = await checked(targets, {"scorer": "json"}, *["{"] * 200)
    # The two workers may each be in the middle of one.
    assert MAX_REFUSED <= sum(answer is not None for answer in found) <= MAX_REFUSED + 1


async def test_a_target_that_never_ends_is_refused(targets: Targets) -> None:
    deep = "$" + "{" * 5000 + "1" + "}" * 5000 + "$"
    found = await checked(targets, {"scorer": "math", "time_limit_s": 0.3}, deep, "1")
    assert found == ["the target cannot be read: it takes more than 0.3 s of CPU time", None]


async def test_where_no_worker_starts_it_is_said(targets: Targets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Unavailable, match="no worker process can be started"):
        await checked(targets, {"scorer": "json"}, "{}")
